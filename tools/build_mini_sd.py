"""Train the packaged miniature anew; ``make mini-sd`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("build_mini_sd"))
