"""A step folder to the Hugging Face hub; ``mim run diffkit push_to_hub`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("push_to_hub"))
