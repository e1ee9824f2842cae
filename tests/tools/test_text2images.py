"""What the commands that make pictures hand to the API."""

import pytest

from diffkit import apis, cli


@pytest.fixture
def calls(monkeypatch):
    """Stands in for the API and records its calls."""
    recorded = []

    def stand_in(result):
        return lambda *args, **kwargs: recorded.append((args, kwargs)) or result

    monkeypatch.setattr(apis, "text_to_image", stand_in(["out/0.png", "out/grid.png"]))
    monkeypatch.setattr(apis, "demo_lora", stand_in("demo.png"))
    return recorded


def test_text2images_hands_everything_on(calls, capsys):
    line = (
        "--pretrained mini-sd --step a/step1 b/step2 --weight 0.5 -1 --images_num 2 --seed 7 --steps 5 --guidance 4 "
        "--height 64 --width 32 --device cpu --dtype float32 --negative text --vaemodel v --batch-size 3 "
        "--allow-pickle --scheduler lcm --out pictures"
    )
    assert cli.main(["text2images", *line.split(), "--caption", "a dog", "a cat"]) == 0
    ((args, kwargs),) = calls
    assert args == ("mini-sd", ["a/step1", "b/step2"], ["a dog", "a cat"])
    assert kwargs == {
        "weights": [0.5, -1.0],
        "kernels": "auto",
        "beside_float": False,
        "verify_loading": False,
        "images_num": 2,
        "seed": 7,
        "num_inference_steps": 5,
        "guidance_scale": 4.0,
        "scheduler": "lcm",
        "negative_prompt": "text",
        "height": 64,
        "width": 32,
        "device": "cpu",
        "dtype": "float32",
        "batch_size": 3,
        "vae": "v",
        "allow_pickle": True,
        "out": "pictures",
    }
    assert capsys.readouterr().out == "out/0.png\nout/grid.png\n"


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


def test_demo_lora_makes_one_picture(calls, capsys):
    line = "w/step9 --sdmodel mini-sd --out d.png --height 64 --width 64 --steps 5 --seed 3 --device cpu"
    assert cli.main(["demo_lora", "a sks dog", *line.split()]) == 0
    ((args, kwargs),) = calls
    assert args == ("a sks dog", ["w/step9"], "mini-sd")
    assert kwargs == {
        "weights": None,
        "vaemodel": None,
        "allow_pickle": False,
        "images_num": 1,
        "out": "d.png",
        "height": 64,
        "width": 64,
        "num_inference_steps": 5,
        "guidance_scale": 7.5,
        "scheduler": "auto",
        "negative_prompt": None,
        "seed": 3,
        "device": "cpu",
        "dtype": "auto",
    }
    assert capsys.readouterr().out == "demo.png\n"


def test_demo_lora_takes_the_model_that_the_step_folder_names(calls):
    assert cli.main(["demo_lora", "a sks dog", "w/step9"]) == 0
    assert calls[0][0] == ("a sks dog", ["w/step9"], None)
