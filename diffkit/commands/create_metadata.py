"""Write the metadata file of a folder of pictures with captions, for image-folder datasets."""

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("folder", nargs="?", metavar="DIR",
                        help="the folder of pictures; captions are text files beside them, a.b.txt for a.b.jpg")
    parser.add_argument("--image_path", "--image-path", dest="image_path", metavar="DIR",
                        help="the same folder, as Intel's script spells it")
    parser.add_argument("--template", metavar="TEXT",
                        help="caption of pictures without one of their own; {name} is the picture's name in words, "
                             "{folder} that of its folder")
    parser.add_argument("--captions-file", metavar="FILE", help="a .jsonl or .csv file with file_name and a caption")
    parser.add_argument("--caption-column", default="text", help="column of the captions (default: %(default)s)")
    parser.add_argument("--format", choices=("jsonl", "csv"), default="jsonl", dest="file_format",
                        help="metadata.jsonl or metadata.csv (default: %(default)s)")
    parser.add_argument("--flat", action="store_true", help="do not read sub-folders")
    parser.add_argument("--no-check", action="store_true", help="do not decode the pictures")
    parser.add_argument("--overwrite", action="store_true", help="replace a metadata file whatever it holds")


def run(args: argparse.Namespace) -> int:
    """Writes the file and says what was left out."""
    from diffkit.apis.metadata_writing import create_metadata

    given = [folder for folder in (args.folder, args.image_path) if folder]
    if len(given) != 1:
        raise ValueError("name one folder of pictures: diffkit create_metadata DIR")
    report = create_metadata(
        given[0], template=args.template, captions_file=args.captions_file, caption_column=args.caption_column,
        file_format=args.file_format, recursive=not args.flat, check_images=not args.no_check,
        overwrite=args.overwrite)
    print("\n".join(report.lines()))
    return 0
