"""Write one page that shows trainings and models side by side: pictures, curves, metrics, cost, config."""

import argparse

from diffkit.commands.arguments import DTYPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the command."""
    parser.add_argument("work_dirs", nargs="*", metavar="WORK_DIR", help="folders of trainings, such as work_dirs/NAME")
    parser.add_argument(
        "--models", nargs="+", action="extend", default=[], metavar="[LABEL=]MODEL",
        help="models that paint the same prompts from the same noise, and are measured: a packaged name, a folder, a "
             "step folder or a name of the hub; 'auto' takes what each training began with, and its newest step folder")
    parser.add_argument("--prompt", nargs="+", action="extend", default=[], metavar="TEXT",
                        help="what the models paint (default: what the trainings sampled)")
    parser.add_argument("--images-num", "--images_num", type=int, default=2,
                        help="pictures of each prompt (default: %(default)s)")
    parser.add_argument("--out", default="report.html", metavar="FILE",
                        help="the page; its tables lie beside it as Markdown (default: %(default)s)")
    parser.add_argument("--title", metavar="TEXT", help="of the page")
    parser.add_argument("--picture-side", type=int, default=320, metavar="PIXELS",
                        help="longer side of the pictures in the page at most (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=25, help="denoising steps (default: %(default)s)")
    parser.add_argument("--guidance", type=float, default=7.5,
                        help="classifier-free guidance scale (default: %(default)s)")
    parser.add_argument("--height", type=int, help="height of a picture in pixels (default: the model's own)")
    parser.add_argument("--width", type=int, help="width of a picture in pixels (default: the model's own)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first picture (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="how often a picture is timed (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=4, help="pictures at once (default: %(default)s)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1 … (default: a GPU where there is one)")
    parser.add_argument("--dtype", choices=DTYPES, default="auto", help="number format (default: by the device)")
    parser.add_argument("--kernels", choices=("auto", "kernels", "dequantized"), default="auto",
                        help="what a quantised UNet computes with on a CPU (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Writes the page and says where it is."""
    from diffkit.apis.report.writing import write_report

    files = write_report(
        args.work_dirs, models=args.models, prompts=args.prompt, images_num=args.images_num, seed=args.seed,
        out=args.out, title=args.title, picture_side=args.picture_side, num_inference_steps=args.steps,
        guidance_scale=args.guidance, height=args.height, width=args.width, repeats=args.repeats,
        batch_size=args.batch_size, device=args.device, dtype=args.dtype, kernels=args.kernels)
    print("\n".join(map(str, files)))
