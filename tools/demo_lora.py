"""A picture from a trained LoRA; ``mim run diffkit demo_lora`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("demo_lora"))
