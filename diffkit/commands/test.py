"""Measure a trained model as the config says."""

import argparse
import json
import os
from pathlib import Path

from diffkit.commands.arguments import add_config, add_launcher, add_work_dir
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_config(parser)
    parser.add_argument(
        "checkpoint", nargs="?", metavar="STEP", help="a step folder, such as work_dirs/NAME/step999"
    )
    parser.add_argument(
        "--checkpoint", dest="checkpoint_option", metavar="STEP", help="the same, as an option"
    )
    parser.add_argument("--out", metavar="FILE", help="write the metrics to a JSON file too")
    add_work_dir(parser)
    add_launcher(parser)


def run(args: argparse.Namespace) -> None:
    """Measures, prints the metrics and writes them; of several processes the first one does."""
    from diffkit.apis.test import metric_lines, test

    if args.checkpoint and args.checkpoint_option:
        raise ValueError(
            f"checkpoint is given twice: {args.checkpoint} and --checkpoint {args.checkpoint_option}"
        )
    metrics = test(
        args.config,
        args.checkpoint or args.checkpoint_option,
        work_dir=args.work_dir,
        cfg_options=parse_overrides(args.cfg_options),
        launcher=args.launcher,
        local_rank=args.local_rank,
    )
    if os.environ.get("RANK", "0") != "0":
        return
    print("\n".join(metric_lines(metrics)))
    if args.out:
        path = Path(args.out).expanduser()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
