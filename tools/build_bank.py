"""Fill the bank of a teacher; see diffkit build_bank."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("build_bank"))
