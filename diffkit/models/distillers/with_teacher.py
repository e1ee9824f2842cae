"""What every distiller with a frozen UNet as its teacher has in common."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, get_args

import torch
from torch import Tensor, nn

from diffkit.models.distillers.base import Distiller
from diffkit.models.distillers.teacher import FrozenTeacher
from diffkit.models.offload import Place
from diffkit.utils.device import DTYPES
from diffkit.utils.sharded import ShardedNetwork, shown

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


class TeacherDistiller(Distiller):
    """Keeps a teacher beside the model: outside of its modules, its states, its checkpoints and other processes.

    Args:
        teacher: None is a frozen copy of the UNet, taken before it is changed; or the name of another pipeline.
        dtype: number format of the teacher's weights.
        offload: where its weights wait, see :class:`~diffkit.models.offload.OffloadedWeights`.
    """

    def __init__(self, teacher: str | None, dtype: str, offload: Place | None = None) -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f"{type(self).__name__}: dtype is {dtype!r}; allowed: {', '.join(DTYPES)}.")
        if offload not in (None, *get_args(Place)):
            raise ValueError(f"{type(self).__name__}: offload is {offload!r}; allowed: None, "
                             f"{', '.join(map(repr, get_args(Place)))}.")
        self.source, self.dtype, self.offload = teacher, dtype, offload
        self._teacher: FrozenTeacher | None = None

    def take_teacher(self, model: "LatentDiffusion") -> None:
        self._teacher = self._load_teacher(model)

    def _load_teacher(self, model: "LatentDiffusion") -> FrozenTeacher:
        dtype = getattr(torch, self.dtype)
        return (FrozenTeacher.copy_of(model, dtype, self.offload) if self.source is None
                else FrozenTeacher.from_pretrained(self.source, model, dtype, self.offload))

    @property
    def teacher(self) -> FrozenTeacher:
        """The frozen teacher; there is one as soon as the model is built."""
        if self._teacher is None:
            raise RuntimeError(f"{type(self).__name__}: there is no teacher yet; take_teacher comes first.")
        return self._teacher

    def shard(self, spread: Callable[[nn.Module], ShardedNetwork]) -> None:
        if self._teacher is not None:
            self._teacher.shard(spread)

    @property
    def resident_bytes(self) -> int:
        """Bytes of the teacher's weights that are in memory at once, on the device that it runs on."""
        return 0 if self._teacher is None else self._teacher.resident_bytes

    @contextmanager
    def shown(self, model: "LatentDiffusion") -> Iterator[None]:
        if self._teacher is None:
            yield
            return
        with shown(model, "unet", self._teacher.whole()):
            yield

    def frozen_tensors(self) -> Mapping[str, Tensor]:
        return {} if self._teacher is None else self._teacher.tensors()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "TeacherDistiller":
        """The teacher goes where the model goes."""
        if self._teacher is not None:
            self._teacher.apply(fn)
        return super()._apply(fn, recurse)
