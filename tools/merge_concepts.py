"""Make one step folder of several trainings of Custom Diffusion; see diffkit merge_concepts."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("merge_concepts"))
