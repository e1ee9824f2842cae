"""The number format that a UNet computes in, found without a walk through its modules."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import ModelMixin

from diffkit.models import LatentDiffusion
from diffkit.models.families.base import Conditioning
from diffkit.models.frozen import floating_dtype


def _lora(folder: Path, dtype: str) -> Any:
    return LatentDiffusion(
        family={"type": "StableDiffusion"}, pretrained=str(folder), frozen_dtype=dtype,
        tuners={"unet": {"type": "LoRATuner", "component": "unet", "rank": 2, "target_modules": ["conv_in", "to_q"]}})


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_what_diffusers_says(sd_folder: Path, dtype: str) -> None:
    """With adapters in float32 too, one of them on the first layer."""
    model = _lora(sd_folder, dtype)
    for component in model.components.values():
        assert floating_dtype(component) == component.dtype
    assert floating_dtype(model.get_submodule("unet")) == getattr(torch, dtype)


def test_a_prediction_does_not_ask_diffusers(sd_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It walks through all modules, which costs more than many a step on a GPU."""
    model = _lora(sd_folder, "float32")
    asked: list[int] = []
    own: Any = ModelMixin.dtype
    monkeypatch.setattr(ModelMixin, "dtype", property(lambda self: asked.append(1) or own.fget(self)))
    latents, timesteps, states = torch.zeros(1, 4, 16, 16), torch.tensor([5]), Conditioning(torch.zeros(1, 5, 32))
    expected = model.get_submodule("unet")(latents, timesteps, states.embeds).sample
    by_itself = len(asked)
    assert torch.equal(model.predict(latents, timesteps, states), expected)
    assert len(asked) == 2 * by_itself
