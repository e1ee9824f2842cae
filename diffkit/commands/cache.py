"""Show, verify, clear or fill what is kept on disk of latents and text states."""

import argparse
from typing import TYPE_CHECKING

from diffkit.commands.arguments import add_config
from diffkit.utils.overrides import parse_overrides
from diffkit.utils.sizes import format_bytes

if TYPE_CHECKING:
    from diffkit.utils.encoded_stores import EncodedStore

_KINDS = ("latents", "text")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what is to be done, and what with."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    show = actions.add_parser("show", help="list what lies there: entries, bytes, last use, model")
    verify = actions.add_parser("verify", help="read every entry; status 1 where one is damaged")
    clear = actions.add_parser("clear", help="remove all of it, or what the options choose")
    for action in (show, verify, clear):
        action.add_argument("--folder", help="of model.cache_folder (default: diffkit's own)")
        action.add_argument("--kind", choices=_KINDS, help="only latents, or only text states")
        action.add_argument("--model", metavar="TEXT", help="only models whose name holds TEXT")
    verify.add_argument("--repair", action="store_true", help="remove damaged entries: a training makes them again")
    clear.add_argument("--unused-for", type=float, metavar="DAYS", help="only what no training opened for so long")
    fill = actions.add_parser("fill", help="encode all that a config's training will need, before it")
    add_config(fill)
    for action in (show, verify, clear, fill):
        action.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Does it; status 1 where entries are damaged and stay."""
    return {"show": _show, "verify": _verify, "clear": _clear, "fill": _fill}[args.action](args)


def _show(args: argparse.Namespace) -> int:
    import time

    stores = _chosen(args)
    for store in stores:
        entries, used = len(store.entries()), time.strftime("%Y-%m-%d %H:%M", time.localtime(store.last_use()))
        print(f"{store.kind:8} {entries:7} entries {format_bytes(store.bytes()):>9}  used {used}  {store.describe()}")
    print(f"{len(stores)} cache(s), {format_bytes(sum(store.bytes() for store in stores))}, in {_root(args)}")
    return 0


def _verify(args: argparse.Namespace) -> int:
    entries, damaged = 0, 0
    for store in _chosen(args):
        entries += len(store.entries())
        for path, words in store.damaged():
            damaged += 1
            print(f"{path}: {words}{'; removed' if args.repair else ''}")
            if args.repair:
                path.unlink(missing_ok=True)
        for path in store.leftovers():
            print(f"{path}: left by a process that was killed{'; removed' if args.repair else ''}")
            if args.repair:
                path.unlink(missing_ok=True)
    print(f"{entries} entries in {_root(args)}, {damaged} of them damaged")
    return 1 if damaged and not args.repair else 0


def _clear(args: argparse.Namespace) -> int:
    import time

    if args.unused_for is not None and args.unused_for < 0:
        raise ValueError(f"--unused-for must be 0 days or more, got {args.unused_for:g}")
    before = time.time() - (args.unused_for or 0) * 86400
    chosen = [store for store in _chosen(args) if args.unused_for is None or store.last_use() < before]
    for store in chosen:
        words = f"{store.kind} of {store.describe()}: {len(store.entries())} entries, {format_bytes(store.bytes())}"
        store.remove()
        print(f"removed {words}")
    print(f"{len(chosen)} cache(s) removed from {_root(args)}")
    return 0


def _fill(args: argparse.Namespace) -> int:
    from diffkit.apis.cache_filling import fill_caches

    counts = fill_caches(args.config, cfg_options=parse_overrides(args.cfg_options))
    print(f"{counts['pictures']} pictures and {counts['prompts']} prompts encoded; the rest was there")
    return 0


def _chosen(args: argparse.Namespace) -> "list[EncodedStore]":
    from diffkit.utils.encoded_stores import find_stores

    return [store for store in find_stores(args.folder)
            if args.kind in (None, store.kind) and (args.model or "") in str(store.about.get("model", ""))]


def _root(args: argparse.Namespace) -> str:
    from diffkit.utils.user_cache import cache_folder

    return str(args.folder or cache_folder())
