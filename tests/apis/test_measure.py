"""Measurements: the right figures, tables that say how they were made, and runs that go on where they were."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from diffkit.apis.configs import load_config
from diffkit.apis.measure import concept_gate, dreambooth, exam, mini_sd, pictures, report, vae
from diffkit.datasets import ConceptPrompts, ShapesPrompts
from diffkit.datasets.shapes import concept_images, draw
from diffkit.evaluation import PromptAccuracy
from diffkit.models.generation import GenerationSettings

FEW = GenerationSettings(num_inference_steps=1, guidance_scale=4.0)


class Glass(torch.nn.Module):
    """A VAE whose latents are the picture itself."""

    device, dtype = torch.device("cpu"), torch.float32

    def encode(self, pixels):
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=pixels))

    def decode(self, latents):
        return SimpleNamespace(sample=latents)


class Fog(Glass):
    """A VAE that keeps the mean colour."""

    def decode(self, latents):
        return SimpleNamespace(sample=latents.mean((2, 3), keepdim=True).expand_as(latents))


def pipe_with(own):
    return SimpleNamespace(vae=own, vae_scale_factor=8, unet=SimpleNamespace(config=SimpleNamespace(sample_size=8)))


def test_a_perfect_vae_keeps_all_and_a_blind_one_nothing(tmp_path):
    Image.fromarray(draw(ShapesPrompts(1).scene(0), 128)).save(tmp_path / "photo.png")
    (tmp_path / "more").mkdir()
    Image.new("RGB", (90, 70), "red").save(tmp_path / "more" / "photo.jpg")
    found = vae.measure_vae(pipe_with(Glass()), 12, tmp_path, pictures=4)
    assert found["all"]["sc"] == found["textured"]["texture"] == found["concepts"]["all"] == 1.0
    assert found["all"]["sc_n"] == 24 and found["concepts"]["all_n"] == 32
    assert found["photos"]["psnr"] == 100.0 and found["photos"]["psnr_n"] == 2
    blind = vae.measure_vae(pipe_with(Fog()), 12, tmp_path, pictures=4)
    assert blind["all"]["sc"] == blind["concepts"]["all"] == 0.0 and blind["photos"]["psnr"] < 70


def test_the_gate_lets_through_what_is_kept_and_seen_nowhere_else():
    heart = concept_images("striped_heart", 4)
    ring = concept_images("striped_ring", 4)
    open_gate = concept_gate.gate_of(pipe_with(Glass()), "striped_heart", ring, 0)
    assert open_gate == {"before": 5, "after": 5, "pictures": 5, "ordinary": 0.0, "ordinary_n": 4, "passes": True}
    assert not concept_gate.gate_of(pipe_with(Fog()), "striped_heart", ring, 0)["passes"]
    taken = concept_gate.gate_of(pipe_with(Glass()), "striped_heart", heart[:1] + ring, 0)
    assert taken["ordinary"] == 0.2 and not taken["passes"]


def test_pictures_do_not_depend_on_the_batch(sd_folder):
    pipe = report_pipe(sd_folder)
    prompts = ConceptPrompts("striped_heart", 3)
    one, two = (pictures.sample(pipe, prompts, FEW, batch_size=size) for size in (2, 3))
    assert [sample["prompt"] for sample in one] == [prompts[i]["prompt"] for i in range(3)]
    for a, b in zip(one, two, strict=True):
        assert np.abs(a["image"].astype(int) - b["image"]).max() <= 1


def test_score_of_right_pictures():
    prompts = ShapesPrompts(3)
    right = [{**prompts[i], "image": draw(prompts.scene(i))} for i in range(3)]
    metric = PromptAccuracy()
    assert pictures.score(metric, right)["sc"] == 1.0
    assert pictures.score(metric, right[:1])["sc_n"] == 1  # nothing is left of the first call


def report_pipe(folder):
    from diffkit.apis.load_pipeline import load_pipeline

    return load_pipeline(folder, device="cpu")


def test_mini_sd_writes_what_it_measures(sd_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(mini_sd, "SETTINGS", FEW)
    out = tmp_path / "results" / "tiny"
    lines = []
    text = mini_sd.measure_miniature(
        sd_folder, n=2, parts=["reload", "speed"], out=out, command="the command", say=lines.append)
    results = json.loads(out.with_suffix(".json").read_text())
    assert results["reload"]["largest_difference"] == 0 and "the same picture" in text
    assert results["speed"]["seconds"] > 0
    assert "Made by `the command`" in text and results["about"]["weights"] in text
    monkeypatch.setattr(mini_sd, "measure_vae", lambda *_, **__: {"all": {"sc": 0.5, "sc_se": 0.25, "sc_n": 4}})
    text = mini_sd.measure_miniature(sd_folder, n=2, parts=["vae"], out=out, say=lines.append)
    assert "| VAE: shape and colour of drawings | 0.500 ± 0.250 | 4 | ≥ 0.98 | **no** |" in text
    assert "the same picture" in text, "a part that is not measured again keeps its results"
    assert out.with_suffix(".md").read_text() == text


def test_every_miniature_has_its_own_goals_and_file(sd_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figures = {"plain": {"sc": 0.94, "sc_se": 0.01, "sc_n": 256}}
    monkeypatch.setattr(mini_sd, "measure_prompts", lambda *_, **__: figures)
    for name, reached in (("mini-sd", "≥ 0.95 | **no**"), ("mini-sdxl", "≥ 0.93 | yes")):
        text = mini_sd.measure_miniature(sd_folder, name=name, parts=["files", "prompts"], say=lambda line: None)
        assert f"| shape and colour right | 0.940 ± 0.010 | 256 | {reached} |" in text
        assert f"Made by `diffkit measure {name}`" in text
        count = sum(path.stat().st_size for path in sd_folder.rglob("*") if path.is_file())
        assert f"Its files have {count:,} bytes; at most 10,000,000 are asked for." in text
        assert (tmp_path / "docs" / "results" / f"{name.replace('-', '_')}.md").read_text() == text


def test_prompts_are_measured_by_kind(sd_folder):
    found = mini_sd.measure_prompts(report_pipe(sd_folder), 2, FEW, say=lambda line: None)
    assert set(found) == {"plain", "textured", "heldout"}
    assert all(kind["sc_n"] == 2 for kind in found.values()) and "texture" in found["textured"]


def test_mini_sd_names_the_fault(sd_folder):
    with pytest.raises(ValueError, match="parts must be among vae, files, speed, reload, prompts, got size"):
        mini_sd.measure_miniature(sd_folder, parts=["size"])
    with pytest.raises(ValueError, match="n must be at least 1"):
        mini_sd.measure_miniature(sd_folder, n=0)


def test_digest_is_of_the_weights(sd_folder, tmp_path):
    digest = report.pretrained_digest(sd_folder)
    assert len(digest) == 12 and digest == report.weights_digest(sd_folder)
    assert report.weights_digest(tmp_path) != digest
    assert report.pretrained_digest("owner/name") == "owner/name"


def options_for(folder):
    return {"train_cfg.max_iters": 1, "train_dataloader.batch_size": 2, "train_dataloader.dataset.resolution": 32,
            "train_dataloader.dataset.num_class_images": 2, "model.pretrained": str(folder)}


def test_variants_change_the_config(sd_folder, tmp_path):
    configs = {name: dreambooth.variant_config(name, 3, dreambooth.CONFIG, options_for(sd_folder), tmp_path)
               for name in dreambooth.VARIANTS}
    data = {name: cfg.train_dataloader.dataset for name, cfg in configs.items()}
    assert data["full"]["prior_caption_dropout"] > 0 and data["full"]["num_class_images"] == 2
    assert data["no_caption_dropout"]["prior_caption_dropout"] == 0
    assert data["no_caption_dropout"]["num_class_images"] == 2
    assert data["no_prior"]["num_class_images"] == 0 and data["no_prior"]["class_prompt"] is None
    assert set(configs["full"].model.tuners) == {"unet", "text_encoder"}
    assert set(configs["unet_only"].model.tuners) == {"unet"}
    assert configs["full"].randomness.seed == 3
    assert len({dreambooth.recipe(cfg) for cfg in configs.values()}) == 4


def test_another_teacher_in_the_same_place_is_another_recipe(sd_folder, tmp_path):
    teacher = tmp_path / "teacher"
    shutil.copytree(sd_folder, teacher)
    cfg = load_config("mini_sd_distill_small", work_dir=tmp_path / "run", cfg_options={
        "model.pretrained": str(sd_folder), "model.distiller.teacher": str(teacher)})
    before = dreambooth.recipe(cfg)
    file = teacher / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    save_file({name: tensor + 1 for name, tensor in weights.items()}, file)
    assert dreambooth.recipe(cfg) != before


def scores(hit, ordinary):
    names = ("hit", "hit_seen", "hit_unseen")
    return {"concept": dict.fromkeys(names, hit), "ordinary": {"sc": ordinary}, "ordinary_taken_for_concept": 0.0,
            "hit_by_sampling_seed": [hit, hit - 0.1]}


@pytest.fixture
def painted(sd_folder, tmp_path, monkeypatch):
    """measure_dreambooth without training and painting; the list says which trainings were asked for."""
    trainings = []

    def train_once(cfg):
        trainings.append(cfg.work_dir)
        return tmp_path / "step0", {"seconds": 2.0, "cpu_seconds": 1.0}

    monkeypatch.setattr(dreambooth, "train_once", train_once)
    monkeypatch.setattr(exam.Exam, "take", lambda self, steps: scores(0.9, 0.8) if steps else scores(0.0, 1.0))
    blank = np.zeros((64, 64, 3), np.uint8)
    monkeypatch.setattr(exam.Exam, "show", lambda self, steps: [
        {**ConceptPrompts("striped_heart", 8)[i], "image": blank} for i in range(8)])

    def measure(**changes):
        return dreambooth.measure_dreambooth(**{
            "cfg_options": options_for(sd_folder), "work_dir": tmp_path / "runs", "out": tmp_path / "dreambooth",
            "image": tmp_path / "sheet.png", "seeds": [0, 1], "say": lambda line: None, **changes})

    return measure, trainings, tmp_path


def test_dreambooth_goes_on_where_it_was(painted):
    measure, trainings, tmp_path = painted
    measure(variants=["no_prior"], seeds=[0])
    assert len(trainings) == 1
    text = measure(variants=["no_prior"])
    assert [path.rsplit("/", 1)[1] for path in trainings] == ["seed0", "seed1"]
    assert "| without prior pictures and caption dropout | 2 | 0.900 ± 0.000 |" in text
    assert "| 0.800 ± 0.000 | 0.800 ± 0.000 |" in text
    measure(variants=["no_prior"])
    assert len(trainings) == 2
    measure(variants=["no_prior"], sampling_seeds=2)  # another exam: nothing of before can be compared
    assert len(trainings) == 4
    assert not (tmp_path / "sheet.png").exists()


def test_dreambooth_has_a_contact_sheet(painted):
    measure, _, tmp_path = painted
    text = measure(variants=["full"])
    assert "The lowest hit rate of the whole recipe, of any training and sampling seed: 0.800." in text
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 5 * 128 and sheet.height > 5 * 128
    with pytest.raises(ValueError, match="variants must be among full"):
        measure(variants=["fool"])


def test_spread():
    assert report.spread([0.5, 0.7]) == "0.600 ± 0.141"
    assert report.spread([0.5]) == "0.500"


@pytest.mark.slow
def test_a_real_training_is_measured_and_not_done_twice(sd_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(exam, "SETTINGS", FEW)
    options = {**options_for(sd_folder), "custom_hooks": [{"type": "PriorImagesHook", "num_inference_steps": 1}]}
    arguments = {
        "variants": ["unet_only"], "seeds": [0], "sampling_seeds": 1, "per_background": 1, "ordinary": 2,
        "cfg_options": options, "work_dir": tmp_path, "out": tmp_path / "r", "say": lambda line: None}
    dreambooth.measure_dreambooth(**arguments)
    step = tmp_path / "unet_only" / "seed0" / "step0"
    assert (step / "unet" / "adapter_config.json").is_file() and not (step / "text_encoder").exists()
    results = json.loads((tmp_path / "r.json").read_text())
    run = results["runs"]["unet_only"]["0"]
    assert run["concept"]["hit_n"] == 8 and run["ordinary"]["sc_n"] == 2 and run["cpu_seconds"] > 0
    (tmp_path / "r.json").unlink()
    monkeypatch.setattr(sys.modules["diffkit.apis.train"], "train", None)
    dreambooth.measure_dreambooth(**arguments)
    assert json.loads((tmp_path / "r.json").read_text())["runs"]["unet_only"]["0"] == run
