"""Every way to fill the slots trains: family x what is trained x teacher x number format x structure.

An axis lists the fillers that exist; a new tuner, distiller, quantizer or pruner adds one entry here, and all its
combinations are tested.
"""

from itertools import product

import pytest
import torch

from diffkit.models import LatentDiffusion

FAMILIES = ("StableDiffusion", "StableDiffusionXL")
TUNERS = {
    "full": {"unet": {"type": "FullTuner", "component": "unet"}},
    "lora": {"unet": {"type": "LoRATuner", "component": "unet", "rank": 2},
             "text": {"type": "LoRATuner", "component": "text_encoder", "rank": 2}},
    "textual inversion": {"word": {"type": "TextualInversion", "placeholder_token": "<toy>", "num_vectors": 2}},
    "custom diffusion": {"word": {"type": "TextualInversion", "placeholder_token": "<toy>"},
                         "attention": {"type": "CrossAttentionTuner"}},
}
DISTILLERS = {
    "no teacher": None,
    "taught": {"type": "DenoiserDistiller", "objectives": {"loss_output": {}, "loss_feature": {"pairs": "blocks"}}},
}
QUANTIZERS = {"float": None, "quantised": {"type": "QATQuantizer"}}
PRUNERS = {"whole": None, "block-removed": {"type": "BlockRemoval", "variant": "sd_small"}}

CELLS = list(product(FAMILIES, TUNERS, DISTILLERS, QUANTIZERS, PRUNERS))


@pytest.mark.parametrize(("family", "tuner", "distiller", "quantizer", "pruner"), CELLS, ids=map(" ".join, CELLS))
def test_cell_trains(family, tuner, distiller, quantizer, pruner, sd_folder, sdxl_folder):
    torch.manual_seed(0)
    model = LatentDiffusion(
        family={"type": family}, pretrained=str(sd_folder if family == "StableDiffusion" else sdxl_folder),
        tuners=TUNERS[tuner], distiller=DISTILLERS[distiller], quantizer=QUANTIZERS[quantizer],
        pruner=PRUNERS[pruner])
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    trained = model.trainable_parameters()
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2, weight_decay=0.0)
    for _ in range(2):  # LoRA's A only moves once B has left zero
        losses = model(mode="loss", pixel_values=torch.rand(2, 3, 32, 32) * 2 - 1, prompt=["a dog", "a <toy>"],
                       key=[None, None], is_prior=torch.tensor([False, True]))
        assert (len(losses) == 3) == (distiller == "taught")
        total = sum(value for name, value in losses.items() if "loss" in name)
        assert torch.isfinite(total)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert moved <= trained.keys()
    assert len(moved) > 0.9 * len(trained)
