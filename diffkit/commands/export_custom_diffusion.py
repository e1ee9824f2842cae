"""Write a training of Custom Diffusion anew: compressed, whole, or with the pickles that other programs read."""

import argparse

from diffkit.utils.pretrained import as_the_user_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("step", metavar="STEP", help="a step folder of Custom Diffusion")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--pretrained", metavar="MODEL", help="what it was trained on (default: what STEP says)")
    parser.add_argument("--compression", type=float, metavar="SHARE",
                        help="write factors that keep this share of the change, above 0 and at most 1")
    parser.add_argument("--pickled", action="store_true",
                        help="write delta.bin and the .bin file of diffusers too, which are pickles")


def run(args: argparse.Namespace) -> None:
    """Writes the files and names them."""
    from diffkit.apis.concept_export import export_custom_diffusion

    with as_the_user_named(pretrained="--pretrained"):
        files = export_custom_diffusion(args.step, args.out, pretrained=args.pretrained, compression=args.compression,
                                        pickled=args.pickled)
    print("\n".join(map(str, files)))
