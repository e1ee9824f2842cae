"""A smaller UNet from a larger one: its own config, and every weight that of a layer of the teacher."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from diffkit.models.pruners.layout import Layout, removed_layers
from diffkit.models.twin import empty_unet


def prune(unet: Any, patterns: Iterable[str], share: bool = False) -> Any:
    """Builds the student that is left of a UNet when layers are removed.

    Args:
        unet: the teacher (``UNet2DConditionModel``), which stays as it is. On the meta device the student is there too.
        patterns: see :func:`~diffkit.models.pruners.layout.removed_layers`.
        share: the student's weights are the teacher's own tensors, not copies.

    Returns:
        A ``UNet2DConditionModel`` whose ``config`` is its own, frozen.

    Raises:
        ValueError: a pattern names nothing, or diffusers has no UNet of what is left.
    """
    layout = Layout(unet, removed_layers(unet, patterns))
    student = empty_unet(layout.config())
    state = _student_state(student, layout)
    if not share:
        state = {name: value.detach().clone() for name, value in state.items()}
    student.load_state_dict(state, strict=True, assign=True)
    return student.requires_grad_(False).train(unet.training)


def weight_map(teacher: nn.Module, patterns: Iterable[str]) -> dict[str, str]:
    """The name of the teacher's tensor for each of the student's."""
    layout = Layout(teacher, removed_layers(teacher, patterns))
    return {name: layout.source(name) for name in empty_unet(layout.config()).state_dict()}


def _student_state(student: nn.Module, layout: Layout) -> dict[str, Tensor]:
    """The teacher's tensors under the student's names."""
    teacher = layout.unet.state_dict()
    state, faults = {}, []
    for name, wanted in student.state_dict().items():
        try:
            found = teacher[layout.source(name)]
        except KeyError:
            faults.append(f"{name} is missing")
            continue
        if found.shape != wanted.shape:
            faults.append(f"{name} would be {list(wanted.shape)}, {layout.source(name)} is {list(found.shape)}")
        state[name] = found
    if faults:
        raise ValueError(
            f"no UNet of diffusers is what is left here ({len(faults)} tensors differ): {faults[0]}. The first layer "
            "of a down block stays, and so do the first and the last of an up block, for only they take the channels "
            "of their neighbours.")
    return state
