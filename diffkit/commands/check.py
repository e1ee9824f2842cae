"""Check a config strictly, without loading a model: unknown keys, wrong types, missing files, conflicts."""

import argparse
import sys

from diffkit.commands.arguments import add_config
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_config(parser)


def run(args: argparse.Namespace) -> None:
    """Checks; an error lists every fault."""
    from diffkit.apis.configs import find_config
    from diffkit.utils.config_check import check_config, find_cautions

    path, options = find_config(args.config), parse_overrides(args.cfg_options)
    cfg = check_config(path, options)
    for caution in find_cautions(cfg, options):
        print(f"warning: {caution}", file=sys.stderr)
    print(f"{path}: no faults")
