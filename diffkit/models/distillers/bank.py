"""What a teacher said, kept on disk: it need not be in memory while a student learns from it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from diffkit.models.step import Step
from diffkit.utils.hashes import tensors_sha256
from diffkit.utils.write_aside import write_aside

_FORMAT = 1
#: Answers that are written into one file.
_PER_FILE = 256


class TeacherBank:
    """Predictions of one teacher, by what it was asked.

    An answer is known by a hash of all that the teacher sees (noisy latents, timestep, encoded text), and the bank of a
    teacher by a hash of its weights: other data, another prompt or another teacher never meet a wrong answer, they only
    find none. Each file is named by the hash of its bytes; one that is damaged is removed, and its answers are asked
    again.

    Args:
        folder: for banks; each teacher has a folder of its own in it.
        teacher: the hash of its weights.
    """

    def __init__(self, folder: str | Path, teacher: str) -> None:
        self.folder = Path(folder).expanduser() / teacher[:16]
        self._places: dict[str, Path] = {}
        self._open: dict[Path, Any] = {}
        self._fresh: dict[str, Tensor] = {}
        self.folder.mkdir(parents=True, exist_ok=True)
        about = self.folder / "about.json"
        if not about.is_file():
            write_aside(about, json.dumps({"format": _FORMAT, "teacher": teacher}, indent=1).encode() + b"\n")
        for path in sorted(self.folder.glob("*.safetensors")):
            self._read(path)

    def _read(self, path: Path) -> None:
        with open(path, "rb") as file:
            sound = hashlib.file_digest(file, "sha256").hexdigest()[:32] == path.stem
        if not sound:
            print_log(f"{path} is damaged: what the teacher said there is asked again", logger="current")
            path.unlink(missing_ok=True)
            return
        with safe_open(path, framework="pt") as answers:
            self._places.update(dict.fromkeys(answers.keys(), path))

    def __len__(self) -> int:
        return len(self._places.keys() | self._fresh.keys())

    def __contains__(self, key: str) -> bool:
        return key in self._places or key in self._fresh

    def ask(self, step: Step, answer: Callable[[Step], Tensor]) -> Tensor:
        """The teacher's prediction on a step, [B, C, h, w] in float32.

        Args:
            step: what it sees.
            answer: asks the teacher itself, for samples that the bank does not have; one at a time, so that an answer
                does not depend on what was beside it.
        """
        rows = []
        for key, row in zip(keys_of(step), rows_of(step), strict=True):
            if key not in self:
                self.put(key, answer(row)[0])
            rows.append(self.get(key).to(step.noisy_latents.device))
        return torch.stack(rows).float()

    def get(self, key: str) -> Tensor:
        """An answer, [C, h, w]; KeyError where there is none."""
        if key in self._fresh:
            return self._fresh[key]
        path = self._places[key]
        if path not in self._open:
            self._open[path] = safe_open(path, framework="pt")
        return self._open[path].get_tensor(key)

    def put(self, key: str, answer: Tensor) -> None:
        """Keeps an answer; it is on the disk after :meth:`flush`, which comes by itself now and then."""
        self._fresh[key] = answer.detach().cpu().contiguous()
        if len(self._fresh) >= _PER_FILE:
            self.flush()

    def flush(self) -> None:
        """Writes what is new; a file appears whole or not at all."""
        if self._fresh:
            content = save(self._fresh)
            path = self.folder / f"{hashlib.sha256(content).hexdigest()[:32]}.safetensors"
            write_aside(path, content)
            self._places.update(dict.fromkeys(self._fresh, path))
            self._fresh = {}


def rows_of(step: Step) -> list[Step]:
    """The samples of a step, each as a step of one, with what a teacher sees of it."""
    conditioning = step.conditioning.rows()
    return [Step(
        latents=step.latents[i:i + 1], noise=step.noise[i:i + 1], noisy_latents=step.noisy_latents[i:i + 1],
        timesteps=step.timesteps[i:i + 1], conditioning=type(row).stack([row]), target=step.target[i:i + 1],
        is_prior=step.is_prior[i:i + 1], sample_weight=step.sample_weight[i:i + 1])
        for i, row in enumerate(conditioning)]


def keys_of(step: Step) -> Sequence[str]:
    """For each sample of a step a hash of what a teacher sees of it."""
    return [tensors_sha256([
        ("noisy", row.noisy_latents.float()), ("timestep", row.timesteps.long()),
        *((name, value.float()) for name, value in row.conditioning.tensors())]) for row in rows_of(step)]
