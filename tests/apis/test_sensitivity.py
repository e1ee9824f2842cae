"""What can be removed, and how much that matters."""

import json

import pytest
import torch

from diffkit.apis.sensitivity import measure_sensitivity, ranking_lines
from diffkit.models import LatentDiffusion
from diffkit.models.families.unet_configs import SD15, SDXL
from diffkit.models.pruners import BlockRemoval, prune
from diffkit.models.pruners.units import removable_units
from diffkit.models.twin import empty_unet
from tests.tiny import SD_SPEC

SMALL = {"model.generation": {"num_inference_steps": 1}, "train_dataloader.batch_size": 2,
         "train_dataloader.dataset.length": 8, "train_dataloader.dataset.resolution": 32}


def test_units_of_stable_diffusion():
    units = {unit.name: unit for unit in removable_units(empty_unet(SD15))}
    assert sorted(units) == sorted([
        *(f"layer 1 of level {level}" for level in range(4)), *(f"attentions of level {level}" for level in range(3)),
        "middle block", "attention of the middle block", "lowest level"])
    assert units["middle block"].parameters == 97_038_080
    removed = [path for level in range(4) for path in units[f"layer 1 of level {level}"].remove]
    assert sum(units[f"layer 1 of level {level}"].parameters for level in range(4)) == 859_520_964 - 579_384_964
    assert prune(empty_unet(SD15), removed).config.layers_per_block == 1


def test_units_of_sdxl_are_transformer_blocks_too():
    names = [unit.name for unit in removable_units(empty_unet({**SDXL, "block_out_channels": (32, 64, 128)}))]
    assert sum(".transformer_blocks." in name for name in names) == 2 + 2 * 9 + 3 * 9 + 3
    assert "lowest level" not in names  # what comes above has other channels


@pytest.fixture(scope="module")
def ranking(sd_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("ranking") / "ranking.json"
    options = {**SMALL, "model.pretrained": str(sd_folder)}
    return measure_sensitivity("mini_sd_distill_small", batches=2, pictures=1, out=out, cfg_options=options), out


def test_each_unit_is_measured_against_the_whole_model(ranking, sd_folder):
    result, out = ranking
    assert json.loads(out.read_text()) == result
    entries = result["ranking"]
    assert [entry["output_error"] for entry in entries] == sorted(entry["output_error"] for entry in entries)
    assert len(entries) == len(removable_units(empty_unet(SD_SPEC["unet"])))
    assert result["about"]["samples"] == 4
    for entry in entries:
        assert entry["output_error"] > 0
        assert entry["loss"] != result["whole"]["loss"]
        assert 0 < entry["psnr"] < 100
        assert 0 < entry["parameters"] < result["whole"]["parameters"]
    text = "\n".join(ranking_lines(result))
    assert entries[0]["name"] in text.splitlines()[2]
    assert "n = 4" in text


def test_a_config_prunes_by_the_ranking(ranking, sd_folder):
    result, out = ranking
    model = LatentDiffusion(
        family={"type": "StableDiffusion"}, pretrained=str(sd_folder), tuners={"unet": {"type": "FullTuner"}},
        pruner={"type": "BlockRemoval", "ranking_file": str(out), "units": 2})
    assert model.pruner.parameters[1] < model.pruner.parameters[0]
    expected = BlockRemoval(remove=[path for entry in result["ranking"][:2] for path in entry["remove"]])
    assert model.pruner.patterns == expected.patterns


def test_a_part_that_does_nothing_matters_least(sd_folder, tmp_path):
    """The attention of the middle block and the layer behind it add nothing: their branches are zero."""
    from diffkit.evaluation.sensitivity import Sensitivity

    model = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(sd_folder),
                            tuners={"unet": {"type": "FullTuner"}})
    batch = {"pixel_values": torch.rand(2, 3, 32, 32), "prompt": ["a dog"] * 2, "key": [None] * 2}
    with torch.no_grad():
        middle = model.unet.mid_block
        for layer in (middle.attentions[0].proj_out, middle.resnets[1].conv2):
            layer.weight.zero_()
            layer.bias.zero_()
    measured = Sensitivity(model, [batch])
    units = {unit.name: unit for unit in removable_units(model.unet)}
    assert measured.of(units["attention of the middle block"])["output_error"] < 1e-10
    assert measured.of(units["middle block"])["output_error"] > 1e-6
    assert measured.of(units["middle block"]).keys() == {"loss", "output_error"}  # no prompts, no pictures


@pytest.mark.parametrize(("options", "message"), [
    ({"batches": 0}, "batches is 0"),
    ({"by": "size"}, "by is 'size'"),
    ({"by": "picture", "pictures": 0}, "picture needs pictures"),
])
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        measure_sensitivity("mini_sd_distill_small", **options)


def test_a_config_without_training_data_is_refused():
    with pytest.raises(ValueError, match="no train_dataloader"):
        measure_sensitivity("mini_sd_test")
