"""A pipeline's networks as one module, and pictures sampled with them."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from diffusers import DiffusionPipeline
from mmengine.model import BaseModel
from PIL import Image
from torch import Tensor, nn

from diffkit.models.frozen import is_frozen
from diffkit.models.generation import GenerationSettings, generate
from diffkit.models.resting import RestingParts
from diffkit.registry import FAMILIES
from diffkit.utils.native_size import native_resolution

#: How the names of the parameters of a VAE begin that its latents depend on.
VAE_ENCODER = ("encoder.", "quant_conv.")


class PipelineParts(BaseModel):
    """Holds what a family has loaded: networks as submodules under their pipeline names, the rest beside.

    Attributes:
        pretrained: what the parts were loaded from, as the user named it; None is random weights.
        quantizer: what fills that slot, or None.

    Args:
        family: a config of FAMILIES: how the parts are loaded and run.
        generation: default settings of :meth:`generate`.
        data_preprocessor: MMEngine's; moves batches to the device.
    """

    pretrained: str | None
    quantizer: Any

    def __init__(self, family: dict, generation: dict | None = None, data_preprocessor: dict | None = None) -> None:
        super().__init__(data_preprocessor)
        self.family = FAMILIES.build(family)
        self.settings = GenerationSettings(**(generation or {}))
        self._other_parts: dict[str, Any] = {}
        self._resting = RestingParts({}, None)

    def _take_parts(self, parts: dict[str, Any]) -> None:
        """Networks become submodules under their pipeline names; the rest is kept beside."""
        self._other_parts = {name: part for name, part in parts.items() if not isinstance(part, nn.Module)}
        for name in self.family.component_names:
            self.add_module(name, parts[name])

    @property
    def components(self) -> dict[str, nn.Module]:
        """The networks by their pipeline names: ``unet``, ``vae``, ``text_encoder`` …"""
        return {name: self.get_submodule(name) for name in self.family.component_names}

    @property
    def parts(self) -> dict[str, Any]:
        """All that the family's pipeline takes, and the training's noise schedule."""
        return {**self._other_parts, **self.components}

    @property
    def noise_scheduler(self) -> Any:
        """The noise schedule of the training (``DDPMScheduler``)."""
        return self._other_parts["noise_scheduler"]

    @property
    def device(self) -> torch.device:
        return next(self.get_submodule("unet").parameters()).device

    @property
    def native_resolution(self) -> tuple[int, int] | None:
        """Height and width of the pictures that the model was made for, in pixels; None where it does not say.

        The UNet's ``sample_size`` times the factor by which the VAE reduces a picture.
        """
        vae: Any = self.get_submodule("vae")
        return native_resolution(self.get_submodule("unet").config, vae.config)  # type: ignore[arg-type]

    def _is_frozen(self, name: str) -> bool:
        return is_frozen(self.get_submodule(name))

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters of the VAE that its latents depend on."""
        for name, parameter in self.get_submodule("vae").named_parameters():
            if name.startswith(VAE_ENCODER):
                yield parameter

    def weights_of(self, name: str) -> Iterator[tuple[str, Tensor]]:
        """Names and values of a component's parameters and buffers, sorted; what rests is read when its turn comes."""
        part = self.get_submodule(name)
        for key, tensor in sorted((*part.named_parameters(), *part.named_buffers()), key=lambda pair: pair[0]):
            yield key, self._resting.value(name, key, tensor)

    def train(self, mode: bool = True) -> "PipelineParts":
        """Frozen components stay in evaluation mode."""
        super().train(mode)
        for name, component in self.components.items():
            if self._is_frozen(name):
                component.eval()
        return self

    def sample_with(self, scheduler: Any) -> None:
        """Takes another sampler than DPM-Solver++, for :meth:`pipeline` and for pipelines that are exported."""
        self._other_parts["scheduler"] = scheduler

    def pipeline(self) -> DiffusionPipeline:
        """A live pipeline: it samples from this model's own modules, with DPM-Solver++ or what it was given."""
        return self.family.pipeline(self.parts)

    def generate(self, prompts: Sequence[str], *, seeds: Sequence[int], **settings: Any) -> list[Image.Image]:
        """Samples one picture for each prompt, in one batch.

        Args:
            seeds: one for each picture, so that a picture does not depend on its batch.
            settings: overrides of :class:`~diffkit.models.generation.GenerationSettings`.
        """
        return generate(self.pipeline(), prompts, seeds, self.settings.updated(**settings))
