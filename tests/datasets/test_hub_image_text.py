"""Rows of a dataset of the hub's package are verified like files of a folder."""

import json
import sys
import types

import pytest
import torch

from diffkit.datasets import Draw, HubImageText, hub_rows
from tests.datasets.pictures import folder_of, noise
from tests.faults.bombs import bombs, encoded


class Image:
    """The type of a column of images, as ``datasets.Image``."""

    def __init__(self, decode=True):
        self.decode = decode


class Table:
    """What HubImageText uses of ``datasets.Dataset``."""

    def __init__(self, rows, features=None):
        self.rows, self.column_names, self.features = rows, list(rows[0]), features or {}

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]

    def select(self, indexes):
        return Table([self.rows[index] for index in indexes], self.features)

    def cast_column(self, column, kind):
        assert isinstance(kind, Image) and not kind.decode
        return Table([{**row, column: row[column].raw} for row in self.rows], {**self.features, column: kind})


class Stored:
    """A cell of a column of images; to decode it is a mistake, for the datasets package decodes without limits."""

    def __init__(self, raw):
        self.raw = raw


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))
    rows = [{"image": noise(index), "text": f"caption {index}"} for index in range(3)]
    state = types.SimpleNamespace(rows=rows, calls=[], features={})

    def load_dataset(*args, **options):
        state.calls.append((args, options))
        return Table(state.rows, state.features)

    module = types.ModuleType("datasets")
    module.load_dataset, module.Image = load_dataset, Image
    monkeypatch.setitem(sys.modules, "datasets", module)
    return state


def stored(hub, *contents):
    """Lets the rows hold files."""
    hub.features = {"image": Image()}
    hub.rows = [{"image": Stored({"bytes": content, "path": None}), "text": "a photo"} for content in contents]


def test_rows_become_items(hub):
    dataset = HubImageText("owner/name", resolution=8, hflip=0.0)
    assert hub.calls == [(("owner/name", None), {"split": "train"})]  # no code of theirs is trusted
    item = dataset[Draw(1, 0)]
    assert item["prompt"] == "caption 1" and item["pixel_values"].shape == (3, 8, 8)
    assert item["key"] == dataset[Draw(1, 9)]["key"] != dataset[Draw(2, 0)]["key"]
    assert dataset.name_of(item["key"]) == dataset.name_at(1) == "row 1"
    assert dataset.summary() == "owner/name, train: 3 images"
    assert len(HubImageText("owner/name", resolution=8, num_images=2)) == 2


def test_rows_have_buckets(hub):
    hub.rows = [{"image": noise(i, width, height), "text": "a photo"} for i, (width, height) in enumerate(
        [(40, 20), (20, 40), (30, 30)])]
    for _ in range(2):  # the second time nothing is decoded before
        dataset = HubImageText("owner/name", resolution=[32, 64], buckets={"step": 8}, hflip=0.0)
        shapes = dataset.item_shapes()
        assert len(dataset) == len(shapes) == 6 and dataset.picture_size() == (64, 64)
        assert [shape.original for shape in shapes] == [(20, 40), (40, 20), (30, 30)] * 2
        for index, shape in enumerate(shapes):
            item = dataset[Draw(index, 0)]
            assert tuple(item["pixel_values"].shape[1:]) == shape.size and item["original_size"] == shape.original
            assert dataset.name_of(item["key"]) == dataset.name_at(index) == f"row {index % 3}"
    assert HubImageText("owner/name", resolution=8).picture_size() == (8, 8)


def test_files_and_pictures_give_the_same_pixels(hub):
    decoded = HubImageText("owner/name", resolution=8, hflip=0.0)[1]["pixel_values"]
    stored(hub, *(encoded(noise(index), "PNG") for index in range(3)))
    assert torch.equal(HubImageText("owner/name", resolution=8, hflip=0.0)[1]["pixel_values"], decoded)


