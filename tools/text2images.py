"""Pictures from prompts; ``mim run diffkit text2images`` starts this script."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("text2images"))
