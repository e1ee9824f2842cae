"""The command line: ``python -m benchmarks NAME …``."""

import argparse
import importlib
import sys
from collections.abc import Sequence

#: Each is a module of this package with ``add_arguments(parser)`` and ``main(args)``.
COMMANDS = {
    "compare": "trainings beside those of another program's scripts",
    "scaling": "time and memory of a step against batch, resolution, size of the UNet and more",
    "breakdown": "where a step goes",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one benchmark.

    Returns:
        The exit status: 0, or 1 where the user has to change something, said in one line.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="NAME", required=True)
    given = list(sys.argv[1:] if argv is None else argv)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if given and given[0] == name:  # only what is asked for is imported
            importlib.import_module(f"benchmarks.{name}").add_arguments(command)
    args = parser.parse_args(given)
    try:
        importlib.import_module(f"benchmarks.{args.command}").main(args)
    except (ValueError, OSError) as error:
        print(f"benchmarks {args.command}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
