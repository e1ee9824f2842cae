"""The measurement of distillation: what each arm trains, what is compared, and what the tables say."""

import json
from math import sqrt

import numpy as np
import pytest

from diffkit.apis.configs import load_config
from diffkit.apis.measure import distillation, exam, student_costs, student_exam, student_pictures, training
from diffkit.apis.measure.distillation_report import Figure, distillation_table, lead, pooled
from diffkit.commands.measure import add_arguments
from diffkit.models.generation import GenerationSettings

FEW = GenerationSettings(num_inference_steps=1, guidance_scale=4.0)
SMALL = {"train_cfg.max_iters": 2, "train_dataloader.batch_size": 1, "train_dataloader.dataset.resolution": 32,
         "train_dataloader.dataset.length": 4, "custom_hooks": []}
SPENT = {"task": 10.0, "feature": 30.0}


@pytest.fixture
def trained(monkeypatch):
    """Few sampling steps, and trainings in this process that take the time of ``SPENT``; gives their configs."""
    configs = []

    def train(cfg, config, options):
        configs.append(cfg)
        step, _ = training.train_once(cfg)
        arm = cfg.work_dir.split("small_")[-1].split("/")[0]
        return step, {"seconds": 1.0, "cpu_seconds": SPENT.get(arm, 5.0), "peak_mb": 100.0}

    monkeypatch.setattr(distillation, "train_apart", train)
    for module in (exam, student_exam, student_costs, student_pictures):
        monkeypatch.setattr(module, "SETTINGS", FEW)
    return configs


def weights(cfg):
    objectives = cfg.model.distiller.objectives
    return (cfg.model.objective.get("loss_weight", 1.0), objectives.loss_output.weight, objectives.loss_feature.weight)


@pytest.mark.parametrize("student", distillation.STUDENTS)
def test_arms_differ_in_the_weights_of_the_terms_alone(student, tmp_path):
    name, _ = distillation.STUDENTS[student]
    task, output, feature = (
        weights(load_config(name, work_dir=tmp_path, cfg_options=distillation.ARMS[arm].options))
        for arm in ("task", "output", "feature"))
    assert task[0] > 0 and task[1:] == (0, 0)
    assert output[1] > 0 and output[2] == 0
    assert feature[:2] == output[:2] and feature[2] > 0


def test_a_shorter_training_moves_the_schedule_that_ends_with_it():
    cfg = load_config("mini_sd_distill_small")
    short = load_config("mini_sd_distill_small", cfg_options=distillation.shortened(cfg, cfg.train_cfg.max_iters / 10))
    assert short.train_cfg.max_iters == cfg.train_cfg.max_iters / 10
    warm_up, decay = short.param_scheduler
    assert (warm_up.begin, warm_up.end) == (cfg.param_scheduler[0].begin, cfg.param_scheduler[0].end)
    assert (decay.begin, decay.end) == (cfg.param_scheduler[1].begin / 10, short.train_cfg.max_iters)


def test_students_are_trained_compared_and_not_trained_twice(sd_folder, tmp_path, trained, monkeypatch):
    arguments = {"students": ["small"], "arms": ["untrained", "task", "task_time", "feature", "dreambooth"],
                 "seeds": [3], "n": 2, "heldout": 1, "sampling_seeds": 1, "per_background": 1, "ordinary": 2,
                 "pretrained": str(sd_folder), "cfg_options": SMALL,
                 "dreambooth_options": {name: value for name, value in SMALL.items() if "length" not in name}
                 | {"train_dataloader.dataset.class_prompt": None, "train_dataloader.dataset.num_class_images": 0},
                 "iterations": 2, "work_dir": tmp_path / "runs", "out": tmp_path / "r", "image": tmp_path / "p.png",
                 "say": lambda line: None}
    text = distillation.measure_distillation(**arguments)
    results = json.loads((tmp_path / "r.json").read_text())
    untrained = results["runs"]["small_untrained"]["3"]
    assert untrained["ordinary"]["sc_n"] == untrained["psnr_n"] == 2 and untrained["heldout"]["sc_n"] == 1
    assert 0 < untrained["psnr"] < 100, "the student does not paint the teacher's pictures"
    assert "psnr" not in results["teacher"]["3"]
    assert results["runs"]["small_task_time"]["3"]["iterations"] == 6, "three times the time of the task alone"
    longer = next(cfg for cfg in trained if "small_task_time" in cfg.work_dir)
    assert max(schedule.end for schedule in longer.param_scheduler) <= max(
        schedule.end for schedule in load_config("mini_sd_distill_small").param_scheduler), "no end but the last moves"
    on_student = next(cfg for cfg in trained if "small_dreambooth" in cfg.work_dir)
    assert on_student.model.pretrained == str((tmp_path / "runs/small_whole/seed3/step1").resolve())
    assert set(results["dreambooth"]) == {"teacher", "small"}
    costs = results["costs"]
    assert costs["small"]["parameters"] < costs["teacher"]["parameters"] and costs["teacher"]["ratio"] == 1
    assert costs["small"]["macs"] < costs["small"]["macs_with_attention"] < costs["teacher"]["macs_with_attention"]
    assert (tmp_path / "p.png").is_file()
    assert "| small | the task alone | 1 | 2 | 10 | 100 |" in text
    monkeypatch.setattr(distillation, "train_apart", None)
    monkeypatch.setattr(student_exam, "sample", None)
    monkeypatch.setattr(distillation, "contact_sheet", lambda *_: None)
    assert distillation.measure_distillation(**arguments) == text


