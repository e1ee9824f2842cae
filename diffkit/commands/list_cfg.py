"""List the configs that come with diffkit."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument(
        "pattern",
        nargs="?",
        default="",
        help="a part of the name or folder, or a pattern such as 'mini_*lora*'",
    )
    parser.add_argument("--paths", action="store_true", help="print the paths of the files and nothing else")


def run(args: argparse.Namespace) -> int:
    """Prints the names with what each does; status 1 where nothing matches."""
    from diffkit.apis.configs import config_root, list_configs, summary

    paths = list_configs(args.pattern)
    width = max((len(path.stem) for path in paths), default=0)
    folder = None
    for path in paths:
        if args.paths:
            print(path)
            continue
        if path.parent != folder:
            folder = path.parent
            print(f"{folder.relative_to(config_root())}/")
        print(f"  {path.stem:{width}}  {summary(path)}".rstrip())
    if not paths:
        print(f"no config in {config_root()} matches {args.pattern!r}")
    return 0 if paths else 1
