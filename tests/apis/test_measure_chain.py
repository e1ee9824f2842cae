"""The measurement of the chain: what each row begins with, paints with and costs, and what the tables say."""

import json
from math import sqrt
from pathlib import Path

import pytest

from diffkit.apis.configs import load_config
from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.measure import chain, exam, report, training
from diffkit.apis.measure.chain_report import chain_table, difference, share_of
from diffkit.cli import main
from diffkit.export import write_artifacts
from diffkit.export.quantized import quantized_layers
from diffkit.models.generation import GenerationSettings
from tests.apis.test_load_pipeline import write_step
from tests.apis.test_quantized_pictures import quantise
from tests.export.helpers import add_lora
from tests.tiny import tiny_sd

SECONDS = {"mini_sd_distill_small": 1000.0, "mini_sd_dreambooth_lora": 100.0, "mini_sd_small_dreambooth_lora": 70.0,
           "mini_sd_small_dreambooth_lora_qat_kd": 200.0, "mini_sd_distill_personal": 300.0}
MACHINE = dict.fromkeys(("processor", "cores", "threads", "python", "torch", "diffusers", "transformers", "peft"), "x")


def leave(config, cfg, step):
    """What a training with a config leaves, without training."""
    if "distill" in config:
        tiny_sd(step, seed=cfg.randomness.seed + 5, unet={"layers_per_block": 1})
    elif "qat" in config:
        quantise(step, cfg.model.pretrained)
        report.write_results(step.parent / "quantization.json", {"kept": "calibrated"})
    else:
        pipe = load_pipeline(cfg.model.pretrained, device="cpu")
        part = add_lora(pipe, "unet")
        write_artifacts([type(part)(part.component, part.module, cfg.model.pretrained)], step, lambda: pipe)


@pytest.fixture
def trainings(monkeypatch):
    """Trainings that leave their step folder at once; gives their folders and what they began with, in order."""
    done = []

    def train(cfg, config, options):
        def run():
            done.append(("/".join(Path(cfg.work_dir).parts[-2:]), config, cfg.model.pretrained))
            assert options.get("model.pretrained", cfg.model.pretrained) == cfg.model.pretrained
            leave(config, cfg, Path(cfg.work_dir) / f"step{cfg.train_cfg.max_iters - 1}")
            return {"seconds": 1.0, "cpu_seconds": SECONDS[config], "peak_mb": 500.0}
        return training._unless_done(cfg, run)

    monkeypatch.setattr(chain, "train_apart", train)
    monkeypatch.setattr(exam, "SETTINGS", GenerationSettings(num_inference_steps=1, guidance_scale=4.0))
    return done


@pytest.fixture
def painted(monkeypatch):
    """The number of quantised layers of each pipeline that was sampled from."""
    layers = []
    sample = exam.sample
    monkeypatch.setattr(exam, "sample", lambda pipe, *rest, **more: (
        layers.append(len(quantized_layers(pipe.unet))), sample(pipe, *rest, **more))[1])
    return layers


def arguments(sd_folder, tmp_path, **more):
    return {"seeds": [3], "sampling_seeds": 1, "per_background": 1, "ordinary": 2,
            "cfg_options": {"model.pretrained": str(sd_folder)}, "work_dir": tmp_path / "runs", "out": tmp_path / "r",
            "say": lambda line: None} | more


def last_step(name):
    return f"step{load_config(name, cfg_options={'model.pretrained': 'mini-sd'}).train_cfg.max_iters - 1}"


def test_rows_begin_with_what_the_rows_before_them_left(sd_folder, tmp_path, trainings, painted, monkeypatch):
    text = chain.measure_chain(**arguments(sd_folder, tmp_path))
    runs = (tmp_path / "runs").resolve()
    student = runs / "student" / last_step("mini_sd_distill_small")
    folders = {name: str(runs / name / "seed3" / last_step(row.config)) for name, row in chain.ROWS.items()}
    assert trainings == [
        ("teacher_lora/seed3", "mini_sd_dreambooth_lora", str(sd_folder)),
        ("runs/student", "mini_sd_distill_small", str(sd_folder)),
        ("student_lora/seed3", "mini_sd_small_dreambooth_lora", str(student)),
        ("student_lora_int8/seed3", "mini_sd_small_dreambooth_lora_qat_kd", folders["student_lora"]),
        ("personal_first/seed3", "mini_sd_distill_personal", folders["teacher_lora"]),
        ("personal_first_int8/seed3", "mini_sd_small_dreambooth_lora_qat_kd", folders["personal_first"])]
    results = json.loads((tmp_path / "r.json").read_text())
    found = {name: results["runs"][name]["3"] for name in chain.ROWS}
    assert [bool(layers) for layers in painted] == [False] * 4 + [True] * 2 + [False] * 2 + [True] * 2
    assert {name: run["integer_layers"] > 0 for name, run in found.items()} == {
        name: row.integers for name, row in chain.ROWS.items()}
    assert found["student_lora"]["parameters"] == found["student_lora_int8"]["parameters"] < (
        found["teacher_lora"]["parameters"])
    whole = found["teacher_lora"]
    assert whole["bytes"] == 4 * whole["parameters"] and whole["concept"]["hit_n"] == 8
    files = Path(folders["student_lora_int8"]) / "unet_int8"
    assert found["student_lora_int8"]["bytes"] == sum(
        (files / name).stat().st_size for name in ("quantized.safetensors", "quantization.json"))
    assert {name: run["chain_cpu_seconds"] for name, run in found.items()} == {
        "teacher_lora": 100, "student_lora": 70, "student_lora_int8": 270, "personal_first": 400,
        "personal_first_int8": 600}
    assert "| distilled, personalised, quantised | 1 |" in text and "| 200 | 270 | 1270 |" in text

    trainings.clear()
    monkeypatch.setattr(exam, "sample", None)
    assert chain.measure_chain(**arguments(sd_folder, tmp_path)) == text
    assert not trainings, "nothing is trained or painted twice"


