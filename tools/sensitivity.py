"""Rank what can be removed from a model's UNet; ``mim run diffkit sensitivity`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("sensitivity"))
