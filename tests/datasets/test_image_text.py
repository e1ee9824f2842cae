"""Captioned pictures of a folder."""

import json

import pytest
import torch

from diffkit.datasets import Draw, ImageTextDataset
from tests.datasets.pictures import folder_of


def captioned(path, count=3):
    folder_of(path, count)
    rows = [{"file_name": f"{index:02d}.png", "text": [f"{index}a", f"{index}b"]} for index in range(count)]
    (path / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_one_of_several_captions_is_drawn(tmp_path):
    dataset = ImageTextDataset(captioned(tmp_path), resolution=8)
    assert len(dataset) == 3 and "3 images" in dataset.summary()
    assert {dataset[Draw(1, seed)]["prompt"] for seed in range(30)} == {"1a", "1b"}
    item = dataset[Draw(2, 5)]
    assert item["pixel_values"].shape == (3, 8, 8) and item["is_prior"] is False
    assert dataset.name_of(item["key"]) == "02.png"


def test_captions_are_dropped_and_crops_are_random(tmp_path):
    dataset = ImageTextDataset(captioned(tmp_path), resolution=8, center_crop=False, caption_dropout=0.3)
    items = [dataset[Draw(0, seed)] for seed in range(1000)]
    share = sum(item["prompt"] == "" for item in items) / 1000
    assert abs(share - 0.3) < 4 * (0.3 * 0.7 / 1000) ** 0.5
    assert {item["crop_top_left"] for item in items} == {(0, 0), (0, 1), (0, 2)}
    assert all(item["key"] is None for item in items)
    assert torch.equal(dataset[Draw(0, 3)]["pixel_values"], items[3]["pixel_values"])


def test_nested_folders_are_read_when_asked(tmp_path):
    captioned(tmp_path, 1)
    folder_of(tmp_path / "sub", 1)
    (tmp_path / "sub" / "00.txt").write_text("below")
    dataset = ImageTextDataset(tmp_path, resolution=8, recursive=True)
    assert len(dataset) == 2 and dataset[1]["prompt"] == "below"
    assert len(ImageTextDataset(tmp_path, resolution=8, recursive=True, num_images=1)) == 1


def test_pictures_without_a_caption_are_an_error(tmp_path):
    folder_of(tmp_path, 2)
    (tmp_path / "00.txt").write_text("x")
    with pytest.raises(
        ValueError, match=r"1 of 2 images of data_root have no caption \(01\.png\): write captions"
    ):
        ImageTextDataset(tmp_path, resolution=8)
    with pytest.raises(ValueError, match=r"captions must be one of auto, txt, metadata"):
        ImageTextDataset(tmp_path, resolution=8, captions="none")


def test_bad_images_are_left_out_when_asked(tmp_path):
    captioned(tmp_path, 2)
    (tmp_path / "01.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 2 images cannot be used"):
        ImageTextDataset(tmp_path, resolution=8)
    assert len(ImageTextDataset(tmp_path, resolution=8, bad_images="skip")) == 1


def test_drawn_scenes_have_captions():
    dataset = ImageTextDataset("shapes:scenes", resolution=16, num_images=4, hflip=0.0)
    assert len(dataset) == 4 and all(dataset[index]["prompt"] for index in range(4))
