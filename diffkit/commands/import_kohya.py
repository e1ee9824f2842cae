"""Make a step folder of a LoRA, LoHa or LoKr in the format of kohya's programs and LyCORIS."""

import argparse

from diffkit.utils.pretrained import as_the_user_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("file", metavar="FILE", help="the .safetensors file")
    parser.add_argument("out", metavar="DIR", help="the step folder, new or empty")
    parser.add_argument(
        "--pretrained", required=True, metavar="MODEL", help="the model that it belongs to: a folder or hub name"
    )


def run(args: argparse.Namespace) -> None:
    """Writes the step folder and says where it is."""
    from diffkit.apis import import_kohya

    with as_the_user_named(pretrained="--pretrained"):
        print(import_kohya(args.file, args.out, pretrained=args.pretrained))
