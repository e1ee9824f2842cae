"""The table of the quantised miniatures: what is exported, compared and counted."""

import json

import pytest

from diffkit.apis.configs import load_config
from diffkit.apis.measure import quantization, quantization_exam
from diffkit.apis.measure.quantization import ARMS, measure_quantization
from diffkit.apis.measure.quantization_exam import QuantizationExam
from diffkit.apis.measure.quantization_report import _share, quantization_table
from diffkit.cli import main

SMALL = {"train_dataloader.batch_size": 1, "train_dataloader.dataset.resolution": 32, "custom_hooks.0.num_prompts": 1,
         "model.generation": {"num_inference_steps": 1}}


@pytest.mark.parametrize("name", ARMS)
def test_every_arm_is_a_config_that_exports_what_it_measures(name, tmp_path, sd_folder):
    arm = ARMS[name]
    options = {**arm.options, **quantization._HOOKS, "model.pretrained": str(sd_folder)}
    cfg = load_config(arm.config, work_dir=tmp_path, cfg_options=options)
    assert cfg.custom_hooks[1]["type"].__name__ == "QuantizationHook" and cfg.custom_hooks[1]["keep_better"] is False
    if cfg.model.quantizer.get("algorithm") not in (None, "static"):
        assert arm.bits == f"W{cfg.model.quantizer.options.bits}, linear layers alone"
        assert cfg.model.quantizer.algorithm.upper() in arm.label
    else:  # static has 8 bits always
        bits = cfg.model.quantizer.get("weight_bits", 8), cfg.model.quantizer.get("activation_bits", 8)
        assert arm.bits == "W{}A{}".format(*bits)
    trained = cfg.train_cfg.type.__name__ == "StepLoop"
    assert trained == bool(arm.calibrated or arm.after)
    if arm.calibrated:
        assert load_config(ARMS[arm.calibrated].config).model.quantizer == cfg.model.quantizer
    taught = cfg.model.get("distiller")
    assert ("KD" in arm.label and "no KD" not in arm.label) == bool(taught)
    assert ("noise" in arm.label) == (trained and cfg.model.objective.loss_weight > 0)


def run_of(error, psnr, sc=0.9, seconds=10.0):
    return {"closeness": {"error": error, "psnr": psnr}, "prompts": {"sc": sc, "sc_n": 96}, "bytes": 1000,
            "cpu_seconds": seconds}


def test_the_table_has_the_damage_recovered_and_the_pooled_share():
    word = {"word": {"float": {"hit": 0.9, "hit_n": 32}, "quantized": {"hit": 0.875, "hit_n": 32}}}
    results = {
        "exam": {"predictions": 256, "pictures": 64, "prompts": 96, "sampler": "DDIM",
                 "num_inference_steps": 25, "guidance_scale": 4.0},
        "float": {"0": {"prompts": {"sc": 0.96, "sc_n": 96}, "bytes": 3900, "weights": 975}},
        "runs": {"w4a8": {"0": run_of(0.02, 25.0), "1": run_of(0.04, 27.0)},
                 "w4a8_kd": {"0": run_of(0.003, 36.0, 0.95), "1": run_of(0.003, 38.0, 0.85)},
                 "word_w8a8_kd": {"0": word}},
        "about": {"command": "x", "date": "d", "machine": {
            "processor": "p", "cores": 1, "threads": 1, "python": "3", "torch": "1", "diffusers": "1",
            "transformers": "1", "peft": "1"}}}
    text = quantization_table(results, ARMS)
    row = next(line for line in text.splitlines() if line.startswith("| W4A8 | QAT, output KD |"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[2:9] == ["2", "0.00300 ± 0.00000", "90%", "37.0 ± 1.4", "0.900 ± 0.050 (n = 192)", "3.90", "10 ± 0"]
    assert "| W4A8 | calibrated, ranges of least squared error | 2 | 0.03000 ± 0.01414 | - |" in text
    assert "| 1 | 0.900 | 0.875 | -0.025 |" in text


def test_seeds_have_prompts_of_their_own_and_their_pictures_are_counted_together(sd_folder):
    same = [{"sc": 0.9, "sc_n": 100}] * 3
    assert _share(same) == "0.900 ± 0.017 (n = 300)"
    assert _share(same[:1]) == "0.900 ± 0.030 (n = 100)"
    assert _share([{"sc": 0.8, "sc_n": 10_000}, {"sc": 1.0, "sc_n": 10_000}]) == "0.900 ± 0.100 (n = 20000)"
    first, second = (QuantizationExam(str(sd_folder), 2, 2, 4, seed, print) for seed in (0, 1))
    assert first.settings == second.settings
    texts = [[exam.prompts[i]["prompt"] for i in range(4)] for exam in (first, second)]
    assert not set(texts[0]) & set(texts[1])


def test_fewer_prompts_than_pictures_and_unknown_arms_are_mistakes(sd_folder):
    with pytest.raises(ValueError, match="prompts is 2 and pictures 3"):
        QuantizationExam(str(sd_folder), 2, 3, 2, 0, print)
    with pytest.raises(ValueError, match=r"arms must be among w8a8_minmax, w8a8.*got w2a2"):
        measure_quantization(arms=["w2a2"])


@pytest.mark.slow
def test_arms_are_trained_compared_and_not_trained_twice(sd_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(quantization_exam, "SETTINGS", {"num_inference_steps": 2, "guidance_scale": 4.0})
    arguments = {"arms": ["w4a8", "w4a8_kd"], "seeds": [0], "predictions": 3, "pictures": 1, "prompts": 2,
                 "pretrained": str(sd_folder), "cfg_options": {**SMALL, "train_cfg.max_iters": 1},
                 "work_dir": tmp_path / "runs", "out": tmp_path / "r", "say": lambda line: None}
    text = measure_quantization(**arguments)
    results = json.loads((tmp_path / "r.json").read_text())
    assert results["float"]["0"]["prompts"]["sc_n"] == 2
    before, after = (results["runs"][name]["0"] for name in ("w4a8", "w4a8_kd"))
    assert before["closeness"]["predictions"] == 3 and before["closeness"]["pictures"] == 1
    assert 0 < before["closeness"]["error"] < 1 and before["closeness"]["error"] != after["closeness"]["error"]
    assert before["bytes"] == after["bytes"] < results["float"]["0"]["bytes"]
    figures = json.loads((tmp_path / "runs/w4a8_kd/seed0/quantization.json").read_text())
    assert figures["kept"] == "trained"  # it is measured, whether it is closer or not
    assert "| W4A8 | QAT, output KD | 1 |" in text
    monkeypatch.setattr(quantization, "train_once", lambda cfg: pytest.fail("trained twice"))
    assert measure_quantization(**arguments) == text


def test_the_command_knows_its_arms(capsys):
    assert main(["measure", "quantization", "--arms", "w2a2"]) != 0
    assert "arms must be among w8a8_minmax" in capsys.readouterr().err
