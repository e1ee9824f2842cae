"""Write the metadata file of a folder of captioned pictures; see diffkit create_metadata."""

import sys

from diffkit.cli import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("create_metadata"))
