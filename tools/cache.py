"""Look after caches on disk; see diffkit cache."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("cache"))
