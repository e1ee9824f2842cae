"""diffkit.apis.test: metrics of a pretrained model, of a checkpoint, and during a training."""

import json
import sys

import pytest

from diffkit import cli
from diffkit.apis import test as measure
from diffkit.apis import train
from diffkit.apis.configs import load_config
from diffkit.apis.test import metric_lines

SMALL = {"randomness.seed": 1, "model.generation.num_inference_steps": 2}
GROUPS = {f"test_dataloader.dataset.groups.{name}.n": 2 for name in ("plain", "textured", "heldout")}


def test_the_pretrained_model_itself(sd_folder, tmp_path):
    options = {**SMALL, **GROUPS, "model.pretrained": str(sd_folder)}
    metrics = measure("mini_sd_test", work_dir=tmp_path, cfg_options=options)
    for name in ("plain/sc", "plain/size", "plain/background", "textured/texture", "heldout/sc"):
        assert metrics[f"prompt/{name}_n"] == 2
        assert 0 <= metrics[f"prompt/{name}"] <= 1
    assert metrics == measure("mini_sd_test", work_dir=tmp_path, cfg_options=options)


def test_a_vae_is_measured_by_what_it_gives_back(sd_folder, tmp_path):
    options = {**SMALL, "model.pretrained": str(sd_folder), "model.family.scratch": None,
               "test_dataloader.dataset.n": 6,
               "test_dataloader.dataset.resolution": 32}
    metrics = measure("mini_sd_vae", work_dir=tmp_path, cfg_options=options)
    assert metrics["reconstruction/psnr_n"] == metrics["reconstruction/sc_n"] == 6
    assert 0 < metrics["reconstruction/psnr"] < 30


@pytest.fixture(scope="module")
def trained(sd_folder, tmp_path_factory):
    """A VAE trained for two steps, measured by a validation after each."""
    cfg = load_config("mini_sd_vae", work_dir=tmp_path_factory.mktemp("vae"), cfg_options={
        "model.pretrained": str(sd_folder), "model.family.scratch": None, "train_cfg.max_iters": 2,
        "train_dataloader.batch_size": 2,
        "train_dataloader.dataset.resolution": 32, "train_dataloader.dataset.photo_fraction": 0.0,
        "test_dataloader.dataset.n": 4, "test_dataloader.dataset.resolution": 32, "optim_wrapper.dtype": None,
        "train_cfg.val_interval": 1})
    cfg.val_dataloader, cfg.val_evaluator = cfg.test_dataloader, cfg.test_evaluator
    cfg.val_cfg = {}
    return train(cfg), cfg


def test_validation_during_the_training(trained):
    work_dir, _ = trained
    scalars = [json.loads(line) for path in work_dir.glob("*/vis_data/scalars.json")
               for line in path.read_text().splitlines()]
    assert len([line for line in scalars if "reconstruction/psnr" in line]) == 2


def test_a_checkpoint(trained, tmp_path):
    work_dir, cfg = trained
    before = measure(cfg, work_dir=tmp_path)
    after = measure(cfg, work_dir / "step1", work_dir=tmp_path)
    assert after["reconstruction/psnr"] != before["reconstruction/psnr"]


def test_the_command_shows_each_metric_once(sd_folder, tmp_path, capfd):
    options = [f"model.pretrained={sd_folder}", "model.family.scratch=None", "test_dataloader.dataset.n=12",
               "test_dataloader.dataset.resolution=32", "test_dataloader.batch_size=1"]
    assert cli.main(["test", "mini_sd_vae", "--work-dir", str(tmp_path), "--cfg-options", *options]) == 0
    shown = capfd.readouterr()
    assert (shown.out + shown.err).count("reconstruction/psnr") == shown.out.count("reconstruction/psnr: ") == 1
    assert "Iter(test) [10/12]" in shown.out + shown.err  # how far it is
    assert any("reconstruction/psnr: " in log.read_text() for log in tmp_path.glob("*/*.log"))


@pytest.mark.parametrize("rank", ["0", "1"])
def test_of_several_processes_one_shows_the_metrics(monkeypatch, tmp_path, capsys, rank):
    monkeypatch.setattr(sys.modules["diffkit.apis.test"], "test", lambda *args, **options: {"x": 0.5})
    monkeypatch.setenv("RANK", rank)
    assert cli.main(["test", "mini_sd_vae", "--out", str(tmp_path / "a.json")]) == 0
    assert capsys.readouterr().out == ("x: 0.5000\n" if rank == "0" else "")
    assert (tmp_path / "a.json").is_file() is (rank == "0")


def test_metric_lines_have_error_and_number():
    metrics = {"p/sc": 0.5, "p/sc_se": 0.25, "p/sc_n": 4, "other": 3}
    assert metric_lines(metrics) == ["p/sc: 0.5000 ± 0.2500 (n = 4)", "other: 3"]
