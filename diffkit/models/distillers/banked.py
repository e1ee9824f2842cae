"""A teacher whose outputs are kept in a bank; it is loaded only for what the bank does not have."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from mmengine.logging import print_log
from torch import Tensor

from diffkit.models.distillers.bank import TeacherBank
from diffkit.models.distillers.teacher import FrozenTeacher
from diffkit.models.frozen import is_frozen
from diffkit.models.step import Step
from diffkit.utils.hashes import tensors_sha256

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion
    from diffkit.models.offload import Place


class BankedTeacher:
    """Answers from a :class:`~diffkit.models.distillers.bank.TeacherBank`.

    Args:
        folder: for the banks of all teachers.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self._bank: TeacherBank | None = None
        self._teacher: FrozenTeacher | None = None
        self._digest = ""

    def open(self, model: "LatentDiffusion", load: "Callable[[LatentDiffusion], FrozenTeacher]", source: str | None,
             dtype: str, offload: "Place | None") -> None:
        """Opens the bank of the teacher, and lets the teacher go.

        Args:
            model: before anything is done to it.
            load: loads the teacher that ``source`` names.
            source: None is the model's own UNet.
            dtype: number format of the teacher's weights.
            offload: where its weights wait, when it has to be loaded.

        Raises:
            ValueError: the model's weights come from nowhere, so they could not be loaded again.
        """
        name = source or model.source
        if name is None:
            raise ValueError("model.distiller.bank needs a teacher that can be loaded again: give model.pretrained, or "
                             "model.distiller.teacher.")
        weights = dict(model.get_submodule("unet").state_dict()) if source is None else load(model).tensors()
        self._digest = _digest(weights, getattr(torch, dtype))
        self._bank = TeacherBank(self.folder, self._digest)
        self._load = lambda: FrozenTeacher.from_pretrained(str(name), model, getattr(torch, dtype), offload)

    def ask(self, step: Step) -> Tensor:
        """The teacher's prediction on a step, [B, C, h, w] in float32; what is missing is asked and kept."""
        return self._opened.ask(step, self._answer)

    def flush(self) -> None:
        """Writes all answers to the disk."""
        self._opened.flush()

    def release(self) -> None:
        """Lets the teacher go, if it was loaded."""
        self._teacher = None

    @property
    def resident_bytes(self) -> int:
        """Bytes of the teacher's weights that are in memory: none, unless something was missing."""
        return 0 if self._teacher is None else self._teacher.resident_bytes

    def __len__(self) -> int:
        return 0 if self._bank is None else len(self._bank)

    def _answer(self, step: Step) -> Tensor:
        if self._teacher is None:
            print_log("the bank lacks outputs of the teacher: it is loaded to make them", logger="current")
            self._teacher = self._loaded(step.noisy_latents.device)
        with torch.autocast(step.noisy_latents.device.type, enabled=False):
            said = self._teacher.predict(step.noisy_latents, step.timesteps, step.conditioning)
        return said.to(self._teacher.unet.dtype)

    def _loaded(self, device: torch.device) -> FrozenTeacher:
        teacher = self._load()
        if _digest(teacher.tensors(), teacher.unet.dtype) != self._digest:
            raise ValueError("model.distiller.bank: the teacher's weights changed while they were in use: start again")
        teacher.apply(lambda tensor: tensor.to(device))
        return teacher

    @property
    def _opened(self) -> TeacherBank:
        if self._bank is None:
            raise RuntimeError("BankedTeacher: open has not been called.")
        return self._bank

    @contextmanager
    def shown(self, model: "LatentDiffusion") -> Iterator[None]:
        """Puts the teacher in the student's place inside ``with``, and lets it go afterwards."""
        student = model.get_submodule("unet")
        model.add_module("unet", self._loaded(model.device).unet)
        try:
            yield
        finally:
            model.add_module("unet", student)

    def frozen_tensors(self) -> Mapping[str, Tensor]:
        """The hash of the teacher's weights, which are not here."""
        return {"sha256": torch.frombuffer(bytearray.fromhex(self._digest), dtype=torch.uint8)} if self._digest else {}

    def describe(self) -> str:
        """One line: where the bank is, and how much it holds."""
        return f"its outputs in {self.folder} ({len(self)} there)"


def check_fixed(model: "LatentDiffusion") -> None:
    """Raises ValueError where a model does not ask its teacher the same from one time to the next."""
    if getattr(model.objective, "fixed_draws", None) is None:
        raise ValueError("model.distiller.bank holds what the teacher said of fixed latents, noises and timesteps: set "
                         "model.objective.fixed_draws, such as 4; this changes the algorithm.")
    trained = [name for name, component in model.components.items() if name != "unet" and not is_frozen(component)]
    if trained:
        raise ValueError(f"model.distiller.bank needs text and latents that stay as they are, and {trained[0]} is "
                         "trained: leave bank out.")


def _digest(weights: Mapping[str, Tensor], dtype: torch.dtype) -> str:
    return tensors_sha256((name, weights[name].to(dtype)) for name in sorted(weights))
