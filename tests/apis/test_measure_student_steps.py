"""LoRA steps of students and their teacher: what is timed, and what the table says."""

import json

import pytest
import torch

from diffkit.apis.measure import student_steps
from diffkit.apis.measure.student_steps import TEACHER, measure_student_steps, step_times, steps_table
from tests.tiny import SD_SPEC

CONFIG = {**SD_SPEC["unet"], "layers_per_block": 2}


def test_a_step_moves_adapters_alone(monkeypatch):
    kept = []
    step = student_steps._lora_step
    monkeypatch.setattr(student_steps, "_lora_step", lambda unet, *rest: kept.append(unet) or step(unet, *rest))
    torch.set_num_threads(1)
    found = step_times(CONFIG, ["sd_small"], 8, 2, 3, 1)
    teacher, student = kept
    trained = {name for name, value in student.named_parameters() if value.requires_grad}
    assert trained and all("lora_" in name for name in trained)
    assert all(float(value.detach().abs().max()) > 0 for name, value in student.named_parameters() if "lora_B" in name)
    assert student.conv_in.weight.data_ptr() == teacher.conv_in.weight.data_ptr(), "held once"
    models = found["models"]
    assert models["sd_small"]["parameters"] < models[TEACHER]["parameters"]
    assert models["sd_small"]["macs"] < models[TEACHER]["macs"]
    assert models[TEACHER]["of_the_teachers"]["median"] == 1


def test_the_table_judges_the_median(tmp_path, monkeypatch):
    def model(ratio):
        return {"parameters": 2_000_000, "macs": 10, "cpu_seconds": [1.0, 2.0],
                "of_the_teachers": {"median": ratio, "least": ratio - 0.1, "most": ratio + 0.1}}

    monkeypatch.setattr(student_steps, "step_times", lambda *given: {
        "side": 8, "batch_size": 1, "rank": 4, "rounds": 5,
        "models": {TEACHER: model(1.0), "sd_small": model(0.6), "sd_tiny": model(0.7)}})
    text = measure_student_steps(out=tmp_path / "r", say=lambda line: None)
    assert "| sd_small | 2 | 1.000 | 1.00–2.00 | 0.600 (0.500–0.700) | ≤ 0.68 | yes |" in text
    assert "| sd_tiny | 2 | 1.000 | 1.00–2.00 | 0.700 (0.600–0.800) | ≤ 0.64 | **no** |" in text
    assert steps_table(json.loads((tmp_path / "r.json").read_text())) == text == (tmp_path / "r.md").read_text()


def test_no_rounds_is_an_error():
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        step_times(CONFIG, [], 8, 1, 4, 0)
