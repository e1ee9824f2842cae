"""A student UNet learns what its teacher's says, and how it gets there (Kim et al. 2023, arXiv 2305.15798)."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from diffkit.models.distillers.banked import BankedTeacher, check_fixed
from diffkit.models.distillers.connectors import LinearConnector
from diffkit.models.distillers.objective import DistillObjective
from diffkit.models.distillers.recorder import Recorder, missing_layers
from diffkit.models.distillers.with_teacher import TeacherDistiller
from diffkit.models.losses import weighted_mean
from diffkit.models.step import Step
from diffkit.models.twin import empty_unet, example_inputs
from diffkit.registry import DISTILLERS

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion

Pairs = dict[str, tuple[tuple[str, str], ...]]


@DISTILLERS.register_module()
class DenoiserDistiller(TeacherDistiller):
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
        offload: ``"cpu"`` or ``"disk"``: the teacher's weights wait there, and each layer has its own only while it
            runs. The result is the same bit for bit.
        bank: a folder for the teacher's outputs, see :mod:`~diffkit.models.distillers.banked`. The teacher is in memory
            only for outputs that the bank does not have. It holds outputs, no features, and it needs
            ``Denoising.fixed_draws``, which **changes the algorithm**.
    """

    def __init__(self, objectives: dict[str, dict], teacher: str | None = None,
                 dtype: Literal["float32", "bfloat16", "float16"] = "float32",
                 offload: Literal["cpu", "disk"] | None = None, bank: str | None = None) -> None:
        super().__init__(teacher, dtype, offload)
        if not objectives:
            raise ValueError("DenoiserDistiller: objectives is empty; give loss_output, loss_feature or both.")
        for name in objectives:
            if not name.startswith("loss_") or name == "loss_denoising":
                raise ValueError(f"DenoiserDistiller: objectives has {name!r}: a name must begin with 'loss_', and "
                                 "'loss_denoising' is the task's.")
        self.objectives = {name: self._objective(name, options) for name, options in objectives.items()}
        featured = [name for name, objective in self.active.items() if objective.pairs is not None]
        if bank is not None and featured:
            raise ValueError(f"DenoiserDistiller: bank keeps outputs, and objectives[{featured[0]!r}] compares layers: "
                             "set its weight to 0, or leave bank out.")
        self.bank = None if bank is None else BankedTeacher(bank)
        self.connectors = nn.ModuleDict()
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
        if self.active and self.bank is None:
            super().take_teacher(model)
        elif self.active and self.bank is not None:
            self.bank.open(model, self._load_teacher, self.source, self.dtype, self.offload)

    def attach(self, model: "LatentDiffusion") -> None:
        student = model.get_submodule("unet")
        self._prior_loss_weight = model.prior_loss_weight
        if self.bank is not None:
            check_fixed(model)
        if self._teacher is None and (self.bank is None or not self.active):
            return
        if self._teacher is not None and not self._checked:
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
        if self._recorder is None:
            return {}
        if step.prediction is None:
            raise RuntimeError("DenoiserDistiller.losses: the student has not run on this step.")
        wanted = [taught for pairs in self._pairs.values() for _, taught in pairs]
        prediction, features = self._ask(step, wanted)
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

    def _ask(self, step: Step, layers: list[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """The teacher's output, from the bank where there is one, and the outputs of some of its layers."""
        if self.bank is not None:
            return self.bank.ask(step), {}
        if self._teacher is None:
            raise RuntimeError("DenoiserDistiller: there is no teacher; take_teacher has not been called.")
        return self._teacher.run(step, layers)

    def _features(self, name: str, student: dict[str, Tensor],
                  teacher: dict[str, Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        maps: Any = self.connectors[name] if name in self.connectors else [None] * len(self._pairs[name])
        for connector, (own, taught) in zip(maps, self._pairs[name], strict=True):
            feature = student[own]
            yield feature if connector is None else connector(feature), teacher[taught]

    # --- what others see of it

    @contextmanager
    def shown(self, model: "LatentDiffusion") -> Iterator[None]:
        with super().shown(model) if self.bank is None else self.bank.shown(model):
            yield

    @property
    def resident_bytes(self) -> int:
        """Bytes of the teacher's weights that are in memory at once, on the device that it runs on."""
        return super().resident_bytes if self.bank is None else self.bank.resident_bytes

    def frozen_tensors(self) -> Mapping[str, Tensor]:
        return super().frozen_tensors() if self.bank is None else self.bank.frozen_tensors()

    def describe(self) -> str:
        if not self.active:
            return "no teacher: all weights are 0"
        terms = ", ".join(
            f"{objective.weight:g} x {name}" + (f" ({len(self._pairs[name])} pairs)" if name in self._pairs else "")
            for name, objective in self.active.items())
        where = f", {self.bank.describe()}" if self.bank is not None else (
            f", weights wait on the {self.offload}" if self.offload else "")
        return f"{self.source or 'a frozen copy of the UNet'} in {self.dtype}{where}: {terms}"


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
