"""Open a local web page to paint with models, compare two of them, and train from a handful of photographs."""

import argparse
import sys

from diffkit.commands.arguments import DTYPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("--host", default="127.0.0.1",
                        help="address to listen at; any other than the default lets other machines in "
                             "(default: %(default)s)")
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--root", action="append", metavar="DIR",
                        help="a folder whose models the page may load; give it again for more. Trainings and saved "
                             "pictures go to the first (default: work_dirs, made where it is missing)")
    parser.add_argument("--model", action="append", default=[], metavar="MODEL",
                        help="a model that the page may load besides: a name of the hub, or a folder outside of the "
                             "roots; give it again for more. The packaged ones are always there")
    parser.add_argument("--device", help="to paint on: cpu, cuda, cuda:1 … (default: a GPU where there is one)")
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="to paint in (default: by the device)")


def run(args: argparse.Namespace) -> None:
    """Serves the page until Ctrl-C."""
    import signal
    import threading
    from pathlib import Path

    from diffkit.app.api import Api
    from diffkit.app.roots import Roots
    from diffkit.app.server import AppServer, is_loopback

    if args.root is None:
        Path("work_dirs").mkdir(exist_ok=True)
    api = Api(Roots(args.root or ["work_dirs"]), args.model, args.device, args.dtype)
    try:
        with AppServer(api, args.host, args.port) as server:
            if not is_loopback(args.host):
                print(f"warning: --host {args.host} lets every machine that reaches this one paint, train and write "
                      "into the work folder, without a password and without encryption", file=sys.stderr)
            print(f"The page: {server.url}  (Ctrl-C ends it; a running training is told to write its checkpoint)",
                  flush=True)
            threading.Thread(target=api.load_libraries, daemon=True).start()
            for ending in (signal.SIGTERM, signal.SIGHUP):  # the second when its terminal is closed
                if signal.getsignal(ending) is not signal.SIG_IGN:  # as nohup wants it
                    signal.signal(ending, _interrupt)
            server.serve_forever()
    finally:
        api.close()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt
