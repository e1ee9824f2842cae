"""Build a folder of real prior pictures out of captioned ones: of a folder, a metadata file or a dataset of the hub."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("source", help="a folder of captioned images, a .jsonl or .csv file with file_name and text, a "
                                       "folder filled by retrieve.py, or a dataset of the hub (owner/name)")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write; for class_data_root")
    parser.add_argument("--words", nargs="+", default=[], metavar="WORD",
                        help="only pictures whose caption has all of these words")
    parser.add_argument("--num-images", type=int, default=200, help="how many pictures (default: %(default)s)")
    parser.add_argument("--caption-column", default="text", help="column of the captions (default: %(default)s)")
    parser.add_argument("--image-column", default="image",
                        help="column of the images of a dataset of the hub (default: %(default)s)")
    parser.add_argument("--split", default="train", help="part of a dataset of the hub (default: %(default)s)")
    parser.add_argument("--config-name", help="configuration of a dataset of the hub, where it has several")
    parser.add_argument("--seed", type=int, default=0, help="of the choice among them (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Builds the folder and says what is in it."""
    from diffkit.apis.prior_building import build_prior

    counts = build_prior(
        args.source, args.out, num_images=args.num_images, words=args.words, caption_column=args.caption_column,
        image_column=args.image_column, split=args.split, config_name=args.config_name, seed=args.seed)
    print(f"{args.out}: {counts['written']} of {counts['matching']} pictures with these words, among "
          f"{counts['captioned']} with a caption; passed over: {counts['unreadable']} that cannot be read, "
          f"{counts['equal']} that come twice")
