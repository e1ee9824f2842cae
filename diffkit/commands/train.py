"""Train a model from a config."""

import argparse

from diffkit.commands.arguments import add_config, add_launcher, add_work_dir
from diffkit.utils.lasting import lasting_objects
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    add_config(parser)
    add_work_dir(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="auto",
        metavar="STEP",
        help="go on from the newest step folder in the work dir, or from the given one",
    )
    parser.add_argument(
        "--allow-change",
        action="store_true",
        help="with --resume: go on even if the config, the data or the number of processes has changed",
    )
    add_launcher(parser)


def run(args: argparse.Namespace) -> None:
    """Trains."""
    with lasting_objects():
        import diffkit.datasets
        import diffkit.engine
        import diffkit.models  # noqa: F401
        from diffkit.apis.train import train

    train(
        args.config,
        work_dir=args.work_dir,
        resume=args.resume,
        allow_change=args.allow_change,
        cfg_options=parse_overrides(args.cfg_options),
        launcher=args.launcher,
        local_rank=args.local_rank,
    )
