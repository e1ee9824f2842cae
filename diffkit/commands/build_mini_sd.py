"""Train a packaged miniature anew and put it in its place, or package one that is trained already."""

import argparse
from pathlib import Path

from diffkit.commands.arguments import key_value
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("--name", default="mini-sd", choices=["mini-sd", "mini-sdxl"], help="(default: %(default)s)")
    parser.add_argument(
        "--from-step", metavar="STEP", help="only package this step folder: UNet, text encoder and VAE")
    parser.add_argument("--vae", metavar="STEP", help="with --from-step: take the decoder of this step folder")
    parser.add_argument(
        "--work-dir", default="work_dirs", help="where the trainings go (default: %(default)s/<name of the config>)")
    parser.add_argument(
        "--out", metavar="DIR", help="the miniature's folder (default: that of this installation)")
    parser.add_argument(
        "--figures", metavar="FILE",
        help="measured figures for the model card, if the file is there (default: docs/results/<name with _>.md)")
    parser.add_argument("--cfg-options", nargs="+", action="extend", type=key_value, metavar="KEY=VALUE",
                        help="override values of every config")


def run(args: argparse.Namespace) -> None:
    """Trains and packages."""
    from diffkit.apis.build_miniature import build_miniature, package
    from diffkit.utils.pretrained import MINIATURES, PACKAGED

    if args.vae and not args.from_step:
        raise ValueError("vae: --vae belongs to --from-step")
    out = Path(args.out) if args.out else MINIATURES / PACKAGED[args.name]
    figures = args.figures or f"docs/results/{PACKAGED[args.name]}.md"
    if args.from_step:
        facts = package(args.from_step, out, name=args.name, vae=args.vae, figures=figures)
    else:
        options = parse_overrides(args.cfg_options)
        facts = build_miniature(out, name=args.name, work_dir=args.work_dir, cfg_options=options, figures=figures)
    print(f"{out}: {facts['parameters']:,} weights, {facts['bytes']:,} bytes; pictures agree with those of "
          f"float32 to {facts['psnr']:.1f} dB")
