"""Rank what can be removed from a model's UNet, or its quantised layers, by what is lost."""

import argparse

from diffkit.commands.arguments import add_config
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_config(parser)
    parser.add_argument(
        "--what", choices=("blocks", "quantization"), default="blocks",
        help="remove each block, or quantise only one layer and all but one (default: %(default)s)"
    )
    parser.add_argument("--batches", type=int, default=8, help="of the training data (default: %(default)s)")
    parser.add_argument(
        "--pictures", type=int,
        help="painted for each part; 0 paints none (default: 4 for blocks and for --by picture, else 0)"
    )
    parser.add_argument(
        "--by", choices=("loss", "output", "picture", "only", "without"),
        help="ranked by: loss, output (default) or picture for blocks; only (default), without or picture for layers"
    )
    parser.add_argument("--out", metavar="FILE", help="a JSON file for the ranking, which ranking_file takes")


def run(args: argparse.Namespace) -> None:
    """Measures, prints the ranking and writes it."""
    from diffkit.apis.sensitivity import measure_sensitivity, ranking_lines

    result = measure_sensitivity(
        args.config,
        what=args.what,
        batches=args.batches,
        pictures=args.pictures,
        by=args.by,
        out=args.out,
        cfg_options=parse_overrides(args.cfg_options),
    )
    print("\n".join(ranking_lines(result)))
