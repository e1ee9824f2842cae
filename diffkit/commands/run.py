"""Run a script of tools/ by its name, as mim run diffkit does; without a name, list them."""

import argparse
import runpy
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("tool", nargs="?", help="the name of the script, with or without .py")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="what to pass to it")


def run(args: argparse.Namespace) -> None:
    """Runs the script in this process; its exit status is that of the command."""
    from diffkit.apis.configs import shipped_folder
    from diffkit.utils.near import did_you_mean

    tools = {path.stem: path for path in sorted(shipped_folder("tools").glob("*.py"))}
    if args.tool is None:
        print("\n".join(tools))
        return
    name = args.tool.removesuffix(".py")
    if name not in tools:
        raise ValueError(f"tool: no script {name!r} in {shipped_folder('tools')}{did_you_mean(name, tools)}")
    sys.argv = [str(tools[name]), *args.arguments]
    runpy.run_path(str(tools[name]), run_name="__main__")
