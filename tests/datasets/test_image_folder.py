"""A folder of photos as people have it: only images are opened, and what is wrong is said before training."""

import os

import pytest

from diffkit.datasets.image_file import open_image
from diffkit.datasets.image_folder import folder_hint, list_images
from diffkit.datasets.verify import read_all
from tests.datasets.pictures import folder_of, noise


def test_only_images_are_listed_and_strays_are_named_but_never_opened(tmp_path):
    folder_of(tmp_path, 2)
    for name in (".DS_Store", "._00.png", "notes.txt", "thing.json"):
        (tmp_path / name).write_bytes(b"\x00junk")
    (tmp_path / "00.txt").write_text("a caption")
    (tmp_path / "metadata.csv").write_text("file_name,text\n")
    listing = list_images(tmp_path)
    assert listing.images == ["00.png", "01.png"]
    assert listing.strays == [".DS_Store", "._00.png", "notes.txt", "thing.json"]
    assert "2 images, 0 sub-folders, 4 other files (.DS_Store" in listing.describe()
    good, bad = read_all(tmp_path, listing.images, open_image)
    assert list(good) == ["00.png", "01.png"] and not bad


def test_a_folder_of_folders_is_an_error_that_shows_the_right_line(tmp_path):
    folder_of(tmp_path / "10_sks dog", 5)
    (tmp_path / "log").mkdir()
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(ValueError) as caught:
        list_images(tmp_path)
    message = str(caught.value)
    assert f"found in {tmp_path}: 0 images, 2 sub-folders, 1 other file (a.txt)" in message
    assert "10_sks dog (5 images)" in message
    assert f"write data_root='{tmp_path}/10_sks dog'" in message


def test_sub_folders_beside_images_are_told_or_read(tmp_path):
    folder_of(tmp_path, 1)
    folder_of(tmp_path / "more" / "deep", 1)
    folder_of(tmp_path / "more", 2)
    listing = list_images(tmp_path)
    assert listing.images == ["00.png"] and listing.folders == {"more": 2}
    assert f"data_root='{tmp_path}/more'" in folder_hint(listing, "data_root")
    everything = list_images(tmp_path, recursive=True)
    assert everything.images == ["00.png", "more/00.png", "more/01.png", "more/deep/00.png"]
    assert folder_hint(everything, "data_root") is None


def test_a_missing_folder_names_the_nearest_one(tmp_path):
    folder_of(tmp_path / "dog", 1)
    with pytest.raises(ValueError, match=r'class_data_root=.*dgo.* does not exist .*did you mean "dog"'):
        list_images(tmp_path / "dgo", "class_data_root")
    with pytest.raises(ValueError, match=f"must be a folder, got the file .*data_root='{tmp_path}/dog'"):
        list_images(tmp_path / "dog" / "00.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no images; found in .*: 0 images.*\n.*\.jpeg"):
        list_images(tmp_path / "empty")


def test_all_bad_images_are_listed_at_once(tmp_path):
    folder_of(tmp_path, 2)
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "cut.png").write_bytes((tmp_path / "00.png").read_bytes()[:200])
    names = list_images(tmp_path).images
    with pytest.raises(ValueError) as caught:
        read_all(tmp_path, names, open_image)
    message = str(caught.value)
    assert "2 of 4 images cannot be used" in message and "bad_images='skip'" in message
    assert "cut.png: damaged or truncated" in message and "empty.jpg: the file is empty (0 bytes)" in message
    good, bad = read_all(tmp_path, names, open_image, bad_images="skip")
    assert list(good) == ["00.png", "01.png"] and list(bad) == ["cut.png", "empty.jpg"]


def test_with_no_image_left_skipping_is_an_error_too(tmp_path):
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ValueError, match="1 of 1 images cannot be used"):
        read_all(tmp_path, ["empty.jpg"], open_image, bad_images="skip")
    with pytest.raises(ValueError, match="bad_images must be one of stop, skip, got 'ignore'"):
        read_all(tmp_path, [], open_image, bad_images="ignore")


def test_links_that_leave_the_folder_are_refused(tmp_path):
    folder = folder_of(tmp_path / "photos", 1)
    noise(7).save(tmp_path / "secret.png")
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    (folder / "in.png").symlink_to(folder / "00.png")
    (folder / "dead.png").symlink_to(folder / "nothing.png")
    good, bad = read_all(folder, list_images(folder).images, open_image, bad_images="skip")
    assert list(good) == ["00.png", "in.png"]
    assert "leaves the folder" in bad["out.png"] and "cannot be read" in bad["dead.png"]
    (tmp_path / "link").symlink_to(folder)  # the folder itself may be a link
    assert list_images(tmp_path / "link").images == ["00.png", "dead.png", "in.png", "out.png"]
    assert list(read_all(tmp_path / "link", ["00.png"], open_image)[0]) == ["00.png"]


def test_odd_names_are_read_and_printed(tmp_path):
    folder_of(tmp_path, 1)
    names = ["a b'\".png", "ünï.png", b"x\xff.png".decode("utf-8", "surrogateescape")]
    for name in names:
        os.rename(tmp_path / "00.png", tmp_path / name)
        folder_of(tmp_path, 1)
    listing = list_images(tmp_path)
    assert set(names) < set(listing.images)
    good, _ = read_all(tmp_path, listing.images, open_image)
    assert len(good) == 4
    (tmp_path / names[2]).write_bytes(b"")
    with pytest.raises(ValueError, match=r"x\\xff.png: the file is empty"):
        read_all(tmp_path, listing.images, open_image)
