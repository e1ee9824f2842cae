"""A file of kohya's as a step folder; ``mim run diffkit import_kohya`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("import_kohya"))
