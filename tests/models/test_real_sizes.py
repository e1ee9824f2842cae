"""The UNets of the real models, built without memory on the meta device."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from diffkit.models.families.unet_configs import UNETS

PARAMETERS = {"sd15": 859_520_964, "small-sd": 579_384_964, "bk-small": 482_346_884, "tiny-sd": 323_384_964,
              "sdxl": 2_567_463_684}
KEYS = {"sd15": 686, "small-sd": 442, "bk-small": 396, "tiny-sd": 358, "sdxl": 1680}
LORA_R8 = {"sd15": (128, 1_594_368), "small-sd": (80, 1_018_880), "bk-small": (72, 863_232),
           "tiny-sd": (72, 863_232)}


def build(name):
    with torch.device("meta"):
        return UNet2DConditionModel(**UNETS[name])


def count(parameters):
    return sum(parameter.numel() for parameter in parameters)


def counts(blocks):
    return [count(block.parameters()) for block in blocks]


@pytest.mark.parametrize("name", UNETS)
def test_parameters(name):
    unet = build(name)
    assert count(unet.parameters()) == PARAMETERS[name]
    assert len(unet.state_dict()) == KEYS[name]


def test_sections_of_sd15_and_small_sd():
    unet, small = build("sd15"), build("small-sd")
    assert counts(unet.down_blocks) == [10524480, 36818560, 139992320, 62277120]
    assert counts(unet.up_blocks) == [162241280, 258330880, 71413120, 18810560]
    assert counts(small.down_blocks) == [5723200, 19433600, 74092800, 31138560]
    assert counts(small.up_blocks) == [113076480, 174405120, 49520640, 12881920]
    assert count(unet.mid_block.parameters()) == count(small.mid_block.parameters()) == 97038080


@pytest.mark.parametrize("name", LORA_R8)
def test_lora_of_rank_8(name):
    from peft import LoraConfig

    unet = build(name)
    unet.add_adapter(LoraConfig(r=8, target_modules=["to_q", "to_k", "to_v", "to_out.0"]))
    lora = {key: parameter for key, parameter in unet.named_parameters() if "lora_" in key}
    assert (len(lora) // 2, count(lora.values())) == LORA_R8[name]
