"""Arguments about a quantised UNet."""

import argparse
from pathlib import Path


def add_quantized(parser: argparse.ArgumentParser) -> None:
    """Adds what a command that makes pictures can do with a quantised UNet."""
    parser.add_argument(
        "--quantized",
        metavar="STEP",
        help="a step folder with a quantised UNet; --step takes one too, this refuses any other",
    )
    parser.add_argument(
        "--beside-float",
        "--beside_float",
        action="store_true",
        help="show the float model's picture beside the quantised one's, from the same noise",
    )
    parser.add_argument(
        "--verify-loading",
        "--verify_loading",
        action="store_true",
        help="first compare the quantised UNet bit for bit with the one that was saved, and fail where it differs",
    )
    parser.add_argument(
        "--kernels",
        choices=("auto", "kernels", "dequantized", "openvino", "openvino-bf16"),
        default="auto",
        help="what a quantised UNet computes with on a CPU (default: %(default)s)",
    )


def quantized_steps(step: str | None) -> list[str]:
    """The step folder that was given, if any.

    Raises:
        ValueError: it has no quantised UNet.
    """
    from diffkit.utils.step_folder import find_quantized

    if step is None:
        return []
    if find_quantized(Path(step).expanduser()) is None:
        raise ValueError(f"--quantized {step!r} holds no quantised UNet: there is no unet_int8 with a "
                         "quantization.json in it.")
    return [step]
