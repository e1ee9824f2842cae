"""Measurements behind the tables of the documentation; ``mim run diffkit measure`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("measure"))
