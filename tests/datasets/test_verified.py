"""Images are decoded once to verify them; the next start knows them by their bytes."""

import json
import os
import threading
import time

import pytest

from diffkit.datasets import ImageTextDataset, picture_reader
from diffkit.datasets.image_file import MAX_PIXELS
from diffkit.datasets.picture_reader import PictureReader
from diffkit.datasets.transforms import CenterCrop, Compose, RandomCrop, Transform, default_transforms
from diffkit.datasets.verified import VerifiedFiles, verified_files
from diffkit.datasets.verify import read_all
from diffkit.utils.user_cache import cache_folder
from tests.datasets.pictures import folder_of, noise


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))
    return captioned(folder_of(tmp_path / "photos", 3))


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files that were decoded since it was last cleared."""
    names, real = [], picture_reader.decode_image

    def spy(file):
        names.append(os.path.basename(file.name))
        return real(file)

    monkeypatch.setattr(picture_reader, "decode_image", spy)
    return names


def captioned(folder):
    rows = [{"file_name": path.name, "text": "a photo"} for path in sorted(folder.glob("*.png"))]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def start(folder, decoded, **options):
    """Opens the folder as a training does; returns the names that were decoded for it."""
    decoded.clear()
    ImageTextDataset(folder, 8, **options)
    return sorted(decoded)


def cache_file(folder):
    (path,) = (folder.parent / "cache" / "images").iterdir()
    return path


def test_the_second_start_decodes_nothing(folder, decoded):
    assert start(folder, decoded) == ["00.png", "01.png", "02.png"]
    assert start(folder, decoded) == []
    content = json.loads(cache_file(folder).read_text())
    assert len(content["sound"]) == 3 and content["rules"]["max_pixels"] == MAX_PIXELS


def test_it_gives_the_same_items(folder, decoded):
    first = ImageTextDataset(folder, 8, hflip=0.0)
    second = ImageTextDataset(folder, 8, hflip=0.0)
    for one, two in zip((first[i] for i in range(3)), (second[i] for i in range(3)), strict=True):
        assert one["key"] == two["key"] and one["pixel_values"].equal(two["pixel_values"])


def test_a_replaced_file_is_seen_whatever_its_size_and_time(folder, decoded):
    start(folder, decoded)
    path = folder / "01.png"
    about, data = path.stat(), path.read_bytes()
    path.write_bytes(data[:-20] + bytes(20))  # as long as before, and damaged
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert path.stat().st_mtime_ns == about.st_mtime_ns and path.stat().st_size == about.st_size
    with pytest.raises(ValueError, match=r"1 of 3 images cannot be used:\n  01.png: damaged"):
        start(folder, decoded)
    noise(9).save(path)
    assert start(folder, decoded) == ["01.png"]


def test_a_moved_or_added_file_is_known_by_its_bytes(folder, decoded):
    start(folder, decoded)
    (folder / "00.png").rename(folder / "07.png")
    noise(9).save(folder / "08.png")
    assert start(captioned(folder), decoded) == ["08.png"]


def test_a_bad_file_is_never_known_and_good_ones_are_kept_beside_it(folder, decoded):
    (folder / "01.png").write_bytes((folder / "01.png").read_bytes()[:100])
    for expected in (["00.png", "01.png", "02.png"], ["01.png"]):
        with pytest.raises(ValueError, match="1 of 3 images"):
            start(folder, decoded)
        assert sorted(decoded) == expected
    assert start(folder, decoded, bad_images="skip") == ["01.png"]


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"null", b'{"format": 1}', b'{"format": 1, "rules": {}, "sound": 7}', b"\xff\xfe\x00",
    b"[" * 90_000])
def test_a_damaged_cache_is_made_again(folder, decoded, content):
    start(folder, decoded)
    good = cache_file(folder).read_bytes()
    cache_file(folder).write_bytes(content)
    assert len(start(folder, decoded)) == 3
    assert cache_file(folder).read_bytes() == good


def test_a_cache_with_odd_entries_is_made_again(folder, decoded):
    start(folder, decoded)
    for entries in ([1, None, ["x"]], {"a": 1}, "text"):
        content = json.loads(cache_file(folder).read_text()) | {"sound": entries}
        cache_file(folder).write_text(json.dumps(content))
        assert len(start(folder, decoded)) == 3


def test_other_rules_verify_anew(folder, decoded, monkeypatch):
    start(folder, decoded)
    monkeypatch.setattr("diffkit.datasets.verified.MAX_PIXELS", 1000)
    assert len(start(folder, decoded)) == 3
    ImageTextDataset(folder, 9)
    assert len(decoded) == 6, "another resolution is another set of transforms"


def test_a_cache_that_cannot_be_written_is_no_fault(folder, decoded, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").touch()
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "file"))
    assert len(start(folder, decoded)) == 3
    assert len(start(folder, decoded)) == 3


def test_what_is_kept_in_memory_is_decoded_for_its_pixels(folder, decoded):
    for _ in range(2):
        assert len(start(folder, decoded, keep_in_memory=True)) == 3


class Odd(Transform):
    def __call__(self, picture, rng):
        return picture


def test_transforms_of_others_remember_nothing(tmp_path):
    assert verified_files(str(tmp_path), Compose([Odd()])).path is None
    known = [verified_files(str(tmp_path), Compose([CenterCrop(size)])).path for size in (8, (8, 8), 9, (8, 9))]
    assert None not in known and known[0] == known[1] and len(set(known)) == 3


def test_a_crop_that_will_not_fit_is_found_at_the_start(folder):
    noise(1, width=5, height=5).save(folder / "01.png")
    for crop in (CenterCrop(8), RandomCrop(8)):
        with pytest.raises(ValueError, match=r"1 of 3 images cannot be used:\n  01\.png: a crop of 8x8 .* 5x5"):
            ImageTextDataset(folder, transforms=[crop])


def test_a_picture_too_narrow_to_be_enlarged_is_refused(folder):
    noise(1, width=2, height=4000).save(folder / "01.png")
    with pytest.raises(ValueError, match=r"01\.png: a picture of 4000x2 .* is too narrow: .* 524288000 pixels"):
        ImageTextDataset(folder, 512)


def test_images_are_verified_in_parallel_within_the_memory_of_one(folder, monkeypatch):
    running, most, lock = 0, 0, threading.Lock()
    real = picture_reader.decode_image

    def slow(file):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        try:
            return real(file)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(picture_reader, "decode_image", slow)
    for pixels, expected in ((MAX_PIXELS, 3), (2 * 16 * 12, 2), (100, 1)):
        most = 0
        monkeypatch.setattr(picture_reader, "MAX_PIXELS", pixels)
        reader = PictureReader(default_transforms(8), False, VerifiedFiles(None, {}))
        good, _ = read_all(folder, ["00.png", "01.png", "02.png"], reader, threads=3)
        assert most == expected and len(good) == 3


def test_where_the_users_cache_lies(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DIFFKIT_CACHE", "~/mine")
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("DIFFKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(cache_folder()) == "/somewhere/diffkit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / ".cache" / "diffkit"
