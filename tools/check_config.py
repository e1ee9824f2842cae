"""Check a config; ``mim run diffkit check_config`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("check"))
