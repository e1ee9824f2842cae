"""The ``diffkit`` command, and what the scripts in ``tools/`` share with it."""

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from types import ModuleType

from diffkit.utils.quiet import quieten_libraries
from diffkit.utils.user_errors import debugging, describe, is_user_error
from diffkit.version import __version__

#: The commands in the order of the help, each a module of diffkit.commands with ``_`` for ``-``.
COMMANDS = (
    "train",
    "test",
    "text2images",
    "demo_lora",
    "merge_adapters",
    "export",
    "export_kohya",
    "import_kohya",
    "push_to_hub",
    "merge_concepts",
    "export_custom_diffusion",
    "build_prior",
    "build_bank",
    "cache",
    "create_metadata",
    "measure",
    "sensitivity",
    "report",
    "app",
    "list-cfg",
    "copy-cfg",
    "check",
    "run",
    "doctor",
    "version",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``diffkit COMMAND …``.

    Args:
        argv: the arguments after ``diffkit``; those of the process by default.

    Returns:
        The exit status: 0, 1 for an error, 2 for a wrong command line, 130 after Ctrl-C.
    """
    parser = argparse.ArgumentParser(
        prog="diffkit", description="Personalise and compress text-to-image diffusion models, from configs."
    )
    parser.add_argument("--version", action="version", version=f"diffkit {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = _module(name)
        _fill(commands.add_parser(name, help=_first_line(module), description=module.__doc__), module)
    return _run(parser.parse_args(argv))


def run_tool(name: str, argv: Sequence[str] | None = None) -> int:
    """Runs one command as a script of ``tools/``, with the arguments of the process by default."""
    module = _module(name)
    parser = argparse.ArgumentParser(description=module.__doc__)
    _fill(parser, module)
    return _run(parser.parse_args(argv))


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"diffkit.commands.{name.replace('-', '_')}")


def _first_line(module: ModuleType) -> str:
    line = (module.__doc__ or "").splitlines()[0].rstrip(".")
    return line[:1].lower() + line[1:]


def _fill(parser: argparse.ArgumentParser, module: ModuleType) -> None:
    module.add_arguments(parser)
    parser.add_argument(
        "--debug", action="store_true", help="show the traceback of every error (or DIFFKIT_DEBUG=1)"
    )
    parser.set_defaults(run=module.run)


def _run(args: argparse.Namespace) -> int:
    if not (args.debug or debugging()):
        quieten_libraries()
    try:
        return args.run(args) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if args.debug or debugging() or not is_user_error(error):
            traceback.print_exc()
        else:
            print(f"{_rank()}error: {describe(error)}", file=sys.stderr)
        return 1


def _rank() -> str:
    """The prefix of messages from one of several processes."""
    return f"[rank {os.environ['RANK']}] " if int(os.environ.get("WORLD_SIZE", "1")) > 1 else ""
