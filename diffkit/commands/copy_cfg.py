"""Copy a config and the bases that it needs to a folder of yours, ready to edit and train."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "name", help="the name of a config that comes with diffkit (see diffkit list-cfg), or a path"
    )
    parser.add_argument(
        "dest", nargs="?", default=".", help="a folder, or a new name that ends in .py (default: here)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist and differ")


def run(args: argparse.Namespace) -> None:
    """Copies and says how to go on."""
    from diffkit.apis.configs import copy_config

    written = copy_config(args.name, args.dest, force=args.force)
    for path in written:
        print(path)
    print(f"train it: diffkit train {written[0]}")
