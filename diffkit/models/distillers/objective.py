"""One thing that a student learns from its teacher: its output, or the outputs of some of its layers."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from diffkit.models.distillers.pairs import PAIRS, PairSet
from diffkit.registry import LOSSES
from diffkit.utils.near import did_you_mean


class DistillObjective:
    """A term of the loss between student and teacher.

    Args:
        loss: a config of LOSSES that takes exactly ``(student, teacher)`` and gives one value for each sample; MSE
            by default.
        weight: factor of the term, 0 or more; with 0 the term is left out.
        pairs: compares layers: a list of ``(path in the student, path in the teacher)``, or the name of a list;
            None compares the outputs. The losses of all pairs are added up, as in BK-SDM and segmind's distill-sd.
        connector: ``linear`` puts a trained linear map over the channels behind each of the student's layers; None
            compares them as they are.
        snr_weighted: weighs each sample as the denoising objective does (``Denoising.weighting``); the references
            do not.
    """

    def __init__(self, loss: dict[str, Any] | None = None, weight: float = 1.0,
                 pairs: PairSet | Sequence[tuple[str, str]] | None = None,
                 connector: Literal["linear"] | None = None, snr_weighted: bool = False) -> None:
        if not weight >= 0:
            raise ValueError(f"weight is {weight}; it must be 0 or more.")
        if connector not in (None, "linear"):
            raise ValueError(f"connector is {connector!r}; allowed: None, 'linear'.")
        if connector is not None and pairs is None:
            raise ValueError("connector stands behind layers; give pairs, or leave it out.")
        self.loss = LOSSES.build(loss or {"type": "MSELoss"})
        check_loss(self.loss)
        self.weight, self.connector, self.snr_weighted = weight, connector, snr_weighted
        self.pairs = None if pairs is None else named_pairs(pairs)


def named_pairs(pairs: str | Sequence[Sequence[str]]) -> str | tuple[tuple[str, str], ...]:
    """Pairs from a config: a list as it is, a name as its list; ``blocks`` stays until the student is there.

    Raises:
        ValueError: the name is unknown, or an entry is not two paths.
    """
    if isinstance(pairs, str):
        if pairs != "blocks" and pairs not in PAIRS:
            raise ValueError(f"pairs is {pairs!r}, which names no list{did_you_mean(pairs, ['blocks', *PAIRS])}")
        return PAIRS.get(pairs, pairs)
    wrong = [pair for pair in pairs
             if isinstance(pair, str) or len(pair) != 2 or not all(isinstance(path, str) for path in pair)]
    if wrong or not pairs:
        raise ValueError("pairs must be a list of (path in the student, path in the teacher), "
                         f"given {wrong[0]!r}." if wrong else "pairs is empty: leave it out to compare the outputs.")
    return tuple((pair[0], pair[1]) for pair in pairs)


def check_loss(loss: Any) -> None:
    """Tries a loss on two samples.

    Raises:
        TypeError: it does not take ``(student, teacher)``, or does not give one value for each sample.
    """
    name = type(loss).__name__
    one, other = torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    try:
        value = loss(one, other)
    except Exception as error:
        raise TypeError(f"loss {name} cannot compare a student with a teacher: a loss of a distiller is called with "
                        f"(student, teacher), two tensors of one shape, and {name} said {error!r}.") from error
    if not isinstance(value, Tensor) or value.shape != (2,):
        shown = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise TypeError(f"loss {name} gave {shown} for two samples: a loss of a distiller gives one value for each, "
                        "[2].")
