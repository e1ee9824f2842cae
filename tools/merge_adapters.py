"""Adapters merged into a whole pipeline; ``mim run diffkit merge_adapters`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("merge_adapters"))
