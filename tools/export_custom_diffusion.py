"""Write a training of Custom Diffusion anew; see diffkit export_custom_diffusion."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("export_custom_diffusion"))
