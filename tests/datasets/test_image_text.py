"""Captioned pictures from a folder, and from the hub's package."""

import json
import sys
import types

import pytest
import torch

from diffkit.datasets import Draw, HubImageText, ImageTextDataset
from tests.datasets.pictures import folder_of, noise


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


class Rows:
    """What HubImageText uses of ``datasets.Dataset``."""

    def __init__(self, rows):
        self.rows, self.column_names = rows, list(rows[0])

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def select(self, indexes):
        return Rows([self.rows[index] for index in indexes])


@pytest.fixture
def hub(monkeypatch):
    rows = [{"image": noise(index), "text": f"caption {index}"} for index in range(3)]
    calls = []
    module = types.ModuleType("datasets")
    module.load_dataset = lambda *args, **options: calls.append((args, options)) or Rows(rows)
    monkeypatch.setitem(sys.modules, "datasets", module)
    return types.SimpleNamespace(rows=rows, calls=calls)


def test_hub_rows_become_items(hub):
    dataset = HubImageText("owner/name", resolution=8, hflip=0.0)
    assert hub.calls == [(("owner/name", None), {"split": "train"})]  # no code of theirs is trusted
    item = dataset[Draw(1, 0)]
    assert item["prompt"] == "caption 1" and item["pixel_values"].shape == (3, 8, 8)
    assert item["key"] == dataset[Draw(1, 9)]["key"] != dataset[Draw(2, 0)]["key"]
    assert len(HubImageText("owner/name", resolution=8, num_images=2)) == 2


def test_hub_rows_that_cannot_be_used(hub):
    hub.rows[1]["text"] = None
    with pytest.raises(
        ValueError, match=r"row 1 of the dataset cannot be used: text is empty; set bad_images='skip'"
    ):
        HubImageText("owner/name", resolution=8)[1]
    assert HubImageText("owner/name", resolution=8, bad_images="skip")[1]["prompt"] == "caption 2"
    with pytest.raises(ValueError, match=r"caption_column='caption' is no column .* there are image, text"):
        HubImageText("owner/name", caption_column="caption")
    for row in hub.rows:
        row["image"] = None
    with pytest.raises(ValueError, match=r"no row of the dataset can be used"):
        HubImageText("owner/name", resolution=8, bad_images="skip")[0]


def test_the_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install datasets"):
        HubImageText("owner/name")
