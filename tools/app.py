"""Open the local web page; ``mim run diffkit app`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("app"))
