"""Ask a config's teacher beforehand for all that its training needs, so that the training does without it."""

import argparse

from diffkit.commands.arguments import add_config
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_config(parser)
    parser.add_argument("--processes", type=int, default=1, help="of the training (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Fills the bank and says how much is in it."""
    from diffkit.apis.bank_building import build_bank

    counts = build_bank(args.config, processes=args.processes, cfg_options=parse_overrides(args.cfg_options))
    print(f"{counts['made']} outputs of the teacher made, {counts['there']} were there")
