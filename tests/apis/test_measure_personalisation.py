"""The table of the personalisation methods: what is trained, kept, counted and asked."""

import json

import pytest
from PIL import Image

from diffkit.apis.configs import load_config
from diffkit.apis.measure import exam, personalisation, report, training
from diffkit.apis.measure.exam import Exam, concept_scores, exam_subjects
from diffkit.apis.measure.personalisation_pictures import method_sheet
from diffkit.datasets.shapes import concept_images
from diffkit.models.generation import GenerationSettings
from diffkit.utils.images import read_png_metadata

FEW = GenerationSettings(num_inference_steps=2, guidance_scale=4.0)
SMALL = {"train_cfg.max_iters": 1, "train_dataloader.batch_size": 1, "train_dataloader.dataset.resolution": 32,
         "custom_hooks": []}


@pytest.mark.parametrize("name", personalisation.METHODS)
def test_every_method_is_a_config_that_says_what_it_is_asked_for(name, sd_folder, tmp_path):
    method = personalisation.METHODS[name]
    cfg = load_config(method.config, work_dir=tmp_path,
                      cfg_options={**method.options, "model.pretrained": str(sd_folder)})
    subjects = exam_subjects(cfg.test_dataloader.dataset)
    assert len(subjects) == (2 if name == "custom_two" else 1)
    if name == "ti_striped":
        assert subjects == {"striped_heart": "<thing>"}
        assert cfg.train_dataloader.dataset.data_root == "shapes:striped_heart"


def test_subjects_of_one_and_of_several_concepts():
    one = {"type": "ConceptPrompts", "concept": "striped_ring", "n": 8, "subject": "<a> ring"}
    other = {"type": "ConceptPrompts", "concept": "cyan_triangle", "n": 8}
    assert exam_subjects(one) == {"striped_ring": "<a> ring"}
    assert exam_subjects({"type": "NamedGroups", "groups": {"a": one, "b": other}}) == {
        "striped_ring": "<a> ring", "cyan_triangle": None}
    with pytest.raises(ValueError, match=r"must be ConceptPrompts, or NamedGroups of them.*got 'ShapesPrompts'"):
        exam_subjects({"type": "ShapesPrompts", "n": 8})


def test_scores_of_two_concepts_are_of_both_together():
    def pictures(concept, background=None):
        return [{"image": image, **({"background": background} if background else {})}
                for image in concept_images(concept, 2)]

    right = concept_scores({"striped_ring": pictures("striped_ring"), "cyan_triangle": pictures("cyan_triangle")})
    half = concept_scores({"striped_ring": pictures("striped_ring"), "cyan_triangle": pictures("striped_ring")})
    assert (right["hit"], right["hit_n"]) == (1.0, 4) and (half["hit"], half["hit_n"]) == (0.5, 4)


def test_a_composition_has_the_concept_and_the_background():
    seen = concept_images("striped_ring", 1)[0]
    right = exam.ConceptAccuracy("striped_ring")
    right.process(None, [{"image": seen, "background": "none of them"}])
    found = right.compute_metrics(right.results)
    assert found["hit"] == 1 and found["background"] == found["composition"] == 0


def test_an_exam_says_what_it_asks(sd_folder):
    asked = Exam(str(sd_folder), {"striped_ring": "<a> ring", "cyan_triangle": None}, 2, 3, 10, print).settings
    assert asked == {"concepts": {"striped_ring": "<a> ring", "cyan_triangle": "sks triangle"},
                     "weights": report.pretrained_digest(sd_folder), "sampling_seeds": 2,
                     "pictures_of_each_concept": 48, "ordinary_prompts": 10}


def test_a_model_whose_weights_are_all_trained_takes_the_base_s_place(sd_folder, tmp_path, monkeypatch):
    """Its step folder is a whole pipeline, under which nothing can be put."""
    monkeypatch.setattr(exam, "SETTINGS", FEW)
    cfg = load_config("mini_sd_dreambooth", work_dir=tmp_path, cfg_options={
        "model.pretrained": str(sd_folder), "train_cfg.max_iters": 1, "train_dataloader.dataset.resolution": 32,
        "train_dataloader.dataset.num_class_images": 0, "train_dataloader.dataset.class_prompt": None,
        "custom_hooks": []})
    step, _ = training.train_once(cfg)
    scores = Exam(str(sd_folder), {"striped_ring": None}, 1, 1, 2, print).take([step])
    assert scores["concept"]["hit_n"] == 8 and scores["ordinary"]["sc_n"] == 2


def test_a_failed_training_names_its_log(sd_folder, tmp_path):
    cfg = load_config("mini_sd_textual_inversion", work_dir=tmp_path, cfg_options={"model.pretrained": str(sd_folder)})
    with pytest.raises(RuntimeError, match=r"ended with status \d+; see .*measured.log"):
        training.train_apart(cfg, "mini_sd_textual_inversion", {"model.pretrained": "no/such/folder"})
    assert "no/such/folder" in (tmp_path / "measured.log").read_text()


@pytest.mark.slow
def test_a_method_is_trained_apart_asked_and_not_trained_twice(sd_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(exam, "SETTINGS", FEW)
    arguments = {"methods": ["ti_1"], "seeds": [0], "sampling_seeds": 1, "per_background": 1, "ordinary": 2,
                 "pretrained": str(sd_folder), "cfg_options": SMALL, "work_dir": tmp_path / "runs",
                 "out": tmp_path / "r", "images": tmp_path / "images", "say": lambda line: None}
    text = personalisation.measure_personalisation(**arguments)
    run = json.loads((tmp_path / "r.json").read_text())["runs"]["ti_1"]["0"]
    width = json.loads((sd_folder / "text_encoder" / "config.json").read_text())["hidden_size"]
    assert run["trained"] == width
    file = tmp_path / "runs" / "ti_1" / "seed0" / "step0" / "learned_embeds.safetensors"
    assert run["bytes"] == file.stat().st_size
    assert run["cpu_seconds"] > 0 and run["peak_mb"] > 100
    backgrounds = exam.ConceptPrompts("cyan_triangle", 1).backgrounds
    assert run["concept"]["hit_n"] == len(backgrounds) and run["ordinary"]["sc_n"] == 2
    assert "| textual inversion, 1 vector | cyan_triangle | 1 |" in text
    sheet = tmp_path / "images" / "mini_sd_textual_inversion.png"
    assert read_png_metadata(sheet)["rows"] == ["textual inversion, 1 vector"]
    monkeypatch.setattr(training.subprocess, "Popen", None)
    assert personalisation.measure_personalisation(**arguments) == text


def test_a_sheet_has_a_row_for_each_concept_and_wants_every_background(tmp_path):
    pictures = [{"concept": concept, "seen": True, "image": image}
                for concept in ("striped_ring", "cyan_triangle") for image in concept_images(concept, 2)]
    file = method_sheet(tmp_path / "two.png", {"two concepts": pictures}, columns=2)
    one = method_sheet(tmp_path / "one.png", {"one": pictures[:2]}, columns=2)
    heights = [Image.open(path).height for path in (file, one)]
    assert heights[0] > 1.8 * heights[1]
    with pytest.raises(ValueError, match="two concepts: 2 pictures of striped_ring, 3 are asked for"):
        method_sheet(tmp_path / "no.png", {"two concepts": pictures}, columns=3)


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match=r"methods must be among dreambooth, lora.*got lorra"):
        personalisation.measure_personalisation(methods=["lorra"])
