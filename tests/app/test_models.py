"""Which models the page lists, and which it may load."""

import json

import pytest

from diffkit.app.fields import FieldError
from diffkit.app.models import Models, fingerprint
from diffkit.app.roots import Roots


def step(folder, base, kind="unet"):
    """A folder that says it holds an adapter on ``base``."""
    (folder / kind).mkdir(parents=True)
    (folder / kind / "adapter_config.json").write_text("{}", encoding="utf-8")
    (folder / "diffkit.json").write_text(json.dumps({"base": str(base)}), encoding="utf-8")
    return folder


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "work_dirs"
    step(folder / "dog" / "step9", "mini-sd")
    step(folder / "dog" / "step99", "mini-sd")
    (folder / "whole").mkdir()
    (folder / "whole" / "model_index.json").write_text("{}", encoding="utf-8")
    (folder / "broken").mkdir()
    (folder / "broken" / "diffkit.json").write_text("{", encoding="utf-8")
    (folder / "broken" / "pytorch_lora_weights.safetensors").write_bytes(b"")
    step(tmp_path / "outside" / "step1", "mini-sd")
    (folder / "link").symlink_to(tmp_path / "outside")
    return folder


def test_what_is_listed(root):
    listed = Models(Roots([root]), ["owner/model"]).listed()
    assert [each["name"] for each in listed["bases"]] == ["mini-sd", "mini-sdxl", "owner/model", str(root / "whole")]
    assert [each["label"] for each in listed["steps"]] == [
        "work_dirs/dog/step99 (adapter)", "work_dirs/dog/step9 (adapter)"]


def test_a_choice(root):
    models = Models(Roots([root]))
    choice = models.choice({"base": "mini-sd", "steps": [{"path": "dog/step9", "weight": "0.5"}]})
    assert (choice.pretrained, choice.steps, choice.weights) == ("mini-sd", (str(root / "dog" / "step9"),), (0.5,))
    assert choice.title == "mini-sd + dog/step9 × 0.5"
    assert models.choice({"steps": [{"path": str(root / "dog" / "step99")}]}).pretrained is None
    assert models.choice({"base": "whole"}).pretrained == str(root / "whole")


@pytest.mark.parametrize(("values", "field", "words"), [
    (None, "Model", "an object with fields"), ({}, "Model, base", "choose a model, or a step folder"),
    ({"base": "../outside/step1"}, "Model, base", "lies outside of the folders"),
    ({"base": "/etc"}, "Model, base", "lies outside"), ({"base": "link/step1"}, "Model, base", "lies outside"),
    ({"base": "nobody/here"}, "Model, base", "Start it with --model nobody/here to allow it"),
    ({"base": "work_dirs/dgo"}, "Model, base", "there is no folder 'work_dirs/dgo'"),
    ({"base": "dog/step5"}, "Model, base", "there is no folder 'dog/step5'"),
    ({"base": "dog"}, "Model, base", "is no model: .*did you mean '.*step99'"),
    ({"base": "mini-sd", "steps": [{"path": "dog"}]}, "Model, step folder 1, path", "is no step folder"),
    ({"base": "mini-sd", "steps": [{"path": "dog/step9", "weight": 5}]}, "Model, step folder 1, weight", "-4 to 4"),
    ({"base": "mini-sd", "steps": ["dog/step9"]}, "Model, step folder 1", "an object with fields"),
    ({"base": "mini-sd", "steps": [{"path": "dog/step9"}] * 9}, "Model, steps", "given 9; allowed: 8 at most")])
def test_a_choice_that_is_refused(root, monkeypatch, values, field, words):
    monkeypatch.chdir(root.parent)
    with pytest.raises(FieldError, match=words) as caught:
        Models(Roots([root])).choice(values)
    assert caught.value.field == field


def test_a_step_folder_may_not_bring_a_model_from_elsewhere(root, tmp_path):
    step(root / "sly" / "step1", tmp_path / "outside" / "step1")
    step(root / "far" / "step1", "nobody/model")
    models = Models(Roots([root]))
    for name, words in (("sly", "lies outside of the folders"), ("far", "--model nobody/model to allow it")):
        for values in ({"steps": [{"path": f"{name}/step1"}]}, {"base": f"{name}/step1"},
                       {"base": "mini-sd", "steps": [{"path": f"{name}/step1"}]}):
            with pytest.raises(FieldError, match=words):
                models.choice(values)
    assert Models(Roots([root]), ["nobody/model"]).choice({"steps": [{"path": "far/step1"}]}).pretrained is None
    step(root / "loop" / "step1", root / "loop" / "step1")
    assert models.choice({"steps": [{"path": "loop/step1"}]}).pretrained is None  # loading it says what is wrong


def test_the_fingerprint_follows_the_files(root):
    models = Models(Roots([root]))
    values = {"base": "mini-sd", "steps": [{"path": "dog/step9"}]}
    before = fingerprint(models.choice(values))
    assert fingerprint(models.choice(values)) == before
    (root / "dog" / "step9" / "unet" / "adapter_model.safetensors").write_bytes(b"1")
    assert fingerprint(models.choice(values)) != before
    assert fingerprint(models.choice({"base": "mini-sd"})) != fingerprint(models.choice({"base": "mini-sdxl"}))
