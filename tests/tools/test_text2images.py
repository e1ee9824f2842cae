"""What the commands that make pictures hand to the API."""

import sys
from types import ModuleType

import pytest

from diffkit import cli


@pytest.fixture
def calls(monkeypatch):
    """Stands in for the API and records its calls."""
    recorded = []
    module = ModuleType("diffkit.apis.text_to_image")
    module.text_to_image = lambda *args, **kwargs: recorded.append((args, kwargs)) or "out/grid.png"
    monkeypatch.setitem(sys.modules, "diffkit.apis.text_to_image", module)
    return recorded


def test_text2images_hands_everything_on(calls, capsys):
    arguments = [
        "--pretrained",
        "mini-sd",
        "--step",
        "a/step1",
        "b/step2",
        "--caption",
        "a dog",
        "a cat",
        "--images_num",
        "2",
        "--seed",
        "7",
        "--steps",
        "5",
        "--guidance",
        "4",
        "--height",
        "64",
        "--width",
        "32",
        "--device",
        "cpu",
        "--dtype",
        "float32",
        "--out",
        "pictures",
    ]
    assert cli.main(["text2images", *arguments]) == 0
    ((args, kwargs),) = calls
    assert args == ("mini-sd", ["a/step1", "b/step2"], ["a dog", "a cat"])
    assert kwargs == {
        "images_num": 2,
        "seed": 7,
        "num_inference_steps": 5,
        "guidance_scale": 4.0,
        "height": 64,
        "width": 32,
        "device": "cpu",
        "dtype": "float32",
        "out": "pictures",
    }
    assert capsys.readouterr().out == "out/grid.png\n"


def test_captions_come_from_a_file_too(calls, tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a dog\n\n  a cat  \n", encoding="utf-8")
    assert cli.main(["text2images", "--pretrained", "m", "--caption-file", str(file)]) == 0
    assert calls[0][0] == ("m", [], ["a dog", "a cat"])


def test_a_caption_file_without_prompts_is_a_mistake(calls, tmp_path, capsys):
    file = tmp_path / "prompts.txt"
    assert cli.main(["text2images", "--pretrained", "m", "--caption-file", str(file)]) == 1
    assert f"caption-file: no file '{file}'" in capsys.readouterr().err
    file.write_text("\n", encoding="utf-8")
    assert cli.main(["text2images", "--pretrained", "m", "--caption-file", str(file)]) == 1
    assert "has no prompt" in capsys.readouterr().err
    assert not calls


def test_demo_lora_makes_one_picture(calls):
    assert cli.main(["demo_lora", "a sks dog", "w/step9", "--sdmodel", "mini-sd", "--out", "d.png"]) == 0
    ((args, kwargs),) = calls
    assert args == ("mini-sd", ["w/step9"], ["a sks dog"])
    assert kwargs["images_num"] == 1
    assert kwargs["out"] == "d.png"
