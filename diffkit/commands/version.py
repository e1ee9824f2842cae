"""Print the version."""

import argparse

from diffkit.version import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no arguments."""


def run(args: argparse.Namespace) -> None:
    """Prints the version."""
    print(__version__)