def test_a_student_that_is_there_is_not_trained(sd_folder, tmp_path, trainings):
    step = tiny_sd(tmp_path / "trained/step9", seed=5, unet={"layers_per_block": 1})
    given = arguments(sd_folder, tmp_path, rows=["student_lora"], student=step, seeds=[0, 1])
    assert "is not known" in chain.measure_chain(**given)
    assert [(config, began) for _, config, began in trainings] == [
        ("mini_sd_small_dreambooth_lora", str(step.resolve()))] * 2
    report.write_results(step.parent / "spent.json", {"spent": {"cpu_seconds": 1234.0}})
    assert "| 70 ± 0 | 70 ± 0 | 1304 ± 0 |" in chain.measure_chain(**given)
    assert len(trainings) == 2


def test_what_a_row_begins_with_is_trained_and_not_asked(sd_folder, tmp_path, trainings, painted):
    chain.measure_chain(**arguments(sd_folder, tmp_path, rows=["personal_first"]))
    assert [folder for folder, *_ in trainings] == ["teacher_lora/seed3", "personal_first/seed3"]
    assert len(painted) == 2
    assert set(json.loads((tmp_path / "r.json").read_text())["runs"]) == {"personal_first"}


def test_floats_in_the_place_of_integers_are_an_error(sd_folder):
    with pytest.raises(RuntimeError, match="paints with 0 layers of integers, where some must be"):
        chain.kept_of(sd_folder, integers=True)


def run_of(hit, sc=0.5, n=100, student=None, seconds=10.0, chain_seconds=10.0, **more):
    return {"concept": {"hit": hit, "hit_n": n}, "ordinary": {"sc": sc, "sc_n": n}, "parameters": 1000, "bytes": 4e6,
            "cpu_seconds": seconds, "chain_cpu_seconds": chain_seconds, "student": student,
            "known_by": {"concepts": {"striped_heart": "sks heart"}, "pictures_of_each_concept": n,
                         "ordinary_prompts": n}, **more}


def test_shares_and_differences_are_of_the_seeds_which_both_have():
    whole = {"0": run_of(0.8), "1": run_of(0.5), "2": run_of(0.1)}
    own = {"0": run_of(0.4), "1": run_of(0.5)}
    assert share_of(own, whole, "concept", "hit") == (pytest.approx(0.75), pytest.approx(0.25))
    alike = difference(own, {"1": run_of(0.3)}, "concept", "hit")
    assert alike == (pytest.approx(0.2), pytest.approx(sqrt(0.25 / 100 + 0.21 / 100)))
    assert share_of(own, {"0": run_of(0.0)}, "concept", "hit") is None
    assert difference(own, {"7": run_of(0.3)}, "concept", "hit") is None


def test_the_tables_say_what_was_found():
    results = {
        "about": {"command": "the command", "date": "today", "machine": MACHINE},
        "student": {"known_by": {"weights": "a"}, "cpu_seconds": 1000.0},
        "runs": {"teacher_lora": {"0": run_of(0.9, 0.9), "1": run_of(0.9, 0.9)},
                 "student_lora": {"0": run_of(0.9, 0.6, student="a"), "1": run_of(0.72, 0.6, student="a"),
                                  "2": run_of(0.0, 0.0, student="of another call")},
                 "student_lora_int8": {"0": run_of(0.9, 0.6, student="a", seconds=20.0, chain_seconds=30.0,
                                                   kept="calibrated", bytes=1.1e6)}}}
    labels = {name: row.label for name, row in chain.ROWS.items()}
    text = chain_table(results, labels)
    assert "| the whole model, personalised | 2 | 0.900 ± 0.021 | 1 | 0.900 ± 0.021 | 1,000 | 4.00 | 10 ± 0 |" in text
    assert "| distilled, personalised | 2 | 0.810 ± 0.090 | 0.900 ± 0.100 | 0.600 ± 0.035 |" in text
    assert "| 1.10 | 20 | 30 | 1030 |" in text
    assert "| the student instead of the whole model | 2 | -0.090 ± 0.090 | -0.300 ± 0.041 |" in text
    assert "| distilled first: integers instead of floats | 1 | +0.000 ± 0.042 |" in text
    assert "In 1 of 1 trainings of integers the calibrated model was kept" in text
    assert "personalised, distilled" not in text and "Made by `the command`" in text


def test_rows_are_configs_that_fit_each_other(sd_folder):
    for row in chain.ROWS.values():
        cfg = load_config(row.config, cfg_options={"model.pretrained": str(sd_folder)})
        assert bool(cfg.model.get("quantizer")) == row.integers
        assert set(exam.exam_subjects(cfg.test_dataloader.dataset)) == {"striped_heart"}
        assert cfg.train_dataloader.dataset.placeholder == "sks"


def test_mistakes_name_what_is_allowed(tmp_path, sd_folder, capsys):
    assert main(["measure", "chain", "--rows", "lora"]) != 0
    assert "rows must be among teacher_lora, student_lora, student_lora_int8" in capsys.readouterr().err
    step = tmp_path / "step1"
    write_step(step, sd_folder)
    for given, said in ((step, "holds no whole pipeline; give a step folder of mini_sd_distill_small"),
                        (tmp_path / "none/step1", "student .* looks like a folder, but there is none")):
        with pytest.raises(ValueError, match=said):
            chain.measure_chain(student=given, work_dir=tmp_path, out=tmp_path / "r")
