"""Make one picture from a prompt, with a model and step folders (a LoRA or other) trained on it."""

import argparse

from diffkit.commands.arguments import add_loading, add_sampling, add_weights, sampling_options
from diffkit.utils.pretrained import as_the_user_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("prompt", help="what the picture shall show")
    parser.add_argument("step", nargs="+", metavar="STEP", help="a step folder, such as work_dirs/NAME/step999")
    add_weights(parser)
    parser.add_argument(
        "--sdmodel",
        metavar="MODEL",
        help="the model that was trained: mini-sd, a folder or a hub name (default: what the first STEP says)",
    )
    add_loading(parser)
    parser.add_argument("--out", default="demo.png", help="the picture's file, or the grid's (default: %(default)s)")
    parser.add_argument("--images-num", "--images_num", type=int, default=1,
                        help="pictures; several lie beside their grid, with captions (default: %(default)s)")
    add_sampling(parser)


def run(args: argparse.Namespace) -> None:
    """Makes the picture and says where it is."""
    from diffkit.apis import demo_lora

    with as_the_user_named(pretrained="--sdmodel", vae="--vaemodel", steps="STEP", allow_pickle="--allow-pickle"):
        picture = demo_lora(
            args.prompt,
            args.step,
            args.sdmodel,
            weights=args.weight,
            vaemodel=args.vaemodel,
            allow_pickle=args.allow_pickle,
            images_num=args.images_num,
            **sampling_options(args),
            out=args.out,
        )
    print(picture)
