"""Every config of evaluation measures a tiny model: its prompts, its sampler, its metrics with small networks."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffkit.apis.configs import load_config
from diffkit.apis.test import test as measure
from diffkit.evaluation import InceptionQuality
from tests.evaluation.judges import save_clip, save_dino

DREAMBOOTH = """subject_name,class
dog6,dog

Object Prompts
prompt_list = [
'a {0} {1} in the snow'.format(unique_token, class_token),
]
Live Subject Prompts
prompt_list = [
'a {0} {1} on the beach'.format(unique_token, class_token),
'a red {0} {1}'.format(unique_token, class_token),
]
"""


@pytest.fixture(scope="module")
def judges(tmp_path_factory):
    folder = tmp_path_factory.mktemp("judges")
    return {"CLIP": str(save_clip(folder / "clip")), "DINO": str(save_dino(folder / "dino"))}


def run(name, options, judges, sd_folder, tmp_path):
    """The metrics of a config on the tiny model, with one step and local judges; without Inception, which is large."""
    cfg = load_config(name, work_dir=tmp_path / "run", cfg_options={
        "model.pretrained": str(sd_folder), "model.generation.num_inference_steps": 1, "model.generation.height": 32,
        "model.generation.width": 32, **options})
    evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
    cfg.test_evaluator = [each for each in evaluators if each["type"] is not InceptionQuality]
    for each in cfg.test_evaluator:
        kind = each["type"].__name__
        if kind.startswith(tuple(judges)):
            each["weights"] = judges[kind[:4]]
        if "references" in each:
            each["references"] = str(tmp_path / "real")
    return measure(cfg, work_dir=tmp_path / "run")


def real_pictures(folder, subject):
    (folder / subject).mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (40, 40), (200, 40 * number, 0)).save(folder / subject / f"{number}.png")


def kept(tmp_path) -> list[Path]:
    return sorted((tmp_path / "run").rglob("pictures/*/*.png"))


def test_kept_pictures(judges, sd_folder, tmp_path):
    options = {"test_dataloader.dataset.n": 3}
    found = run("mini_sd_kept_pictures", options, judges, sd_folder, tmp_path)
    assert found["prompt/sc_n"] == 3 == len(kept(tmp_path))
    made = [path.stat().st_mtime_ns for path in kept(tmp_path)]
    assert run("mini_sd_kept_pictures", options, judges, sd_folder, tmp_path) == found
    assert [path.stat().st_mtime_ns for path in kept(tmp_path)] == made, "pictures that are there are not made again"


def test_pictures_do_not_depend_on_the_batch(judges, sd_folder, tmp_path):
    """Products of matrices of other sizes may round otherwise: a level of a pixel at most."""
    found = {}
    for size in (1, 4):
        out = tmp_path / f"of_{size}"
        figures = run("mini_sd_kept_pictures", {
            "test_dataloader.dataset.n": 6, "test_dataloader.batch_size": size, "test_cfg.out": str(out),
            "model.generation.num_inference_steps": 2}, judges, sd_folder, tmp_path)
        found[size] = {path.name: np.asarray(Image.open(path), dtype=int) for path in out.glob("*.png")}, figures
    (one, one_figures), (four, four_figures) = found[1], found[4]
    assert one.keys() == four.keys() and len(one) == 6
    assert max(np.abs(one[name] - four[name]).max() for name in one) <= 1
    assert len({image.tobytes() for image in one.values()}) == 6 and one_figures == four_figures


def test_the_protocol_of_dreambooth(judges, sd_folder, tmp_path):
    (tmp_path / "prompts.txt").write_text(DREAMBOOTH)
    real_pictures(tmp_path / "real", "dog6")
    found = run("stable_diffusion_v15_dreambooth_protocol", {
        "test_dataloader.dataset.file": str(tmp_path / "prompts.txt")}, judges, sd_folder, tmp_path)
    assert len(kept(tmp_path)) == 8, "two prompts for a live subject, four pictures of each"
    assert all(-1 <= value <= 1 for name, value in found.items() if name.endswith(("clip_t", "clip_i", "dino_i")))
    assert sum(name.endswith(("clip_t", "clip_i", "dino_i")) for name in found) == 3, sorted(found)


def test_the_protocol_of_custom_concept101(judges, sd_folder, tmp_path):
    (tmp_path / "data/prompts").mkdir(parents=True)
    (tmp_path / "data/prompts/dog.txt").write_text("{} in snowy ice\n")
    (tmp_path / "data/dataset.json").write_text(json.dumps([{
        "instance_prompt": "photo of a <new1> dog", "class_prompt": "dog", "prompt_filename": "prompts/dog.txt",
        "instance_data_dir": "./benchmark_dataset/pet_dog1"}]))
    real_pictures(tmp_path / "real", "pet_dog1")
    found = run("stable_diffusion_v14_custom_concept101_protocol", {
        "test_dataloader.dataset.root": str(tmp_path / "data"), "test_dataloader.dataset.images_num": 2},
        judges, sd_folder, tmp_path)
    assert len(kept(tmp_path)) == 2 and any(name.endswith("dino_i") for name in found)


def test_the_protocol_of_bk_sdm(judges, sd_folder, tmp_path):
    (tmp_path / "captions.csv").write_text("file_name,text\n1.png,a dog\n2.png,a cat\n3.png,a tree\n")
    found = run("stable_diffusion_v14_coco_30k_protocol", {
        "test_dataloader.dataset.file": str(tmp_path / "captions.csv")}, judges, sd_folder, tmp_path)
    assert [Image.open(path).size for path in kept(tmp_path)] == [(256, 256)] * 3
    assert any(name.endswith("clip_t") for name in found), sorted(found)
