"""The hash of a model's files: the same for the same weights, another one for others."""

import shutil

import pytest
from safetensors.torch import load_file, save_file

from diffkit import cli
from diffkit.apis.model_identity import files_hash
from diffkit.apis.text_to_image import text_to_image
from diffkit.utils.images import read_png_metadata


def test_it_follows_the_weights_and_not_the_place(sd_folder, tmp_path, monkeypatch):
    first = files_hash(sd_folder, [])
    copy = shutil.copytree(sd_folder, tmp_path / "copy")
    (copy / "notes.txt").write_text("no weights")
    (copy / "state").mkdir()
    (copy / "state" / "model.safetensors").write_bytes(b"x")
    assert files_hash(copy, []) == first and len(first) == 16
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    next(iter(tensors.values())).add_(1)
    save_file(tensors, weights)
    changed = files_hash(copy, [])
    assert changed != first
    assert files_hash(sd_folder, [copy]) not in (first, changed) and files_hash(None, [copy]) == changed


def test_another_vae_is_another_model(sd_folder, tmp_path):
    copy = shutil.copytree(sd_folder, tmp_path / "copy")
    weights = copy / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + bytes(4))
    found = [files_hash(sd_folder, [], vae) for vae in (None, sd_folder, copy)]
    assert len(set(found)) == 3 and files_hash(sd_folder, [], copy / "vae") == found[2]
    unet = copy / "unet" / "diffusion_pytorch_model.safetensors"
    unet.write_bytes(unet.read_bytes()[:-4] + bytes(4))
    assert files_hash(sd_folder, [], copy) == found[2], "only its VAE is taken"


def test_a_manifest_is_not_believed(sd_folder, tmp_path):
    """A file of the same size with other weights is another model, whatever the manifest beside it says."""
    from diffkit.engine.manifest import write_manifest

    copy = shutil.copytree(sd_folder, tmp_path / "step1")
    before = files_hash(copy, [])
    write_manifest(copy, {})
    assert files_hash(copy, []) == before
    weights = copy / "unet" / "diffusion_pytorch_model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + bytes(4))
    assert content[-4:] != bytes(4) and files_hash(copy, []) != before


def test_a_model_of_the_hub_is_its_commit(monkeypatch):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    unknown = files_hash("owner/name", [])
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: "/cache/snapshots/abc/model_index.json")
    assert files_hash("owner/name", []) != unknown != files_hash("owner/other", [])


@pytest.mark.slow
def test_pictures_say_it(sd_folder, tmp_path, capsys):
    settings = {"images_num": 2, "num_inference_steps": 2, "device": "cpu"}
    files = text_to_image(sd_folder, [], ["a dog"], **settings, out=tmp_path / "a")
    assert [read_png_metadata(file)["model_hash"] for file in files] == [files_hash(sd_folder, [])] * 3
    assert read_png_metadata(files[0])["guidance_scale"] == 7.5 and files[-1].name == "grid.png"
    settings["images_num"] = 1
    (other,) = text_to_image(sd_folder, [], ["a dog"], **settings, vae=sd_folder, out=tmp_path / "b")
    about = read_png_metadata(other)
    assert about["model_hash"] == files_hash(sd_folder, [], sd_folder) and about["vae"] == str(sd_folder)
    line = ["demo_lora", "a dog", str(sd_folder), "--images-num", "2", "--steps", "2", "--device", "cpu", "--out",
            str(tmp_path / "demo.png")]
    assert cli.main(line) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "demo.png")
    assert sorted(path.name for path in tmp_path.glob("demo*.png")) == ["demo.png", "demo_000.png", "demo_001.png"]
