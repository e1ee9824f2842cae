"""Check a config strictly, without loading a model: unknown keys, wrong types, missing files, conflicts."""

import argparse

from diffkit.commands.arguments import add_config
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_config(parser)


def run(args: argparse.Namespace) -> None:
    """Checks; an error lists every fault."""
    from diffkit.apis.configs import find_config
    from diffkit.utils.config_check import check_config

    path = find_config(args.config)
    check_config(path, parse_overrides(args.cfg_options))
    print(f"{path}: no faults")
