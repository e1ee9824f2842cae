"""Write step folders in the format of another program: pipeline, single file, kohya, ONNX or OpenVINO."""

import argparse
from typing import Any

from diffkit.commands.arguments import DTYPES, add_loading, add_weights
from diffkit.utils.pretrained import as_the_user_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("step", nargs="+", metavar="STEP", help="step folders, such as work_dirs/NAME/step999")
    parser.add_argument(
        "--to",
        required=True,
        metavar="FORMAT",
        help="pipeline: a diffusers folder; single-file: one .safetensors of all networks; kohya: the adapters alone, "
        "for A1111 and ComfyUI; onnx, openvino: the UNet",
    )
    parser.add_argument("--out", required=True, metavar="PATH", help="a new file or folder, see --to")
    add_weights(parser)
    parser.add_argument(
        "--pretrained",
        metavar="MODEL",
        help="mini-sd, a folder, a step folder or a name of the hub (default: what the first STEP was trained on)",
    )
    parser.add_argument(
        "--dtype", choices=DTYPES[1:], default="float32", help="number format of the weights (default: %(default)s)"
    )
    parser.add_argument("--family", choices=("sd", "sdxl"), help="of kohya's file (default: what STEP says)")
    add_loading(parser)


def run(args: argparse.Namespace) -> None:
    """Writes the files and says where they are."""
    from diffkit.apis import export_step

    options: dict[str, Any] = {"weights": args.weight, "pretrained": args.pretrained, "vae": args.vaemodel,
                               "dtype": args.dtype, "allow_pickle": args.allow_pickle, "family": args.family}
    with as_the_user_named(pretrained="--pretrained", vae="--vaemodel", steps="STEP", allow_pickle="--allow-pickle"):
        print(export_step(args.step, args.to, args.out, **options))
