"""Build a folder of real prior pictures; see diffkit build_prior."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("build_prior"))
