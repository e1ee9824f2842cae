"""A student UNet learns what its teacher's says, and how it gets there (Kim et al. 2023, arXiv 2305.15798)."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from diffkit.models.distillers.base import Distiller
from diffkit.models.distillers.connectors import LinearConnector
from diffkit.models.distillers.objective import DistillObjective
from diffkit.models.distillers.recorder import Recorder, missing_layers
from diffkit.models.distillers.teacher import FrozenTeacher
from diffkit.models.losses import weighted_mean
from diffkit.models.step import Step
from diffkit.models.twin import empty_unet, example_inputs
from diffkit.registry import DISTILLERS
from diffkit.utils.device import DTYPES

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion

Pairs = dict[str, tuple[tuple[str, str], ...]]


@DISTILLERS.register_module()
class DenoiserDistiller(Distiller):
    """Adds the distance of the student to a teacher, on the same noisy latents, timesteps and text.

    Each term is ``weight * loss``, averaged over the batch as the task's loss is: the instances' mean plus
    ``prior_loss_weight`` times the prior samples'. The task has its own weight, ``Denoising.loss_weight``.

    Args:
        objectives: arguments of :class:`~diffkit.models.distillers.objective.DistillObjective` by the name of the
            term, which begins with ``loss_``: ``dict(loss_output=dict(weight=0.5),
            loss_feature=dict(weight=0.5, pairs="sd_small"))``.
        teacher: None is a frozen copy of the UNet, taken before it is pruned, adapted or quantised; or a packaged
            name, folder, step folder or hub id, whose UNet teaches. The text comes from the model's own encoders.
        dtype: number format of the teacher's weights: ``bfloat16`` halves its memory.
    """

    def __init__(self, objectives: dict[str, dict], teacher: str | None = None,
                 dtype: Literal["float32", "bfloat16", "float16"] = "float32") -> None:
        super().__init__()
        if dtype not in DTYPES:
            raise ValueError(f"DenoiserDistiller: dtype is {dtype!r}; allowed: {', '.join(DTYPES)}.")
        if not objectives:
            raise ValueError("DenoiserDistiller: objectives is empty; give loss_output, loss_feature or both.")
        for name in objectives:
            if not name.startswith("loss_") or name == "loss_denoising":
                raise ValueError(f"DenoiserDistiller: objectives has {name!r}: a name must begin with 'loss_', and "
                                 "'loss_denoising' is the task's.")
        self.source, self.dtype = teacher, dtype
        self.objectives = {name: self._objective(name, options) for name, options in objectives.items()}
        self.connectors = nn.ModuleDict()
        self._teacher: FrozenTeacher | None = None
        self._pairs: Pairs = {}
        self._recorder: Recorder | None = None
        self._checked = False

    @staticmethod
    def _objective(name: str, options: dict[str, Any]) -> DistillObjective:
        try:
            return DistillObjective(**options)
        except (TypeError, ValueError) as error:
            raise type(error)(f"DenoiserDistiller: objectives[{name!r}]: {error}") from error

    # --- before training

    def check(self, before: Mapping[str, nn.Module], after: Mapping[str, nn.Module]) -> None:
        """Looks whether all pairs exist and have outputs of one shape."""
        if self.source is None:
            self._find_pairs(before["unet"], after["unet"])
            self._checked = True

    def take_teacher(self, model: "LatentDiffusion") -> None:
        if not self.active:
            return
        dtype = getattr(torch, self.dtype)
        self._teacher = (FrozenTeacher.copy_of(model, dtype) if self.source is None
                         else FrozenTeacher.from_pretrained(self.source, model, dtype))

    def attach(self, model: "LatentDiffusion") -> None:
        student = model.get_submodule("unet")
        self._prior_loss_weight = model.prior_loss_weight
        if self._teacher is None:
            return
        if not self._checked:
            self._find_pairs(self._teacher.unet, student)
        self._recorder = Recorder(student, [path for pairs in self._pairs.values() for path, _ in pairs])

    @property
    def active(self) -> dict[str, DistillObjective]:
        """The objectives whose weight is not 0."""
        return {name: objective for name, objective in self.objectives.items() if objective.weight}

    def _find_pairs(self, teacher: nn.Module, student: nn.Module) -> None:
        """Resolves the pairs of all objectives; makes the connectors.

        Raises:
            ValueError: layers do not exist, or their outputs have different shapes; the message names them all.
        """
        self._pairs = {name: _resolve(objective.pairs, student) for name, objective in self.active.items()
                       if objective.pairs is not None}
        faults = []
        for name, pairs in self._pairs.items():
            for who, network, paths in (("student", student, [own for own, _ in pairs]),
                                        ("teacher", teacher, [taught for _, taught in pairs])):
                faults += [f"objectives[{name!r}].pairs: the {who} has no layer {path!r}{hint}"
                           for path, hint in missing_layers(network, paths).items()]
        if not faults and self._pairs:
            faults = self._connect(_shapes(teacher, [taught for pairs in self._pairs.values() for _, taught in pairs]),
                                   _shapes(student, [own for pairs in self._pairs.values() for own, _ in pairs]))
        if faults:
            raise ValueError("DenoiserDistiller: " + "; ".join(faults))

    def _connect(self, teacher: dict[str, tuple[int, ...]], student: dict[str, tuple[int, ...]]) -> list[str]:
        """Makes the connectors; returns what does not fit."""
        faults = []
        for name, pairs in self._pairs.items():
            channels = 1 if self.objectives[name].connector else None
            maps = []
            for own, taught in pairs:
                if own not in student or taught not in teacher:
                    faults.append(f"objectives[{name!r}].pairs: ({own!r}, {taught!r}) names a layer without an output")
                    continue
                ours, theirs = student[own], teacher[taught]
                dim = 1 if len(ours) == 4 else -1
                if channels and len(ours) == len(theirs):
                    maps.append(LinearConnector(ours[dim], theirs[dim]))
                    ours = ours[:1] + theirs[1:2] + ours[2:] if dim == 1 else (*ours[:-1], theirs[-1])
                if ours != theirs:
                    faults.append(f"objectives[{name!r}].pairs: {own!r} of the student gives {list(student[own])}, "
                                  f"{taught!r} of the teacher {list(theirs)}" + _hint(ours, theirs))
            if maps:
                self.connectors[name] = nn.ModuleList(maps)
        return faults

    # --- a step

    @contextmanager
    def recording(self) -> Iterator[None]:
        if self._recorder is None:
            yield
            return
        with self._recorder:
            yield

    def losses(self, step: Step) -> dict[str, Tensor]:
        if self._teacher is None or self._recorder is None:
            return {}
        if step.prediction is None:
            raise RuntimeError("DenoiserDistiller.losses: the student has not run on this step.")
        wanted = [taught for pairs in self._pairs.values() for _, taught in pairs]
        prediction, features = self._teacher.run(step, wanted)
        recorded, self._recorder.outputs = self._recorder.outputs, {}
        terms = {}
        for name, objective in self.active.items():
            if name in self._pairs:
                values = [objective.loss(own, taught) for own, taught in self._features(name, recorded, features)]
                per_sample = torch.stack(values).sum(0)
            else:
                per_sample = objective.loss(step.prediction, prediction)
            terms[name] = objective.weight * weighted_mean(
                per_sample, step.sample_weight if objective.snr_weighted else None, step.is_prior,
                self._prior_loss_weight)
        return terms

    def _features(self, name: str, student: dict[str, Tensor],
                  teacher: dict[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        maps: Any = self.connectors[name] if name in self.connectors else [None] * len(self._pairs[name])
        for connector, (own, taught) in zip(maps, self._pairs[name], strict=True):
            feature = student[own]
            yield feature if connector is None else connector(feature), teacher[taught]

    # --- what others see of it

    @contextmanager
    def shown(self, model: "LatentDiffusion") -> Iterator[None]:
        if self._teacher is None:
            yield
            return
        student = model.get_submodule("unet")
        model.add_module("unet", self._teacher.unet)
        try:
            yield
        finally:
            model.add_module("unet", student)

    def frozen_tensors(self) -> Mapping[str, Tensor]:
        return {} if self._teacher is None else self._teacher.tensors()

    def describe(self) -> str:
        if not self.active:
            return "no teacher: all weights are 0"
        terms = ", ".join(
            f"{objective.weight:g} x {name}" + (f" ({len(self._pairs[name])} pairs)" if name in self._pairs else "")
            for name, objective in self.active.items())
        return f"{self.source or 'a frozen copy of the UNet'} in {self.dtype}: {terms}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "DenoiserDistiller":
        """The teacher goes where the model goes."""
        if self._teacher is not None:
            self._teacher.apply(fn)
        return super()._apply(fn, recurse)


def _resolve(pairs: Any, student: nn.Module) -> tuple[tuple[str, str], ...]:
    """The pairs themselves; for ``blocks`` every block of the student with the one of its name."""
    if pairs != "blocks":
        return pairs
    names = [name for side in ("down_blocks", "up_blocks")
             for name in (f"{side}.{i}" for i, _ in enumerate(student.get_submodule(side).children()))]
    middle = ["mid_block"] if getattr(student, "mid_block", None) is not None else []
    return tuple((name, name) for name in [*names, *middle])


def _shapes(network: Any, paths: list[str]) -> dict[str, tuple[int, ...]]:
    """The shapes of the outputs of layers, found on a network of the same structure without values."""
    twin = empty_unet(network.config)
    with torch.no_grad(), Recorder(twin, paths) as recorder:
        twin(**example_inputs(network.config, tokens=2))
    return {path: tuple(output.shape) for path, output in recorder.outputs.items()}


def _hint(ours: tuple[int, ...], theirs: tuple[int, ...]) -> str:
    same = len(ours) == len(theirs) == 4 and ours[2:] == theirs[2:]
    return "; connector='linear' maps channels" if same else ""
