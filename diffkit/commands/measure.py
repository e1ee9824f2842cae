"""Measure a miniature, or trainings on it, and write the tables of the documentation."""

import argparse
import shlex
from collections.abc import Callable
from typing import Any

from diffkit.commands.arguments import key_value
from diffkit.utils.overrides import parse_overrides


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the measurements, each with its arguments."""
    kinds = parser.add_subparsers(dest="kind", metavar="WHAT", required=True)
    add: dict[str, Callable[[argparse.ArgumentParser], None]] = {
        "mini-sd": _miniature, "mini-sdxl": _mini_sdxl, "concept-gate": _concept_gate, "dreambooth": _dreambooth,
        "personalisation": _personalisation, "distillation": _distillation, "chain": _chain,
        "consistency": _consistency, "teacher-memory": _teacher_memory, "student-steps": _student_steps,
        "quantization": _quantization, "int8-speed": _int8_speed}
    helps = {
        "mini-sd": "what the miniature paints, what its VAE keeps, how fast it is",
        "mini-sdxl": "the same of mini-sdxl",
        "concept-gate": "which concepts it can be taught",
        "dreambooth": "DreamBooth with and without prior pictures and caption dropout",
        "chain": "distil, personalise, quantise: what each part leaves of the subject, in both orders",
        "int8-speed": "how fast and how small quantised UNets are, beside other number formats",
        "consistency": "pictures in few steps, before and after consistency distillation",
        "teacher-memory": "bytes that a teacher takes, and what each way to save some of them saves",
        "student-steps": "time of a LoRA step on students of Stable Diffusion 1.5, beside a step on the whole",
        "distillation": "students without training, and with more and more of what a teacher tells them",
        "personalisation": "every way to personalise: concept, forgetting, size and cost",
        "quantization": "integers, calibrated and trained, beside the float model",
    }
    for name, fill in add.items():
        kind = kinds.add_parser(name, help=helps[name], description=helps[name])
        fill(kind)
        kind.add_argument("--out", metavar="PATH", help="results, without suffix (default: docs/results/…)")


def _mini_sdxl(parser: argparse.ArgumentParser) -> None:
    _miniature(parser, "mini-sdxl")


def _miniature(parser: argparse.ArgumentParser, default: str = "mini-sd") -> None:
    _add_pretrained(parser, default)
    parser.add_argument("--n", type=int, default=256, help="prompts of each kind (default: %(default)s)")
    parser.add_argument("--photos", metavar="DIR", help="a folder of photographs for the VAE")
    parser.add_argument(
        "--parts", nargs="+", metavar="PART", help="of vae, files, speed, reload and prompts (default: all)")


def _concept_gate(parser: argparse.ArgumentParser) -> None:
    _add_pretrained(parser)
    parser.add_argument("--concepts", nargs="+", metavar="NAME", help="(default: all)")
    parser.add_argument("--n", type=int, default=256, help="ordinary drawings (default: %(default)s)")
    parser.add_argument(
        "--generated", type=int, default=32,
        help="pictures of the untaught model for each concept (default: %(default)s)")


def _dreambooth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", help="(default: mini_sd_dreambooth_lora)")
    parser.add_argument("--pretrained", metavar="MODEL", help="(default: that of the config)")
    parser.add_argument("--variants", nargs="+", metavar="NAME",
                        help="of full, no_caption_dropout, no_prior and unet_only (default: all)")
    _add_trainings(parser, ordinary=256, work_dir="work_dirs/measure_dreambooth")
    parser.add_argument("--image", metavar="FILE", help="contact sheet (default: docs/images/mini_sd_dreambooth.png)")


def _personalisation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pretrained", metavar="MODEL", help="(default: that of each config)")
    parser.add_argument("--methods", nargs="+", metavar="NAME",
                        help="of dreambooth, lora, dora, loha, lokr, oft, ti_4, ti_1, ti_striped, pivotal, custom and "
                             "custom_two (default: all)")
    _add_trainings(parser, ordinary=64, work_dir="work_dirs/measure_personalisation")


def _int8_speed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sizes", nargs="+", metavar="NAME", help="of 220m and sd15 (default: both)")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="of speed, size and step (default: all)")
    parser.add_argument("--rounds", type=int, metavar="COUNT", help="in which all take turns (default: 5)")
    parser.add_argument("--work-dir", help="of the files (default: work_dirs/measure_int8_speed)")


def _distillation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pretrained", metavar="MODEL", help="the teacher (default: that of the configs)")
    parser.add_argument("--students", nargs="+", metavar="NAME", help="of small and tiny (default: both)")
    parser.add_argument("--arms", nargs="+", metavar="NAME",
                        help="of untrained, task, task_time, output, feature, whole and dreambooth (default: all)")
    parser.add_argument("--n", type=int, help="ordinary prompts of each seed (default: 96)")
    parser.add_argument("--heldout", type=int, metavar="COUNT", help="held-out prompts of each seed (default: 96)")
    parser.add_argument("--iterations", type=int, metavar="COUNT", help="of all arms but whole (default: 300)")
    _add_trainings(parser, ordinary=64, work_dir="work_dirs/measure_distillation")
    parser.add_argument("--image", metavar="FILE", help="pictures (default: docs/images/mini_sd_distillation.png)")


def _chain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", nargs="+", metavar="NAME",
                        help="of teacher_lora, student_lora, student_lora_int8, personal_first and personal_first_int8 "
                             "(default: all)")
    parser.add_argument("--student", metavar="DIR",
                        help="a step folder of mini_sd_distill_small; without it the config is trained")
    parser.add_argument("--per-background", type=int, metavar="COUNT",
                        help="pictures of the concept on each background, for each sampling seed (default: 2)")
    _add_trainings(parser, ordinary=64, work_dir="work_dirs/measure_chain")


def _quantization(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pretrained", metavar="MODEL", help="(default: that of each config)")
    parser.add_argument("--arms", nargs="+", metavar="NAME",
                        help="of w8a8_minmax, w8a8, w8a8_kd, w4a8, w4a8_noise, w4a8_kd, w4a8_all and word_w8a8_kd "
                             "(default: all)")
    for name, what in (("predictions", "noisy latents that the UNets are compared on (default: 256)"),
                       ("pictures", "compared with the float model's (default: 64)"),
                       ("prompts", "pictures whose shape and colour are read, for each model and seed (default: 96)")):
        parser.add_argument(f"--{name}", type=int, metavar="COUNT", help=what)
    _add_trainings(parser, None, work_dir="work_dirs/measure_quantization")


def _consistency(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pretrained", metavar="MODEL", help="(default: that of the configs)")
    parser.add_argument("--variants", nargs="+", metavar="NAME", help="of full and lora (default: both)")
    parser.add_argument("--n", type=int, help="prompts (default: 128)")
    parser.add_argument("--steps", type=int, nargs="+", metavar="N", help="that are tried (default: 1 2 4)")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="of the trainings (default: 0 1 2)")
    parser.add_argument("--work-dir", help="of the trainings (default: work_dirs/measure_consistency)")
    _add_options(parser)


def _teacher_memory(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", help="of a distillation (default: mini_sd_distill_small)")
    parser.add_argument("--variants", nargs="+", metavar="NAME",
                        help="of task, float32, bfloat16, disk, checkpointing, all, output and bank (default: all)")
    parser.add_argument("--batch-size", type=int, help="pictures of a step (default: 4)")
    _add_options(parser)


def _student_steps(parser: argparse.ArgumentParser) -> None:
    for name, what in (("side", "of the latents (default: 32)"), ("batch-size", "pictures of a step (default: 1)"),
                       ("rank", "of the adapters (default: 8)"),
                       ("rounds", "in which all take turns (default: 5)")):
        parser.add_argument(f"--{name}", type=int, metavar="COUNT", help=what)


def _add_trainings(parser: argparse.ArgumentParser, ordinary: int | None, work_dir: str) -> None:
    parser.add_argument("--seeds", nargs="+", type=int, metavar="N", help="of the trainings (default: 0 1 2)")
    parser.add_argument("--sampling-seeds", type=int, metavar="COUNT", help="(default: 4)")
    if ordinary is not None:
        parser.add_argument("--ordinary", type=int, metavar="COUNT", help=f"ordinary prompts (default: {ordinary})")
    parser.add_argument("--work-dir", help=f"of the trainings (default: {work_dir})")
    _add_options(parser)


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cfg-options", nargs="+", action="extend", type=key_value, metavar="KEY=VALUE",
                        help="override values of the config")


def _add_pretrained(parser: argparse.ArgumentParser, default: str = "mini-sd") -> None:
    parser.add_argument(
        "--pretrained", default=default, metavar="MODEL",
        help=f"{default}, a folder or a step folder (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Measures, writes the files and prints the table."""
    given = {name: value for name, value in vars(args).items() if value is not None}
    options: dict[str, Any] = {
        name: value for name, value in given.items() if name not in ("kind", "run", "debug", "command")}
    options["command"] = _command(args.kind, options)
    if args.kind in ("mini-sd", "mini-sdxl"):
        from diffkit.apis.measure.mini_sd import measure_miniature as measure

        options["name"] = args.kind
    elif args.kind == "concept-gate":
        from diffkit.apis.measure.concept_gate import measure_concept_gate as measure  # type: ignore[assignment]
    elif args.kind == "int8-speed":
        from diffkit.apis.measure.int8_speed import measure_int8_speed as measure  # type: ignore[assignment]
    elif args.kind == "personalisation":
        from diffkit.apis.measure.personalisation import measure_personalisation as measure  # type: ignore[assignment]
    elif args.kind == "consistency":
        from diffkit.apis.measure.consistency import measure_consistency as measure  # type: ignore[assignment]
    elif args.kind == "teacher-memory":
        from diffkit.apis.measure.teacher_memory import (  # type: ignore[assignment]
            measure_teacher_memory as measure,
        )
    elif args.kind == "distillation":
        from diffkit.apis.measure.distillation import measure_distillation as measure  # type: ignore[assignment]
    elif args.kind == "chain":
        from diffkit.apis.measure.chain import measure_chain as measure  # type: ignore[assignment]
    elif args.kind == "student-steps":
        from diffkit.apis.measure.student_steps import measure_student_steps as measure  # type: ignore[assignment]
    elif args.kind == "quantization":
        from diffkit.apis.measure.quantization import measure_quantization as measure  # type: ignore[assignment]
    else:
        from diffkit.apis.measure.dreambooth import measure_dreambooth as measure  # type: ignore[assignment]
    if "cfg_options" in options:
        options["cfg_options"] = parse_overrides(options["cfg_options"])
    print(measure(**options))


def _command(kind: str, options: dict[str, Any]) -> str:
    """The command line that does the same."""
    words = ["diffkit", "measure", kind]
    for name, value in options.items():
        words.append(f"--{name.replace('_', '-')}")
        words += [str(item) for item in value] if isinstance(value, list) else [str(value)]
    return shlex.join(words)