def test_the_task_alone_gets_the_time_of_what_is_taught(tmp_path, monkeypatch, sd_folder):
    run = distillation._Measurement(tmp_path / "r.json", tmp_path, {}, {"model.pretrained": str(sd_folder)}, {},
                                    (1, 1), (1, 1, 1), 200, print)
    lengths = {}
    monkeypatch.setattr(run, "student", lambda student, arm, seed, iterations=None: (
        lengths.update({arm: iterations}), {"cpu_seconds": 1.5 if arm == "feature" else 1.0})[1])
    run.same_time("small", 0)
    assert lengths == {"feature": None, "task": None, "task_time": pytest.approx(300)}


def test_the_teacher_is_its_own_equal(sd_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(student_exam, "SETTINGS", FEW)
    asked = student_exam.StudentExam(str(sd_folder), 2, 1, 0, tmp_path, lambda line: None)
    assert asked.take(str(sd_folder))["psnr"] == 100
    assert set(asked.take(None)) == {"ordinary", "heldout"}
    file = next(tmp_path.glob("*ordinary*.npy"))
    np.save(file, 255 - np.load(file))
    assert asked.take(str(sd_folder))["psnr"] < 50, "its pictures are kept, and compared with"
    monkeypatch.setattr(student_exam, "load_pipeline", None)
    assert asked.take(None)["ordinary"]["sc_n"] == 2


def share(value, n, **more):
    return {"ordinary": {"sc": value, "sc_n": n}, "heldout": {"sc": value, "sc_n": n}, "psnr": 20.0, **more}


def test_errors_are_the_larger_of_pictures_and_seeds():
    alike = pooled([share(0.5, 100), share(0.5, 100)], "ordinary")
    assert alike == (0.5, pytest.approx(sqrt(0.25 / 200)))
    apart = pooled([share(0.2, 100), share(0.8, 100)], "ordinary")
    assert apart.error == pytest.approx(0.3)  # stdev 0.424 over the root of 2
    assert Figure(0.9, 0.03).over(Figure(0.9, 0.04)) == (1.0, pytest.approx(0.05 / 0.9))
    assert Figure(0.9, 0.03).over(Figure(0.0, 0.0)) is None


def test_goals_are_read_off_the_figures():
    spent = {"iterations": 5, "cpu_seconds": 10.0, "peak_mb": 100.0}

    def runs(*shares, psnr=20.0):
        return {str(seed): share(value, 400, **spent) | {"psnr": psnr + seed} for seed, value in enumerate(shares)}

    results = {
        "teacher": {"0": share(0.95, 400), "1": share(0.95, 400), "2": share(0.5, 400)},
        "runs": {"small_output": runs(0.94, 0.94, psnr=21.0), "small_whole": runs(0.94, 0.94),
                 "small_task": runs(0.90, 0.94), "tiny_whole": runs(0.88)},
        "about": {"command": "the command", "date": "today", "machine": dict.fromkeys(
            ("processor", "cores", "threads", "python", "torch", "diffusers", "transformers", "peft"), "x")}}
    text = distillation_table(results, ["small", "tiny"], {"task": "alone", "output": "all"})
    assert "| small: sc of the teacher's, trained to the end | 0.989 ± 0.012 | ≥ 0.97 | yes |" in text
    ahead = "| small: output, ahead of the task alone at equal steps"
    assert f"{ahead}: sc | 0.020 ± 0.020 | > 2 errors | **no** |" in text
    assert f"{ahead}: PSNR, dB | 1.000 ± 0.000 | > 2 errors | yes |" in text
    assert "| tiny: sc of the teacher's, trained to the end | 0.926 ± 0.020 | ≥ 0.93 | **no** |" in text
    assert "DreamBooth" not in text and "Made by `the command`" in text


def test_a_lead_is_that_of_the_seeds_which_both_have():
    def runs(*values):
        return {str(seed): {"psnr": value} for seed, value in enumerate(values)}

    ahead = lead(runs(21.0, 23.0, 99.0), runs(20.0, 20.0), lambda run: run["psnr"])
    assert ahead == (2.0, pytest.approx(1.0))
    assert lead(runs(21.0), runs(20.0), lambda run: run["psnr"]) is None, "one seed has no spread"


@pytest.mark.parametrize(("name", "value"), [("arms", "features"), ("students", "medium")])
def test_unknown_names(name, value):
    with pytest.raises(ValueError, match=f"{name} must be among .*got {value}"):
        distillation.measure_distillation(**{name: [value]})


def test_the_command_takes_its_arguments():
    import argparse

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = parser.parse_args(["distillation", "--arms", "task", "feature", "--students", "tiny", "--seeds", "1"])
    assert (given.kind, given.arms, given.students, given.seeds) == (
        "distillation", ["task", "feature"], ["tiny"], [1])
