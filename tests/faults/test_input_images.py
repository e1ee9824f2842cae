"""Over a hundred odd and hostile images: each is read or refused as it should be, and none is a crash."""

import json
import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

from diffkit.datasets import BadImageError, ImageTextDataset, list_images, open_image
from diffkit.datasets.image_file import printable
from tests.faults.bad_images import Case, bombs, corners, encoded, write_cases

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")

RESOLUTION = 64


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> tuple[Path, list[Case]]:
    folder = tmp_path_factory.mktemp("images") / "photos"
    return folder, write_cases(folder)


def opened(folder: Path, policy: str) -> ImageTextDataset:
    """The folder as a training opens it: a caption for each image, all images verified."""
    names = list_images(folder).images
    lines = [json.dumps({"file_name": name, "text": "a photo"}) for name in names]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return ImageTextDataset(folder, RESOLUTION, bad_images=policy)


def test_every_image_gets_its_verdict(cases):
    folder, expected = cases
    dataset = opened(folder, "skip")
    read = {entry.name for entry in dataset.pictures.entries}
    report = next(note for note in dataset.pictures.notes if "cannot be used" in note)
    whole = json.loads(Path(report.rsplit("all of them: ")[1]).read_text(encoding="utf-8"))
    wrong = [(case.name, whole.get(printable(case.name))) for case in expected
             if (case.name in read) != (case.reason is None)
             or (case.reason is not None and not re.search(case.reason, whole[printable(case.name)]))]
    assert not wrong
    assert len(expected) >= 100 and len(read) + len(whole) == len(expected)
    assert {case.kind for case in expected if case.reason is not None} >= {
        "truncated", "empty", "something else inside", "16-bit", "damaged inside", "link", "odd name", "bomb"}


def test_what_is_read_looks_as_it_should(cases):
    folder, expected = cases
    wrong = []
    for case in expected:
        if case.reason is not None or case.corners is None:
            continue
        image = open_image(folder / case.name)
        right, bottom = image.width - 1, image.height - 1
        found = [image.getpixel(place) for place in ((0, 0), (right, 0), (0, bottom), (right, bottom))]
        if image.mode != "RGB" or np.abs(np.subtract(found, case.corners)).max() > case.tolerance:
            wrong.append((case.name, image.mode, found))
    assert not wrong


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


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damaged_bytes_are_a_verdict_and_never_a_crash(tmp_path, kind):
    sound = encoded(corners(), kind)
    rng = np.random.default_rng(len(kind))
    path, verdicts = tmp_path / "a.png", []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(int(os.environ.get("DIFFKIT_FUZZ", "60"))):
            data = bytearray(sound)
            for place in rng.integers(0, len(data), rng.integers(1, 9)):
                data[place] = rng.integers(256)
            path.write_bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data)
            try:
                verdicts.append(open_image(path).mode)
            except BadImageError:
                verdicts.append("bad")
    assert set(verdicts) <= {"RGB", "bad"} and "bad" in verdicts


MEASURE = """
    import json, sys, time, warnings
    from pathlib import Path
    warnings.simplefilter("ignore")
    from diffkit.datasets.image_file import BadImageError, open_image

    def memory(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

    open_image(sys.argv[1])  # what is imported late is imported now
    rows = {}
    for path in sys.argv[2:]:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, start = memory("VmRSS"), time.perf_counter()
        try:
            open_image(path)
            reason = None
        except BadImageError as error:
            reason = str(error)
        rows[Path(path).name] = [time.perf_counter() - start, memory("VmHWM") - before, reason]
    print(json.dumps(rows))
"""


def refuse_in_child(sound: Path, paths: list[Path]) -> dict[str, tuple[float, float, str | None]]:
    """Opens images in a process of their own; seconds, peak of added MB, and the reason why it was refused."""
    command = [sys.executable, "-c", textwrap.dedent(MEASURE), str(sound), *map(str, paths)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return {name: tuple(row) for name, row in json.loads(run.stdout).items()}


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="needs Linux")
def test_bombs_cost_less_than_a_second_and_200_megabytes(tmp_path):
    corners().save(tmp_path / "sound.png")
    wanted = bombs()
    for name, (content, _) in wanted.items():
        (tmp_path / name).write_bytes(content)
    corners(6000, 6000).save(tmp_path / "large.png", compress_level=1)  # allowed: shows what the measuring sees
    rows = refuse_in_child(tmp_path / "sound.png", [tmp_path / name for name in (*wanted, "large.png")])
    assert rows["large.png"][1] > 200 and rows.pop("large.png")[2] is None
    wrong = {name: row for name, row in rows.items() if row[0] >= 1 or row[1] >= 200 or row[2] is None
             or not re.search(wanted[name][1], row[2])}
    assert len(rows) == len(wanted) and not wrong


def _captioned(folder: Path) -> Path:
    (folder / "metadata.jsonl").write_text('{"file_name": "a.png", "text": "a photo"}')
    return folder


def _spying(real, touched):
    def spy(path, *args, **options):
        if isinstance(path, (str, os.PathLike)):
            touched.append(Path(path).name)
        return real(path, *args, **options)
    return spy
