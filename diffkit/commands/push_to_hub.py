"""Send a step folder to the Hugging Face hub, with a model card made from the training."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("step", metavar="STEP", help="a step folder, such as work_dirs/NAME/step999")
    parser.add_argument("repo", metavar="OWNER/NAME", help="the repository; it is made where it is not there")
    parser.add_argument("--private", action="store_true", help="make a private repository")
    parser.add_argument("--base-model", metavar="MODEL",
                        help="what STEP was trained on, as others can name it (default: what STEP says)")
    parser.add_argument("--license", metavar="ID", help="such as openrail++ (default: that of a well-known base)")
    parser.add_argument("--metrics", nargs="+", action="extend", default=[], metavar="FILE",
                        help="JSON files of diffkit test, for the model card")
    parser.add_argument("--message", metavar="TEXT", help="of the commit")
    parser.add_argument("--dry-run", metavar="DIR", help="write everything to a new folder and send nothing")


def run(args: argparse.Namespace) -> None:
    """Sends the files and says where they are."""
    from diffkit.apis import push_to_hub

    print(push_to_hub(args.step, args.repo, private=args.private, base_model=args.base_model, license=args.license,
                      metrics=args.metrics, dry_run=args.dry_run, message=args.message))
