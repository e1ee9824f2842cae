"""What is said before the first step: the data come before the weights, and the table tells what will happen."""

import numpy as np
import pytest
import torch
from mmengine.config import Config
from torch import nn

from diffkit.datasets import ConceptDataset, ShapesDataset
from diffkit.engine import Runner
from diffkit.engine.resolution import picture_size, resolution_warnings
from diffkit.utils.native_size import native_resolution, native_resolution_of
from tests.datasets.pictures import folder_of
from tests.engine.fakes import FakeModel, make_config

LOADER = {"batch_size": 1, "num_workers": 0, "collate_fn": {"type": "diffkit.collate_samples"}}
SAMPLER = {"type": "DrawSampler"}


@pytest.fixture
def built(monkeypatch):
    """The models that were built."""
    models = []
    original = FakeModel.__init__
    monkeypatch.setattr(FakeModel, "__init__", lambda self, *a, **k: (models.append(self), original(self, *a, **k))[1])
    return models


def with_data(work_dir, **dataset):
    return Config(make_config(work_dir, train_dataloader={**LOADER, "sampler": SAMPLER, "dataset": dataset}))


def test_bad_pictures_show_before_the_model_is_loaded(tmp_path, built):
    folder = folder_of(tmp_path / "data", 3)
    (folder / "01.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 3 images cannot be used:\n  01\.png: the file is empty"):
        Runner.from_cfg(with_data(tmp_path, type="ConceptDataset", data_root=str(folder), instance_prompt="a dog"))
    assert not built


def test_missing_captions_show_before_the_model_is_loaded(tmp_path, built):
    folder = folder_of(tmp_path / "data", 2)
    with pytest.raises(ValueError, match=r"2 of 2 images of data_root have no caption"):
        Runner.from_cfg(with_data(tmp_path, type="ImageTextDataset", data_root=str(folder)))
    assert not built


def test_a_missing_package_shows_before_the_model_is_loaded(tmp_path, built, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ImportError, match="pip install datasets"):
        Runner.from_cfg(with_data(tmp_path, type="HubImageText", data_root="owner/name"))
    assert not built


def test_what_is_measured_is_built_before_the_model_too(tmp_path, built):
    test = {**LOADER, "sampler": {"type": "DefaultSampler"}, "dataset": {"type": "PromptDataset", "file": "no.txt"}}
    parts = {"model": {"type": "FakeModel"}, "work_dir": str(tmp_path), "test_dataloader": test, "test_cfg": {}}
    with pytest.raises(ValueError, match=r"no\.txt.* does not exist"):
        Runner.from_cfg(Config({**parts, "test_evaluator": []}))
    assert not built


def test_a_training_does_not_build_what_it_never_reads(tmp_path):
    test = {**LOADER, "sampler": {"type": "DefaultSampler"}, "dataset": {"type": "PromptDataset", "file": "no.txt"}}
    parts = {"test_dataloader": test, "test_cfg": {}, "test_evaluator": []}
    assert Runner.from_cfg(Config(make_config(tmp_path, 1, **parts))).train()


@pytest.mark.parametrize(
    ("counts", "iterations", "batch"),
    [
        (4, 2, "4 = 2 x 2 (accumulation) x 1 (processes); accumulative_counts is 4, but there are only 2"),
        (4, 1, "2 = 2 x 1 (accumulation) x 1 (processes); accumulative_counts is 4, but there is only 1"),
        (4, 10, "8 = 2 x 4 (accumulation) x 1 (processes); 4 in the last optimizer step"),
        (2, 4, "4 = 2 x 2 (accumulation) x 1 (processes)"),
    ],
)
def test_the_table_tells_the_accumulation_that_will_happen(tmp_path, capfd, monkeypatch, counts, iterations, batch):
    seen, steps = [], []
    original = FakeModel.forward
    monkeypatch.setattr(FakeModel, "forward", lambda self, x, **k: (seen.append(len(x)), original(self, x, **k))[1])
    monkeypatch.setattr(torch.optim.AdamW, "step", _noting(torch.optim.AdamW.step, lambda: steps.append(sum(seen))))
    wrapper = {"optimizer": {"type": "AdamW", "lr": 1e-2}, "accumulative_counts": counts}
    Runner.from_cfg(Config(make_config(tmp_path, iterations, optim_wrapper=wrapper))).train()
    table = dict(line.strip().split("  ", 1) for line in capfd.readouterr().out.splitlines() if line.startswith("  "))
    assert table["batch"].strip() == batch
    plural = "" if len(steps) == 1 else "s"
    assert table["iterations"].strip() == f"{iterations} ({len(steps)} optimizer step{plural}), from 0"
    samples = np.diff([0, *steps])  # of each optimizer step
    assert int(batch.split()[0]) == samples[0]
    if "last" in batch:
        assert int(batch.split("; ")[1].split()[0]) == samples[-1] != samples[0]
    else:
        assert len(set(samples)) == 1


