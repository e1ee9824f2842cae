"""``python -m diffkit`` is the ``diffkit`` command; ``torchrun -m diffkit`` needs it."""

import sys

from diffkit.cli import main

if __name__ == "__main__":
    sys.exit(main())
