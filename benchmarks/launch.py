"""Runs a peer's script, or diffkit, as a user would, with what the comparison needs around it.

``python -m benchmarks.launch [--fixed-draws] [--losses FILE] [--marks FILE] SCRIPT …`` runs a script, and with
``-m MODULE …`` a module. A script finds ``torchvision.transforms`` even where torchvision is not installed.
"""

import argparse
import atexit
import json
import runpy
import sys
import time
import types
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what the arguments say, in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.launch", description=__doc__)
    parser.add_argument("--fixed-draws", action="store_true", help="noise and timesteps are the same in all programs")
    parser.add_argument("--losses", metavar="FILE", help="accelerate's log goes here too, a line of JSON for each step")
    parser.add_argument("--marks", metavar="FILE", help="processor seconds after each step of the optimizer go here")
    parser.add_argument("-m", dest="module", action="store_true", help="what follows is a module")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    args = parser.parse_args(argv)
    target, *given = args.rest
    if not args.module and "torchvision" in Path(target).read_text(encoding="utf-8"):
        stand_in_for_torchvision()
    if args.fixed_draws:
        fix_draws()
    if args.losses:
        record_losses(Path(args.losses))
    if args.marks:
        mark_steps(Path(args.marks))
    sys.argv = [target, *given]
    if args.module:
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        sys.path.insert(0, str(Path(target).resolve().parent))
        runpy.run_path(target, run_name="__main__")


def stand_in_for_torchvision() -> None:
    """Lets ``from torchvision import transforms`` succeed where torchvision is not installed.

    transformers and diffusers are asked first whether torchvision is there, so that they go on without it.
    """
    if find_spec("torchvision") is not None:
        return
    from diffusers.utils import is_torchvision_available as diffusers_asked
    from transformers.utils import is_torchvision_available as transformers_asked

    from benchmarks.stand_ins import transforms

    if diffusers_asked() or transformers_asked():
        raise RuntimeError("torchvision is said to be installed, but it cannot be found")
    package = types.ModuleType("torchvision")
    package.transforms = transforms  # type: ignore[attr-defined]
    package.__spec__ = ModuleSpec("torchvision", None)
    sys.modules["torchvision"] = package
    sys.modules["torchvision.transforms"] = transforms


def fix_draws(timestep: int = 500) -> None:
    """Lets noise depend on its shape alone, and makes every timestep ``timestep``; pictures are never mirrored.

    Two programs that compute the same loss then say the same number.
    """
    import random

    import torch

    normal, integers = torch.randn, torch.randint

    def drawn(*size: Any, **options: Any) -> Any:
        shape = tuple(size[0]) if len(size) == 1 and not isinstance(size[0], int) else size
        kept = {name: options[name] for name in ("dtype", "device") if name in options}
        return normal(shape, generator=torch.Generator().manual_seed(1), **kept)

    def steps(*args: Any, **options: Any) -> Any:
        found = integers(*args, **options)
        numbers = [value for value in args if isinstance(value, int)]
        return torch.full_like(found, timestep) if numbers and numbers[-1] == 1000 else found

    torch.randn = drawn
    torch.randn_like = lambda like, **_: drawn(like.shape).to(like)  # type: ignore[assignment]
    torch.randint = steps
    torch.rand = lambda *size, **_: torch.full(size or (), 0.75)
    random.choice = lambda seq: seq[0]  # type: ignore[assignment]


def mark_steps(file: Path) -> None:
    """Writes the processor time of this process after each step of an optimizer into a file, at the end."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    marks: list[float] = []
    register_optimizer_step_post_hook(lambda *_: marks.append(time.process_time()))
    atexit.register(lambda: file.write_text(json.dumps(marks), encoding="utf-8"))


def record_losses(file: Path) -> None:
    """Writes what a script gives to ``Accelerator.log`` into a file."""
    from accelerate import Accelerator

    log = Accelerator.log

    def both(self: Any, values: dict[str, Any], *args: Any, **options: Any) -> None:
        with file.open("a", encoding="utf-8") as stream:
            numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
            stream.write(json.dumps(numbers) + "\n")
        log(self, values, *args, **options)

    Accelerator.log = both  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