def _noting(function, note):
    def step(*args, **kwargs):
        note()
        return function(*args, **kwargs)

    return step


def test_images_that_are_left_out_are_not_counted(tmp_path):
    folder, prior = folder_of(tmp_path / "data", 4), folder_of(tmp_path / "prior", 5)
    for path in (folder / "01.png", prior / "00.png", prior / "03.png"):
        path.write_bytes(b"no picture")
    dataset = ConceptDataset(
        folder, "a dog", "a photo", class_data_root=prior, num_class_images=4, resolution=8, bad_images="skip")
    assert len(dataset) == 3
    summary = dataset.summary()
    assert f"{folder}: 4 images, 0 sub-folders, 0 other files; 3 of these images are used, 1 cannot be" in summary
    assert len(dataset.prior_pictures) == 2
    assert f"2 prior images ({prior}: 5 images, 0 sub-folders, 0 other files; 2 of these images are used, 2" in summary
    few = ConceptDataset(folder_of(tmp_path / "few", 3), "a dog", resolution=8, num_images=2)
    assert few.summary().endswith("3 images, 0 sub-folders, 0 other files; 2 of these images are used")


def test_native_resolution(sd_folder):
    unet, vae = {"sample_size": 64}, {"block_out_channels": [128, 256, 512, 512]}
    assert native_resolution(unet, vae) == (512, 512)
    assert native_resolution({"sample_size": (96, 128)}, vae) == (768, 1024)
    assert native_resolution({"sample_size": None}, vae) is None
    assert native_resolution_of("mini-sd") == (64, 64)
    assert native_resolution_of(sd_folder) == (32, 32)
    assert native_resolution_of("stabilityai/stable-diffusion-xl-base-1.0") == (1024, 1024)
    assert native_resolution_of("owner/unknown") is native_resolution_of("./gone") is None


class Model(nn.Module):
    native_resolution = (64, 64)
    pretrained = "mini-sd"


class FakeRunner:
    bare_model = Model()

    def __init__(self, dataset, **config):
        self.train_dataloader = type("Loader", (), {"dataset": dataset})
        self.cfg = Config({"train_dataloader": {"dataset": config}} if config else {})


def test_pictures_of_another_size_than_the_models_are_warned_of(tmp_path):
    folder = folder_of(tmp_path / "data", 1)
    concept = ConceptDataset(folder, "a dog", "a photo", num_class_images=3, resolution=128)  # its prior is not there
    (warning,) = resolution_warnings(FakeRunner(concept, type="ConceptDataset"))
    for part in ("train_dataloader.dataset.resolution", "128 x 128 px", "model.pretrained='mini-sd'", "64 x 64 px"):
        assert part in warning
    assert resolution_warnings(FakeRunner(ShapesDataset(2, resolution=64))) == []
    both = torch.utils.data.ConcatDataset([ShapesDataset(2, resolution=64), ShapesDataset(2, resolution=32), concept])
    assert len(resolution_warnings(FakeRunner(both))) == 2
    crop = [{"type": "Resize", "size": 64}, {"type": "CenterCrop", "size": (64, 48)}]
    cut = ConceptDataset(folder, "a dog", transforms=crop)
    assert picture_size(cut) == (64, 48)
    assert "dataset.transforms: the pictures are 64 x 48 px" in resolution_warnings(FakeRunner(cut, transforms=crop))[0]


def test_data_without_pictures_is_not_warned_of():
    numbers = torch.utils.data.TensorDataset(torch.zeros(3))
    assert picture_size(numbers) is None
    assert resolution_warnings(FakeRunner(numbers)) == []


def test_the_warning_is_in_the_log_of_a_training(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(FakeModel, "native_resolution", (64, 64), raising=False)
    monkeypatch.setattr(FakeModel, "pretrained", "mini-sd", raising=False)
    monkeypatch.setattr("diffkit.engine.resolution.picture_size", lambda dataset: (512, 512))
    Runner.from_cfg(Config(make_config(tmp_path, 1))).train()
    text = capfd.readouterr().out
    assert "train_dataloader.dataset.resolution: the pictures are 512 x 512 px, and model.pretrained='mini-sd'" in text


def test_a_real_model_knows_its_resolution(sd_folder):
    from diffkit.models import LatentDiffusion

    tuners = {"unet": {"type": "LoRATuner", "rank": 1}}
    model = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(sd_folder), tuners=tuners)
    assert model.native_resolution == (32, 32)
    assert model.generate(["a dog"], seeds=[0], num_inference_steps=1)[0].size == (32, 32)
