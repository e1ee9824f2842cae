"""Merge the adapters and words of step folders into a whole pipeline that diffusers loads by itself."""

import argparse

from diffkit.commands.arguments import DTYPES, add_loading, add_weights
from diffkit.utils.pretrained import as_the_user_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("step", nargs="+", metavar="STEP", help="step folders, such as work_dirs/NAME/step999")
    add_weights(parser)
    parser.add_argument(
        "--pretrained",
        metavar="MODEL",
        help="mini-sd, a folder, a step folder or a name of the hub (default: what the first STEP was trained on)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder of the pipeline, new or empty")
    parser.add_argument(
        "--dtype", choices=DTYPES[1:], default="float32", help="number format of the weights (default: %(default)s)"
    )
    add_loading(parser)


def run(args: argparse.Namespace) -> None:
    """Writes the pipeline and says where it is."""
    from diffkit.apis import merge_into_pipeline

    with as_the_user_named(pretrained="--pretrained", vae="--vaemodel", steps="STEP", allow_pickle="--allow-pickle"):
        folder = merge_into_pipeline(
            args.step,
            args.out,
            weights=args.weight,
            pretrained=args.pretrained,
            vae=args.vaemodel,
            dtype=args.dtype,
            allow_pickle=args.allow_pickle,
        )
    print(folder)
