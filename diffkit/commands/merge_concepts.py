"""Make one step folder of several trainings of Custom Diffusion, by a formula and without a training."""

import argparse

from diffkit.utils.pretrained import as_the_user_named


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("steps", nargs="+", metavar="STEP", help="step folders, each of one concept with its word")
    parser.add_argument("--categories", nargs="+", required=True, metavar="WORD",
                        help="the class of each concept, as: cat 'wooden pot'; '' where a word stands alone")
    parser.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    parser.add_argument("--pretrained", metavar="MODEL", help="what all were trained on (default: what they say)")
    parser.add_argument("--prompts", nargs="+", metavar="TEXT",
                        help="sentences with {} where a concept stands (default: '{}' 'photo of a {}')")
    parser.add_argument("--ordinary", metavar="FILE",
                        help="captions that shall be understood as before, one a line, or shapes:scenes "
                             "(default: 200 sentences of diffkit)")
    parser.add_argument("--compression", type=float, metavar="SHARE",
                        help="write factors that keep this share of the change, above 0 and at most 1")
    parser.add_argument("--pickled", action="store_true",
                        help="write delta.bin and the .bin file of diffusers too, which are pickles")


def run(args: argparse.Namespace) -> None:
    """Merges, and says how well."""
    from diffkit.apis.concept_merging import PROMPTS, merge_concepts

    with as_the_user_named(pretrained="--pretrained"):
        merged = merge_concepts(
            args.steps, args.categories, args.out, pretrained=args.pretrained, prompts=args.prompts or PROMPTS,
            ordinary=args.ordinary, compression=args.compression, pickled=args.pickled)
    print(f"{merged.folder}: {', '.join(merged.words)}; largest error on their words {merged.error:.1e}, "
          f"ordinary captions changed by {100 * merged.forgetting:.1f} %")
