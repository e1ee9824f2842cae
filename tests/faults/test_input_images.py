"""Over a hundred odd and hostile images: each is read or refused as it should be, and none is a crash."""

import os
from pathlib import Path

import pytest

from diffkit.datasets import ImageTextDataset, list_images
from tests.faults.bad_images import write_cases
from tests.faults.cases import Case, corners
from tests.faults.images import (
    FORMATS,
    RESOLUTION,
    bomb_costs,
    can_measure,
    damaged_at_random,
    expensive_bombs,
    opened,
    wrong_pictures,
    wrong_verdicts,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> tuple[Path, list[Case]]:
    folder = tmp_path_factory.mktemp("images") / "photos"
    return folder, write_cases(folder)


def test_every_image_gets_its_verdict(cases):
    folder, expected = cases
    assert wrong_verdicts(folder, expected) == []
    assert len(expected) >= 100
    assert {case.kind for case in expected if case.reason is not None} >= {
        "truncated", "empty", "something else inside", "16-bit", "damaged inside", "link", "odd name", "bomb"}


def test_what_is_read_looks_as_it_should(cases):
    assert wrong_pictures(*cases) == []


def test_every_item_of_what_is_left_can_be_drawn(cases):
    dataset = opened(cases[0], "skip")
    for index in range(len(dataset)):
        pixels = dataset[index]["pixel_values"]
        assert pixels.shape == (3, RESOLUTION, RESOLUTION) and pixels.isfinite().all(), dataset.pictures.entries[index]


def test_stop_lists_them_before_anything_else(cases):
    folder, expected = cases
    with pytest.raises(ValueError) as caught:
        opened(folder, "stop")
    message = str(caught.value)
    bad = sum(case.reason is not None for case in expected)
    assert f"{bad} of {len(expected)} images cannot be used" in message and "bad_images='skip'" in message
    listed = [line for line in message.splitlines() if line.startswith("  ")]
    assert len(listed) == 51 and f"… and {bad - 50} more; all of them: " in listed[-1]
    assert all(line.isprintable() for line in listed), "a name has broken a line or coloured the terminal"


def test_hidden_files_and_what_is_no_image_are_never_opened(tmp_path, monkeypatch):
    corners().save(tmp_path / "a.png")
    for name in (".hidden.png", "._a.png", "a.png.part", "a.png.txt", "Thumbs.db", "png", ".png", "a.pkl", "a.zip"):
        (tmp_path / name).write_bytes(b"\x80\x04never")
    (tmp_path / "folder.png").mkdir()
    listing = list_images(tmp_path)
    assert listing.images == ["a.png"] and "folder.png" in listing.folders and len(listing.strays) == 9
    touched = []
    monkeypatch.setattr("builtins.open", _spying(open, touched))
    ImageTextDataset(_captioned(tmp_path), 16)
    assert "a.png" in touched and not {".hidden.png", "a.pkl", "a.zip", "Thumbs.db", "._a.png"} & set(touched)


def test_captions_do_not_come_through_links_that_leave_the_folder(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    corners().save(folder / "a.png")
    (tmp_path / "secret").write_text("a secret")
    (folder / "a.txt").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=r"a\.txt is a link that leaves the folder"):
        ImageTextDataset(folder, 16)
    (folder / "a.txt").unlink()
    (folder / "metadata.jsonl").symlink_to(tmp_path / "secret")
    with pytest.raises(ValueError, match=r"metadata\.jsonl is a link that leaves the folder"):
        ImageTextDataset(folder, 16)


@pytest.mark.parametrize("line", ["[" * 100_000, '{"file_name": "a.png", "text": ' + "9" * 10_000 + "}"])
def test_hostile_metadata_is_a_message(tmp_path, line):
    corners().save(tmp_path / "a.png")
    (tmp_path / "metadata.jsonl").write_text(line)
    with pytest.raises(ValueError, match=r"metadata\.jsonl, line 1: not sensible JSON"):
        ImageTextDataset(tmp_path, 16)


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_bytes_are_a_verdict_and_never_a_crash(tmp_path, kind):
    assert damaged_at_random(kind, 60, tmp_path)["refused"] > 0


@pytest.mark.skipif(not can_measure(), reason="needs Linux")
def test_bombs_cost_less_than_a_second_and_200_megabytes(tmp_path):
    assert expensive_bombs(bomb_costs(tmp_path)) == []


def _captioned(folder: Path) -> Path:
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a photo"}')
    return folder


def _spying(real, touched):
    def spy(path, *args, **options):
        if isinstance(path, (str, os.PathLike)):
            touched.append(Path(path).name)
        return real(path, *args, **options)
    return spy
