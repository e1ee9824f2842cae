"""A step folder as a file of kohya's; ``mim run diffkit export_kohya`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("export_kohya"))
