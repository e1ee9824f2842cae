"""Photographs that are dropped in: limited, verified, and under names of our own."""

import io

import pytest
from PIL import Image

from diffkit.app import photos as module
from diffkit.app.fields import FieldError
from diffkit.app.photos import Photos
from diffkit.datasets.image_folder import list_images


def picture(colour="red", size=(40, 30), kind="PNG"):
    data = io.BytesIO()
    Image.new("RGB", size, colour).save(data, format=kind)
    return data.getvalue()


@pytest.fixture
def photos():
    made = Photos()
    yield made
    made.close()


def test_names_are_ours_and_suffixes_those_of_the_content(photos, tmp_path):
    key = photos.new()
    assert photos.add(key, "../../etc/passwd", picture()) == {"name": "photo_001.png", "width": 40, "height": 30}
    assert photos.add(key, "evil.py", picture(kind="JPEG"))["name"] == "photo_002.jpg"
    assert photos.copy(key, tmp_path / "kept") == 2
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["photo_001.png", "photo_002.jpg"]


@pytest.mark.parametrize(("data", "words"), [
    (b"", "a.png is empty"), (b"<svg/>", "not a picture of a known format"), (picture()[:60], "damaged or truncated"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"), (b"PK\x03\x04" * 9, "not a picture")])
def test_what_is_no_picture_is_refused(photos, data, words):
    with pytest.raises(FieldError, match=words) as caught:
        photos.add(photos.new(), "a.png", data)
    assert caught.value.field == "photos"


def test_limits(photos, monkeypatch):
    monkeypatch.setattr(module, "MOST_PHOTOS", 2)
    monkeypatch.setattr(module, "MOST_BYTES", 5000)
    monkeypatch.setattr(module, "MOST_PIXELS", 2000)
    key = photos.new()
    with pytest.raises(FieldError, match="50x50 are 2500 pixels, allowed are 2000"):
        photos.add(key, "a.png", picture(size=(50, 50)))
    with pytest.raises(FieldError, match="has 6000 bytes; allowed: 5000"):
        photos.add(key, "a.png", picture() + b"\0" * (6000 - len(picture())))
    with pytest.raises(FieldError, match="has 40x1 pixels; allowed: 16 or more"):
        photos.add(key, "a.png", picture(size=(40, 1)))
    first = photos.add(key, "a.png", picture())["name"]
    with pytest.raises(FieldError, match=r"b.png is there already"):
        photos.add(key, "b.png", picture())
    photos.add(key, "b.png", picture("blue"))
    with pytest.raises(FieldError, match="one too many; allowed: 2"):
        photos.add(key, "c.png", picture("green"))
    photos.remove(key, first)
    assert photos.add(key, "c.png", picture("green"))["name"] == "photo_003.png"


def test_an_empty_set_a_lost_one_and_one_too_many(photos, tmp_path, monkeypatch):
    key = photos.new()
    with pytest.raises(FieldError, match="there is none"):
        photos.copy(key, tmp_path / "kept")
    with pytest.raises(FieldError, match="there is none"):
        photos.copy("", tmp_path / "kept")
    with pytest.raises(FieldError, match="drop them again") as caught:
        photos.add("0" * 16, "a.png", picture())
    assert caught.value.field == "photo set"  # by which the page knows to send all of them again
    monkeypatch.setattr(module, "MOST_SETS", 2)
    photos.new()
    photos.new()
    with pytest.raises(FieldError, match="drop them again"):
        photos.add(key, "a.png", picture())


def test_what_is_taken_is_what_a_training_reads(photos, tmp_path):
    key = photos.new()
    for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF"):
        photos.add(key, "x", picture(kind=kind))
    photos.copy(key, tmp_path / "kept")
    assert len(list_images(tmp_path / "kept").images) == 6
