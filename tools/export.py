"""Step folders in formats of other programs; ``mim run diffkit export`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("export"))
