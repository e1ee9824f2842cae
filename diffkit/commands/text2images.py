"""Make pictures from prompts with a pretrained model and any number of step folders on top of it."""

import argparse
from pathlib import Path

from diffkit.commands.arguments import add_loading, add_sampling, add_weights, sampling_options
from diffkit.commands.quantized import add_quantized, quantized_steps
from diffkit.utils.pretrained import as_the_user_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "--pretrained",
        metavar="MODEL",
        help="mini-sd, a folder, a step folder or a name of the hub (default: what STEP was trained on)",
    )
    parser.add_argument(
        "--step",
        nargs="+",
        action="extend",
        default=[],
        metavar="STEP",
        help="step folders, such as work_dirs/NAME/step999",
    )
    add_weights(parser)
    add_quantized(parser)
    prompts = parser.add_mutually_exclusive_group(required=True)
    prompts.add_argument("--caption", nargs="+", action="extend", metavar="TEXT", help="the prompts")
    prompts.add_argument("--caption-file", metavar="FILE", help="a text file with one prompt a line")
    parser.add_argument(
        "--images-num",
        "--images_num",
        type=int,
        default=4,
        help="pictures of each prompt (default: %(default)s)",
    )
    add_sampling(parser)
    add_loading(parser)
    parser.add_argument(
        "--batch-size",
        type=int,
        default=4,
        help="pictures made at once; no picture depends on it (default: %(default)s)",
    )
    parser.add_argument(
        "--out", default="outputs", metavar="DIR", help="output folder (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Makes the pictures and says where they are; the grid comes last."""
    from diffkit.apis import text_to_image

    prompts = args.caption or read_prompts(args.caption_file)
    quantized = quantized_steps(args.quantized)
    with as_the_user_named(pretrained="--pretrained", vae="--vaemodel", steps="--step", allow_pickle="--allow-pickle"):
        files = text_to_image(
            args.pretrained,
            [*quantized, *args.step],
            prompts,
            weights=None if args.weight is None else [1.0] * len(quantized) + args.weight,
            images_num=args.images_num,
            **sampling_options(args),
            batch_size=args.batch_size,
            vae=args.vaemodel,
            allow_pickle=args.allow_pickle,
            out=args.out,
            kernels=args.kernels,
            beside_float=args.beside_float,
            verify_loading=args.verify_loading,
        )
    print("\n".join(map(str, files)))


def read_prompts(file: str) -> list[str]:
    """Returns the lines of a text file that are not empty.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no prompt.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"caption-file: no file {file!r}")
    prompts = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not prompts:
        raise ValueError(f"caption-file: {file} has no prompt; write one a line")
    return prompts
