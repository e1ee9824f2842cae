"""Check a config strictly, without loading a model: unknown keys, wrong types, missing files, conflicts."""

import argparse
import sys

from diffkit.commands.arguments import add_config
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_config(parser)
    parser.add_argument(
        "--safe",
        action="store_true",
        help="for a config of somebody else: read it as data, execute nothing of it, and refuse what is more than data",
    )


def run(args: argparse.Namespace) -> None:
    """Checks; an error lists every fault."""
    from diffkit.apis.configs import find_config
    from diffkit.utils.config_check import check_config, find_cautions, find_notes, read_safely

    path, options = find_config(args.config), parse_overrides(args.cfg_options)
    if args.safe:
        read_safely(path)
        print(f"{path}: only data; nothing of it was executed")
    cfg = check_config(path, options, safe=args.safe)
    for caution in find_cautions(cfg, options):
        print(f"warning: {caution}", file=sys.stderr)
    for note in find_notes(cfg, options):
        print(f"note: {note}", file=sys.stderr)
    print(f"{path}: no faults")
