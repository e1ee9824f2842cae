"""Write one page on trainings and models; ``mim run diffkit report`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("report"))
