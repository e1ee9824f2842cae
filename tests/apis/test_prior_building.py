"""A folder of real prior pictures out of captioned ones: which are taken, from where, and that it is whole."""

import json
import shutil

import pytest

from diffkit.apis.prior_building import build_prior
from diffkit.cli import main
from diffkit.datasets import ConceptDataset
from tests.datasets.pictures import folder_of, noise


@pytest.fixture
def pictures(tmp_path):
    """Eight pictures, one of them twice and one damaged; half of the captions have a cat."""
    folder = folder_of(tmp_path / "pictures", 6)
    (folder / "more").mkdir()
    noise(6).save(folder / "more/06.png")
    shutil.copy(folder / "00.png", folder / "more/07.png")
    (folder / "04.png").write_bytes(b"no picture")
    rows = {"00.png": "a cat", "01.png": "A Cat, asleep", "02.png": "a catalogue", "03.png": "a dog",
            "04.png": "a cat", "more/06.png": "one black cat", "more/07.png": "a cat again"}
    (folder / "metadata.jsonl").write_text(
        "".join(json.dumps({"file_name": name, "text": text}) + "\n" for name, text in rows.items()))
    return folder


def rows_of(folder):
    return [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]


def test_pictures_with_a_word(pictures, tmp_path):
    out = tmp_path / "prior"
    counts = build_prior(pictures, out, num_images=3, words=["cat"])
    assert counts["written"] == 3 and counts["captioned"] == 7 and counts["matching"] == 5
    rows = rows_of(out)
    assert [row["file_name"] for row in rows] == ["00000.png", "00001.png", "00002.png"]
    assert {row["source"] for row in rows} <= {"00.png", "01.png", "more/06.png", "more/07.png"}
    assert len({(out / row["file_name"]).read_bytes() for row in rows}) == 3  # equal files once
    for row in rows:
        assert (out / row["file_name"]).read_bytes() == (pictures / row["source"]).read_bytes()
    dataset = ConceptDataset(folder_of(tmp_path / "own", 1), "a <new1> cat", class_data_root=out, class_prompt="cat",
                             resolution=8)
    assert {dataset[i % 1][1]["prompt"] for i in range(1)} <= {row["text"] for row in rows}
    assert sorted(dataset.prior_pictures.captions(i)[0] for i in range(3)) == sorted(row["text"] for row in rows)


def test_the_seed_decides(pictures, tmp_path):
    def chosen(name, seed):
        build_prior(pictures, tmp_path / name, num_images=2, seed=seed)
        return [row["source"] for row in rows_of(tmp_path / name)]

    assert chosen("a", 1) == chosen("b", 1)
    assert len({tuple(chosen(f"c{seed}", seed)) for seed in range(5)}) > 1


def test_too_few_leave_nothing(pictures, tmp_path):
    with pytest.raises(ValueError, match=r"num_images is 5, and .* gives 3: it has 7 captioned pictures, 5 of them "
                                         r"with cat in the caption, of which 1 cannot be read and 1 come twice"):
        build_prior(pictures, tmp_path / "prior", num_images=5, words=["cat"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pictures"]


def test_a_metadata_file(pictures, tmp_path):
    table = pictures / "chosen.csv"
    table.write_text("file_name,caption\n00.png,a cat\nmore/06.png,a cat\n")
    assert build_prior(table, tmp_path / "prior", num_images=2, caption_column="caption")["written"] == 2
    table.write_text("file_name,text\n../outside.png,a cat\n")
    with pytest.raises(ValueError, match=r"'\.\./outside\.png' lies outside of the folder"):
        build_prior(table, tmp_path / "other", num_images=1)
    with pytest.raises(ValueError, match=r"captions are read from \.jsonl and \.csv files"):
        build_prior(pictures / "00.png", tmp_path / "other", num_images=1)


def test_a_folder_of_the_reference(pictures, tmp_path):
    """``retrieve.py`` leaves images/, caption.txt and images.txt, whose lines belong together."""
    old = tmp_path / "samples_cat"
    folder_of(old / "images", 3)
    (old / "caption.txt").write_text("a cat\na dog\na cat on a mat\n")
    (old / "images.txt").write_text("".join(f"./real_reg/samples_cat/images/0{i}.png\n" for i in range(3)))
    counts = build_prior(old, tmp_path / "prior", num_images=2, words=["cat"])
    assert counts["captioned"] == 3
    assert {row["text"] for row in rows_of(tmp_path / "prior")} == {"a cat", "a cat on a mat"}
    (old / "caption.txt").write_text("a cat\n")
    with pytest.raises(ValueError, match=r"images\.txt has 3 lines, caption\.txt 1"):
        build_prior(old, tmp_path / "other", num_images=1)


class Table(list):
    """What is used of ``datasets.Dataset``."""

    column_names = ("image", "text")
    features: dict = {}

    def __getitem__(self, key):
        return [row[key] for row in self] if isinstance(key, str) else super().__getitem__(key)


def test_a_dataset_of_the_hub(tmp_path, monkeypatch):
    import sys
    import types

    captions = ["a cat", ["a dog", "a cat"], "", "a dog"]
    table = Table({"image": noise(i), "text": text} for i, text in enumerate(captions))
    module = types.ModuleType("datasets")
    module.load_dataset = lambda name, config, split: table
    monkeypatch.setitem(sys.modules, "datasets", module)
    counts = build_prior("owner/pictures", tmp_path / "prior", num_images=2, words=["cat"])
    assert counts == {"written": 2, "unreadable": 0, "equal": 0, "captioned": 3, "matching": 2}
    assert sorted((row["source"], row["text"]) for row in rows_of(tmp_path / "prior")) == [
        ("row 0", "a cat"), ("row 1", "a cat")]
    with pytest.raises(ValueError, match="caption_column='words' is no column of 'owner/pictures'; there are image"):
        build_prior("owner/pictures", tmp_path / "other", num_images=2, caption_column="words")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="build_prior needs the package `datasets`"):
        build_prior("owner/pictures", tmp_path / "other", num_images=2)


def test_the_command(pictures, tmp_path, capsys):
    out = str(tmp_path / "prior")
    assert main(["build_prior", str(pictures), "--out", out, "--words", "black", "CAT", "--num-images", "1"]) == 0
    assert f"{out}: 1 of 1 pictures with these words, among 7 with a caption" in capsys.readouterr().out
    assert main(["build_prior", str(pictures), "--out", out]) == 1
    assert "is there already and not empty: name another folder" in capsys.readouterr().err
    assert main(["build_prior", "nowhere", "--out", str(tmp_path / "x")]) == 1
    assert "is no folder, no file, and no name of a dataset" in capsys.readouterr().err
