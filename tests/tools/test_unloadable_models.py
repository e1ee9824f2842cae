"""A model that cannot be loaded is one message and status 1, in every command that takes one."""

import pytest

from diffkit import cli
from tests.pickled import pickled_copy
from tests.test_launch import CONFIG
from tests.utils.hub import put_into_cache

SMALL = ["--steps", "1", "--height", "32", "--width", "32", "--device", "cpu"]


@pytest.fixture
def folder(sd_folder, tmp_path, monkeypatch):
    """The working directory, with a config, and a step folder of a LoRA on a model of the hub."""
    (tmp_path / "tiny_lora.py").write_text(CONFIG.format(pretrained=str(sd_folder)), encoding="utf-8")
    step = tmp_path / "w/step9/unet"
    step.mkdir(parents=True)
    (step / "adapter_config.json").write_text('{"base_model_name_or_path": "owner/base"}', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    pickled_copy(sd_folder, tmp_path / "bin")
    return tmp_path


def lines(model, vae=None):
    """(command, key, flag) that load ``model``."""
    options = [f"model.pretrained={model}"] + ([f"model.vae={vae}"] if vae else [])
    yield (["train", "tiny_lora.py", "--cfg-options", *options],
           "model.vae" if vae else "model.pretrained", "model.family.allow_pickle=True")
    more = ["--vaemodel", vae] if vae else []
    yield ["demo_lora", "a dog", "w/step9", "--sdmodel", model, *more, *SMALL], \
        "--vaemodel" if vae else "--sdmodel", "--allow-pickle"
    yield ["text2images", "--pretrained", model, "--caption", "a dog", *more, *SMALL], \
        "--vaemodel" if vae else "--pretrained", "--allow-pickle"


def message(arguments, capsys):
    """What a command that fails says."""
    assert cli.main(arguments) == 1
    said = capsys.readouterr().err.splitlines()
    errors = [line for line in said if line.startswith("error: ")]
    assert len(errors) == 1 and said[-1] == errors[0] and "Traceback" not in "\n".join(said)
    return errors[0].removeprefix("error: ")


def test_pickled_weights(folder, capsys):
    for line, key, flag in lines("./bin"):
        said = message(line, capsys)
        assert said.startswith(f"{key} 'bin' has only pickled weights (.bin) for ")
        assert said.endswith(f"To load it all the same: {flag}.")
    for line, key, flag in lines("SD", vae="./bin"):
        line = [str(folder.parent / word) if word == "SD" else word for word in line]
        line = [word.replace("model.pretrained=SD", "train_cfg.max_iters=2") for word in line]
        if "train" in line:
            said = message(line, capsys)
            assert said.startswith(f"{key} 'bin' has only pickled weights (.bin) for vae.")
            assert said.endswith(f"To load it all the same: {flag}.")


def test_the_flags_load_them(folder, capsys):
    train = ["train", "tiny_lora.py", "--cfg-options", "model.pretrained=./bin", "model.family.allow_pickle=True"]
    assert cli.main(train) == 0
    picture = ["text2images", "--caption", "a dog", "--images-num", "1", *SMALL]
    assert cli.main([*picture, "--pretrained", "bin", "--allow-pickle", "--out", "a.png"]) == 0
    step = "work_dirs/tiny_lora/step1"
    assert cli.main(["demo_lora", "a dog", step, "--sdmodel", "bin", "--allow-pickle", *SMALL, "--out", "b.png"]) == 0
    assert (folder / "a.png").is_file() and (folder / "b.png").is_file()


def test_a_name_of_the_hub_without_network(folder, capsys):
    for line, key, _ in lines("owner/name"):
        said = message(line, capsys)
        assert said.startswith(f"{key} 'owner/name' is neither a folder here nor in the cache")
        assert "HF_HUB_OFFLINE is set" in said
    said = message(["demo_lora", "a dog", "w/step9", *SMALL], capsys)
    assert said.startswith("--sdmodel: w/step9 was trained on 'owner/base', which is neither a folder here nor in")


def test_a_name_of_the_hub_that_was_downloaded_before(folder, sd_folder, monkeypatch, capsys):
    put_into_cache(monkeypatch, folder / "cache", "owner/name", sd_folder)
    assert cli.main(["train", "tiny_lora.py", "--cfg-options", "model.pretrained=owner/name"]) == 0
    step = folder / "work_dirs/tiny_lora/step1"
    assert '"owner/name"' in (step / "diffkit.json").read_text()  # and not the folder of the cache
    assert cli.main(["demo_lora", "a dog", str(step), *SMALL, "--out", "a.png"]) == 0
    from diffkit.utils.images import read_png_metadata

    assert read_png_metadata(folder / "a.png")["pretrained"] == "owner/name"


def test_a_wrong_target_is_found_before_weights_are_read(folder, sd_folder, tmp_path, capsys):
    for file in (folder / "bin").rglob("*.bin"):
        file.write_bytes(b"no weights at all")
    options = ["model.pretrained=./bin", "model.family.allow_pickle=True"]
    train = ["train", "tiny_lora.py", "--cfg-options", *options]
    assert "cannot be loaded" in message(train, capsys)
    said = message([*train, "model.tuners.unet.target_modules=[to_q,to_kk]"], capsys)
    assert said.startswith("LoRATuner: target_modules: no layer of 'unet' matches 'to_kk'; did you mean \"to_k\"")
