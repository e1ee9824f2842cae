"""A smaller UNet by removing blocks (Kim et al. 2023, arXiv 2305.15798)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from diffkit.models.pruners.base import Pruner
from diffkit.models.pruners.student import prune
from diffkit.models.pruners.variants import VARIANTS, Variant
from diffkit.registry import PRUNERS
from diffkit.utils.near import did_you_mean

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


@PRUNERS.register_module()
class BlockRemoval(Pruner):
    """Puts a student in the UNet's place: the layers that stay, with the weights that they have.

    What is removed is the sum of the three arguments; one at least has to be given.

    Args:
        variant: a published student: ``sd_small``, ``sd_tiny`` (segmind), ``bk_base``, ``bk_small``, ``bk_tiny``
            (BK-SDM, of SD 1 and 2), ``sdxl_small``, ``sdxl_tiny`` (diffengine), ``ssd_1b``, ``vega`` (segmind).
        remove: paths of layers, such as ``mid_block`` or ``up_blocks.*.resnets.1``; ``*``, ``?`` and ``[...]`` stand
            for several within one part of a path.
        ranking_file: what ``diffkit sensitivity`` has written: the units that matter least are removed.
        units: how many of them, at least 1.
    """

    def __init__(self, variant: Variant | None = None, remove: Sequence[str] = (),
                 ranking_file: str | Path | None = None, units: int = 1) -> None:
        if variant is not None and variant not in VARIANTS:
            raise ValueError(f"BlockRemoval: variant is {variant!r}{did_you_mean(variant, VARIANTS)}")
        if isinstance(remove, str):
            raise ValueError(f"BlockRemoval: remove is {remove!r}; it must be a list of paths.")
        if units < 1:
            raise ValueError(f"BlockRemoval: units is {units}; it must be 1 or more.")
        if variant is None and not remove and ranking_file is None:
            raise ValueError("BlockRemoval: give variant, remove or ranking_file, or nothing is removed.")
        self.variant = variant
        ranked = () if ranking_file is None else ranked_layers(ranking_file, units)
        self.patterns = (*(VARIANTS[variant] if variant else ()), *remove, *ranked)
        self.parameters: tuple[int, int] | None = None

    def preview(self, components: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        return {**components, "unet": self._prune(components["unet"])}

    def apply(self, model: "LatentDiffusion") -> None:
        model.add_module("unet", self._prune(model.get_submodule("unet")))

    def _prune(self, unet: Any) -> nn.Module:
        try:
            student = prune(unet, self.patterns, share=True)  # nobody else has the larger one
        except ValueError as error:
            raise ValueError(f"BlockRemoval: {error}") from None
        self.parameters = (_count(unet), _count(student))
        return student

    def describe(self) -> str:
        name = self.variant or f"{len(self.patterns)} rules"
        if self.parameters is None:
            return name
        before, after = self.parameters
        return f"{name}: {after:,} of {before:,} UNet weights stay ({after / before - 1:+.1%})"


def ranked_layers(path: str | Path, units: int) -> tuple[str, ...]:
    """The layers of the ``units`` units that matter least, from a file of ``diffkit sensitivity``.

    Raises:
        ValueError: the file is not one, or has fewer units.
    """
    try:
        ranking = [list(map(str, entry["remove"])) for entry in json.loads(Path(path).read_text("utf-8"))["ranking"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"BlockRemoval: ranking_file {str(path)!r} is no ranking of diffkit sensitivity: "
                         f"{error!r}") from error
    if units > len(ranking):
        raise ValueError(f"BlockRemoval: units is {units}; {str(path)!r} ranks {len(ranking)}.")
    return tuple(dict.fromkeys(layer for entry in ranking[:units] for layer in entry))


def _count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
