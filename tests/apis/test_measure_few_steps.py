"""The tables of consistency distillation and of a teacher's memory."""

import json

import pytest
from safetensors.torch import load_file

from diffkit.apis.measure import consistency, teacher_memory
from diffkit.models.families.unet_configs import SD15
from diffkit.models.twin import empty_unet

SMALL = {"train_cfg.max_iters": 1, "train_dataloader.batch_size": 2, "train_dataloader.dataset.length": 4,
         "train_dataloader.dataset.resolution": 32, "param_scheduler": [], "custom_hooks": []}


def test_consistency_is_measured_before_and_after(sd_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(consistency, "SETTINGS", consistency.SETTINGS.updated(num_inference_steps=3))
    arguments = dict(seeds=[0, 1], n=2, steps=[2, 1], pretrained=str(sd_folder), cfg_options=SMALL,
                     work_dir=tmp_path / "runs", out=tmp_path / "found", command="the command", say=lambda line: None)
    text = consistency.measure_consistency(variants=["lora"], **arguments)
    state = load_file(tmp_path / "runs" / "lora" / "seed0" / "step0" / "state" / "model.safetensors")
    found = json.loads((tmp_path / "found.json").read_text())
    assert {name.partition(".")[0] for name in state} == {"unet", "distiller"}
    assert found["runs"]["lora"]["0"]["trained"] == sum(value.numel() for value in state.values()) // 2
    assert {name: set(shares) for name, shares in found["before"].items()} == {
        "dpm": {"1", "2", "3"}, "lcm": {"1", "2"}}
    assert set(found["runs"]) == {"lora"} and set(found["runs"]["lora"]) == {"0", "1"}
    assert found["runs"]["lora"]["0"]["prompts"]["2"]["sc_n"] == 2 and found["exam"]["steps"] == [1, 2]
    assert "| model | sampler | guidance | 1 step | 2 steps | 3 steps |" in text and "the command" in text
    line = next(line for line in text.splitlines() if line.startswith("| consistency distillation, LoRA | LCM | 1 |"))
    assert line.split(" | ")[5:7] == ["-", "2"]
    assert (tmp_path / "found.md").read_text() == text

    monkeypatch.setattr(consistency, "train_once", lambda cfg: pytest.fail("it was done already"))
    assert consistency.measure_consistency(variants=["lora"], **arguments) == text
    with pytest.raises(ValueError, match="variants must be among full, lora, got half"):
        consistency.measure_consistency(variants=["half"])
    with pytest.raises(ValueError, match="variants must be among full, lora, got nothing"):
        consistency.measure_consistency(variants=())
    with pytest.raises(ValueError, match=r"steps must be numbers of 1 or more, got \[0\]"):
        consistency.measure_consistency(steps=[0])


def test_the_bytes_of_a_teacher_are_counted(sd_folder, tmp_path):
    names = ["float32", "bfloat16", "disk", "output", "bank"]
    text = teacher_memory.measure_teacher_memory(
        variants=names, batch_size=2, out=tmp_path / "found", say=lambda line: None,
        cfg_options={"model.pretrained": str(sd_folder), "train_dataloader.dataset.resolution": 32,
                     "train_dataloader.dataset.length": 4})
    found = json.loads((tmp_path / "found.json").read_text())["variants"]
    whole = found["float32"]["teacher"]
    assert whole > 0 and found["bfloat16"]["teacher"] * 2 == whole
    assert 0 < found["disk"]["teacher"] < whole / 10 and found["bank"]["teacher"] == 0
    assert found["bank"]["total"] < found["output"]["total"] and found["disk"]["total"] < found["float32"]["total"]
    for values in found.values():
        assert values["total"] == values["weights"] + values["teacher"] + values["step"]
    assert "outputs alone, from a bank" in text
    with pytest.raises(ValueError, match="variants must be among"):
        teacher_memory.measure_teacher_memory(variants=["gpu"])


def test_the_real_sizes_are_those_of_the_unets():
    sizes = teacher_memory.real_sizes()["Stable Diffusion 1.5"]
    parameters = sum(value.numel() for value in empty_unet(SD15).parameters())
    assert sizes["float32"] == 4 * parameters == 2 * sizes["bfloat16"] and sizes["disk"] < sizes["float32"] / 20
