import numpy as np
import pytest
from PIL import Image

from diffkit.apis.model_identity import files_hash
from diffkit.apis.text_to_image import demo_lora, text_to_image
from diffkit.utils.images import read_png_metadata
from tests.apis.test_load_pipeline import write_step

FAST = {"num_inference_steps": 2, "device": "cpu"}


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_pictures_grid_and_metadata(sd_folder, tmp_path):
    files = text_to_image(sd_folder, [], ["a photo of a dog", "A cat!"], images_num=3, seed=5, batch_size=4,
                          out=tmp_path / "out", guidance_scale=3.0, **FAST)
    assert [file.name for file in files] == [
        *(f"00{i}_a-photo-of-a-dog_seed{5 + i}.png" for i in range(3)),
        *(f"00{3 + i}_a-cat_seed{5 + i}.png" for i in range(3)), "grid.png"]
    assert Image.open(files[0]).size == (32, 32)  # the model's own size: 16 latents, factor 2
    about = read_png_metadata(files[4])
    assert about == {
        "prompt": "A cat!", "seed": 6, "pretrained": str(sd_folder), "steps": [], "weights": None,
        "guidance_scale": 3.0, "negative_prompt": None, "num_inference_steps": 2, "dtype": "float32",
        "model_hash": files_hash(sd_folder, [])}
    assert Image.open(files[-1]).width > 3 * 160


def test_a_picture_does_not_depend_on_its_batch(sd_folder, tmp_path):
    prompts = ["a photo of a dog", "a cat"]
    together = text_to_image(sd_folder, [], prompts, images_num=2, batch_size=4, out=tmp_path / "a", **FAST)
    alone = text_to_image(sd_folder, [], prompts, images_num=2, batch_size=1, out=tmp_path / "b", **FAST)
    for one, other in zip(together[:-1], alone[:-1], strict=True):
        assert np.abs(pixels(one) - pixels(other)).max() <= 1
    assert np.abs(pixels(alone[0]) - pixels(alone[1])).max() > 10  # another seed


def test_sizes(sd_folder, tmp_path):
    (file,) = text_to_image(sd_folder, [], ["a dog"], height=48, width=64, out=tmp_path / "a.png", **FAST)
    assert file == tmp_path / "a.png" and Image.open(file).size == (64, 48)


def test_several_pictures_into_a_file(sd_folder, tmp_path):
    files = text_to_image(sd_folder, [], ["a dog"], images_num=2, out=tmp_path / "a.png", **FAST)
    assert [file.name for file in files] == ["a_000.png", "a_001.png", "a.png"]


def test_sdxl(sdxl_folder, tmp_path):
    (file,) = text_to_image(sdxl_folder, [], ["a dog"], negative_prompt="a cat", out=tmp_path, **FAST)
    assert Image.open(file).size == (32, 32) and read_png_metadata(file)["negative_prompt"] == "a cat"


def test_bfloat16_on_a_cpu(sd_folder, tmp_path):
    (file,) = text_to_image(sd_folder, [], ["a dog"], dtype="bfloat16", out=tmp_path, **FAST)
    assert read_png_metadata(file)["dtype"] == "bfloat16"


def test_demo_lora(sd_folder, tmp_path):
    write_step(tmp_path / "step3", sd_folder)
    named = demo_lora("a dog", tmp_path / "step3", sd_folder, out=tmp_path / "a.png", **FAST)
    found = demo_lora("a dog", tmp_path / "step3", out=tmp_path / "b.png", **FAST)
    (base,) = text_to_image(sd_folder, [], ["a dog"], out=tmp_path / "c.png", **FAST)
    assert named == tmp_path / "a.png" and (pixels(named) == pixels(found)).all()
    assert np.abs(pixels(named) - pixels(base)).max() > 5
    assert read_png_metadata(found)["steps"] == [str(tmp_path / "step3")]


def test_mistakes(sd_folder):
    with pytest.raises(TypeError, match="prompts must be a list"):
        text_to_image(sd_folder, [], "a dog")
    with pytest.raises(ValueError, match="prompts is empty"):
        text_to_image(sd_folder, [], [])
    with pytest.raises(ValueError, match="images_num must be 1 or more, not 0"):
        text_to_image(sd_folder, [], ["a"], images_num=0)
    with pytest.raises(ValueError, match="num_inference_steps is 0"):
        text_to_image(sd_folder, [], ["a"], num_inference_steps=0)
