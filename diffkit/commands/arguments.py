"""Arguments that several commands share."""

import argparse
from typing import Any

from diffkit.utils.launch import LAUNCHERS

DTYPES = ("auto", "float32", "bfloat16", "float16")


def add_config(parser: argparse.ArgumentParser) -> None:
    """Adds the config and the options that change it."""
    parser.add_argument(
        "config", help="a config file, or the name of a config that comes with diffkit (see diffkit list-cfg)"
    )
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        type=key_value,
        metavar="KEY=VALUE",
        help="override values of the config, for example train_cfg.max_iters=100; quote lists: 'key=[1,2]'",
    )


def add_work_dir(parser: argparse.ArgumentParser) -> None:
    """Adds the output folder."""
    parser.add_argument("--work-dir", help="where to write (default: work_dirs/<name of the config>)")


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Adds what starters of several processes pass."""
    parser.add_argument(
        "--launcher",
        choices=LAUNCHERS,
        default="none",
        help="what started the processes (default: %(default)s)",
    )
    parser.add_argument("--local_rank", "--local-rank", type=int, help=argparse.SUPPRESS)


def add_loading(parser: argparse.ArgumentParser) -> None:
    """Adds what else every command that loads a pipeline has."""
    parser.add_argument("--vaemodel", metavar="MODEL", help="another VAE: a folder or a name of the hub")
    parser.add_argument(
        "--allow-pickle",
        action="store_true",
        help="also read .bin weights, for a model that has no safetensors; no code in them is run",
    )


def add_weights(parser: argparse.ArgumentParser) -> None:
    """Adds the numbers that step folders are weighed with."""
    parser.add_argument(
        "--weight",
        nargs="+",
        action="extend",
        type=float,
        metavar="W",
        help="a number for each STEP: 0 leaves it out, 1 is as trained (default: all 1)",
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Adds the settings of sampling that every command that makes pictures has."""
    parser.add_argument("--height", type=int, help="height of a picture in pixels (default: the model's own)")
    parser.add_argument("--width", type=int, help="width of a picture in pixels (default: the model's own)")
    parser.add_argument("--steps", type=int, default=25, help="denoising steps (default: %(default)s)")
    parser.add_argument(
        "--guidance", type=float, default=7.5, help="classifier-free guidance scale (default: %(default)s)"
    )
    parser.add_argument(
        "--scheduler", choices=("auto", "dpm++", "lcm"), default="auto",
        help="auto: that of the training's pictures; lcm: for consistency LoRA, with --steps 4 --guidance 1 "
             "(default: %(default)s)",
    )
    parser.add_argument("--negative", metavar="TEXT", help="what the picture shall not show")
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the first picture (default: %(default)s)"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 … (default: a GPU where there is one)")
    parser.add_argument(
        "--dtype", choices=DTYPES, default="auto", help="number format (default: by the device)"
    )


def sampling_options(args: argparse.Namespace) -> dict[str, Any]:
    """What :func:`add_sampling` read, as arguments of the API."""
    return {"height": args.height, "width": args.width, "num_inference_steps": args.steps,
            "guidance_scale": args.guidance, "negative_prompt": args.negative, "scheduler": args.scheduler,
            "seed": args.seed, "device": args.device, "dtype": args.dtype}


def key_value(text: str) -> str:
    """Accepts ``key=value`` as it is."""
    key, sign, _ = text.partition("=")
    if not sign or not key.strip():
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    return text