def test_rows_that_cannot_be_used_are_listed_at_once(hub):
    stored(hub, encoded(noise(), "PNG"), b"", encoded(noise(), "PNG")[:200], bombs()["bomb_claimed.png"][0],
           bombs()["bomb_scans.jpg"][0], b"%!PS-Adobe-3.0 EPSF-3.0\n", encoded(noise(1), "PNG"))
    hub.rows[6]["text"] = ["", " "]
    with pytest.raises(ValueError) as caught:
        HubImageText("owner/name", resolution=8)
    message = str(caught.value)
    assert "data_root='owner/name': 6 of 7 rows cannot be used:\n  row 1: not a picture" in message
    for line in ("row 2: damaged", "row 3: 10000000000 pixels", "row 4: 20006 scans", "row 5: not a picture",
                 "row 6: text is empty", "bad_images='skip'"):
        assert line in message, line
    dataset = HubImageText("owner/name", resolution=8, bad_images="skip")
    assert len(dataset) == 1 and dataset[0]["prompt"] == "a photo"
    assert dataset.summary() == "owner/name, train: 1 images, 6 cannot be used"


def test_with_no_row_left_skipping_is_an_error_too(hub):
    for row in hub.rows:
        row["image"] = None
    with pytest.raises(ValueError, match=r"3 of 3 rows cannot be used:\n  row 0: image is NoneType, not an image"):
        HubImageText("owner/name", resolution=8, bad_images="skip")


def test_the_second_start_decodes_nothing(hub, monkeypatch):
    stored(hub, *(encoded(noise(index), "PNG") for index in range(3)))
    HubImageText("owner/name", resolution=8)
    decoded, real = [], hub_rows.decode_image
    monkeypatch.setattr(hub_rows, "decode_image", lambda file: decoded.append(file) or real(file))
    HubImageText("owner/name", resolution=8)
    assert not decoded
    hub.rows[1]["image"].raw["bytes"] = encoded(noise(7), "PNG")
    HubImageText("owner/name", resolution=8)
    assert len(decoded) == 1


def test_files_beside_the_table_are_read_from_their_path(hub, tmp_path):
    noise(5).save(tmp_path / "a.png")
    stored(hub, None, None)
    for row, name in zip(hub.rows, ("a.png", "gone.png"), strict=True):
        row["image"].raw["path"] = str(tmp_path / name)
    with pytest.raises(ValueError, match=r"1 of 2 rows cannot be used:\n  row 1: cannot be read \(No such file"):
        HubImageText("owner/name", resolution=8)
    assert len(HubImageText("owner/name", resolution=8, bad_images="skip")) == 1


def test_a_row_that_changes_is_found(hub):
    stored(hub, *(encoded(noise(index), "PNG") for index in range(2)))
    dataset = HubImageText("owner/name", resolution=8)
    dataset.rows.table.rows[1]["image"]["bytes"] = encoded(noise(9), "PNG")
    with pytest.raises(ValueError, match=r"row 1 of data_root=.owner/name. changed while it was in use"):
        dataset[1]


def test_mistakes(hub, monkeypatch):
    with pytest.raises(ValueError, match=r"caption_column='caption' is no column .* there are image, text"):
        HubImageText("owner/name", caption_column="caption")
    with pytest.raises(ValueError, match="bad_images must be one of stop, skip, got 'warn'"):
        HubImageText("owner/name", bad_images="warn")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match=r"pip install datasets"):
        HubImageText("owner/name")


def test_with_the_real_package(tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    folder = folder_of(tmp_path / "photos", 3)
    (folder / "01.png").write_bytes((folder / "01.png").read_bytes()[:200])
    rows = [{"file_name": f"0{index}.png", "text": "a photo"} for index in range(3)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with pytest.raises(ValueError, match=r"1 of 3 rows cannot be used:\n  row 1: damaged"):
        HubImageText(str(folder), resolution=8)
    dataset = HubImageText(str(folder), resolution=8, bad_images="skip", hflip=0.0)
    assert len(dataset) == 2 and dataset[1]["pixel_values"].shape == (3, 8, 8)
