"""Training on a folder with bad images, from the command line."""

import json

import pytest

from diffkit import cli
from tests.datasets.pictures import folder_of
from tests.test_launch import CONFIG


@pytest.fixture
def folder(sd_folder, tmp_path, monkeypatch):
    """The working directory, with a config and a folder of two sound and two bad images."""
    text = CONFIG.format(pretrained=str(sd_folder))
    drawn = "dataset=dict(type=ShapesDataset, length=8, resolution=32)"
    assert drawn in text
    text = text.replace(drawn, "dataset=dict(type=ImageTextDataset, data_root='data', resolution=32)")
    (tmp_path / "tiny.py").write_text(text.replace("ShapesDataset", "ImageTextDataset"), encoding="utf-8")
    data = folder_of(tmp_path / "data", 4)
    (data / "01.png").write_bytes(b"")
    (data / "02.png").write_bytes((data / "02.png").read_bytes()[:200])
    rows = [{"file_name": f"0{index}.png", "text": "a photo"} for index in range(4)]
    (data / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_stops_with_the_list_and_loads_nothing(folder, capsys, monkeypatch):
    monkeypatch.setattr("diffkit.models.families.base.Family.load", None)  # would be an error of its own
    assert cli.main(["train", "tiny.py"]) == 1
    error = capsys.readouterr().err
    assert "error: data_root='data': 2 of 4 images cannot be used:\n  01.png: the file is empty (0 bytes)\n" in error
    assert "  02.png: damaged or truncated" in error and "bad_images='skip'" in error and "Traceback" not in error
    assert not list(folder.glob("work_dirs/*/step*"))


def test_it_leaves_them_out_and_says_so(folder, capfd):
    skip = ["--cfg-options", "train_dataloader.dataset.bad_images=skip"]
    assert cli.main(["train", "tiny.py", *skip]) == 0
    said = capfd.readouterr()
    text = said.out + said.err
    assert "2 of 4 images cannot be used" in text and "  01.png: the file is empty (0 bytes)" in text
    assert text.index("2 of 4 images cannot be used") < text.index("loss")
    assert (folder / "work_dirs/tiny/step1/manifest.json").is_file()


@pytest.mark.parametrize("archive", ["data.zip", "data.tar.gz", "data.tgz"])
def test_an_archive_of_images_is_not_unpacked(folder, capsys, archive):
    (folder / archive).write_bytes(b"PK\x03\x04")
    assert cli.main(["train", "tiny.py", "--cfg-options", f"train_dataloader.dataset.data_root={archive}"]) == 1
    error = capsys.readouterr().err
    assert f"data_root must be a folder, got the archive {archive!r}, and archives are not unpacked" in error
