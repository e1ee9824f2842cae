"""Write the LoRA, LoHa or LoKr of a step folder as a file that A1111, ComfyUI and kohya's programs read."""

import argparse

from diffkit.commands.arguments import DTYPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("step", metavar="STEP", help="a step folder with adapters, such as work_dirs/NAME/step999")
    parser.add_argument("out", nargs="?", default=".", metavar="FILE", help="a new .safetensors file, or a folder")
    parser.add_argument(
        "--dtype", choices=DTYPES[1:], default="float32", help="number format of the file (default: %(default)s)"
    )
    parser.add_argument("--family", choices=("sd", "sdxl"), help="what it was trained on (default: what STEP says)")


def run(args: argparse.Namespace) -> None:
    """Writes the file and says where it is."""
    from diffkit.apis import export_kohya

    print(export_kohya(args.step, args.out, dtype=args.dtype, family=args.family))
