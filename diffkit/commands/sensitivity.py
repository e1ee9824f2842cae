"""Rank what can be removed from a model's UNet by what is lost without it."""

import argparse

from diffkit.commands.arguments import add_config
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_config(parser)
    parser.add_argument("--batches", type=int, default=8, help="of the training data (default: %(default)s)")
    parser.add_argument(
        "--pictures", type=int, default=4, help="painted for each part; 0 paints none (default: %(default)s)"
    )
    parser.add_argument(
        "--by", choices=("loss", "output", "picture"), default="output", help="ranked by (default: %(default)s)"
    )
    parser.add_argument("--out", metavar="FILE", help="write the ranking to a JSON file, for BlockRemoval.ranking_file")


def run(args: argparse.Namespace) -> None:
    """Measures, prints the ranking and writes it."""
    from diffkit.apis.sensitivity import measure_sensitivity, ranking_lines

    result = measure_sensitivity(
        args.config,
        batches=args.batches,
        pictures=args.pictures,
        by=args.by,
        out=args.out,
        cfg_options=parse_overrides(args.cfg_options),
    )
    print("\n".join(ranking_lines(result)))
