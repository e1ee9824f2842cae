"""create_metadata: captions of every kind, what is left out and why, re-runs, and the user's own files."""

import csv
import json
import os
import time

import pytest

from diffkit.apis.metadata_writing import _change, _content, create_metadata
from diffkit.cli import main
from diffkit.datasets import ImageTextDataset
from tests.datasets.pictures import folder_of, noise


def rows_of(folder):
    lines = (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines()
    return {row["file_name"]: row["text"] for row in map(json.loads, lines)}


@pytest.fixture
def pictures(tmp_path):
    """Names with several dots, a sub-folder, and all that can be wrong with a caption."""
    folder = folder_of(tmp_path / "pictures", 3)
    (folder / "more" / "red_cats").mkdir(parents=True)
    for name in ("a.b.png", "a.c.png", "no ending.v1.png", "more/deep.png", "more/red_cats/x-1.png", "double.png"):
        noise(len(name)).save(folder / name)
    captions = {"a.b.txt": "ä first\n  with a dot ", "a.c.txt": "second", "a.txt": "of nobody",
                "more/deep.txt": "deep", "double.png.txt": "the whole name", "00.txt": "", "no ending.v1.txt": " \n"}
    for name, text in captions.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "01.txt").write_bytes(b"\xff\xfe not text")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "broken.txt").write_text("of a broken picture")
    return folder


def test_captions_beside_pictures(pictures):
    report = create_metadata(pictures)
    assert rows_of(pictures) == {
        "a.b.png": "ä first with a dot", "a.c.png": "second", "double.png": "the whole name", "more/deep.png": "deep"}
    assert report.written == 4 and report.change == "new"
    assert report.left_out == {
        "00.png": "its caption 00.txt is empty",
        "01.png": f"{pictures}/01.txt is not UTF-8 text (invalid start byte at byte 0)",
        "02.png": "it has no caption",
        "broken.png": report.left_out["broken.png"],
        "more/red_cats/x-1.png": "it has no caption",
        "no ending.v1.png": "its caption no ending.v1.txt is empty"}
    assert report.left_out["broken.png"].startswith("not a picture of a known format")
    assert "1 text files belong to no picture: a.txt" in report.notes
    assert "  02.png: it has no caption" in report.lines()


def test_the_dataset_reads_what_was_written(pictures):
    create_metadata(pictures, template="a photo of {name} in {folder}")
    for name in ("01.txt", "broken.png"):
        (pictures / name).unlink()
    (pictures / "01.png").unlink()
    dataset = ImageTextDataset(pictures, resolution=8, hflip=0.0, captions="metadata", recursive=True)
    prompts = {dataset.name_at(i): dataset[i]["prompt"] for i in range(len(dataset))}
    assert prompts == rows_of(pictures)
    assert prompts["more/red_cats/x-1.png"] == "a photo of x 1 in red cats"
    assert prompts["no ending.v1.png"] == "a photo of no ending.v1 in pictures"
    assert prompts["a.b.png"] == "ä first with a dot"


def test_a_second_run_changes_nothing(pictures):
    create_metadata(pictures)
    path = pictures / "metadata.jsonl"
    before = path.read_bytes(), path.stat().st_mtime_ns
    report = create_metadata(pictures)
    assert report.change == "unchanged" and (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert sorted(p.name for p in pictures.iterdir() if p.name.startswith(".")) == []


def test_new_pictures_extend_the_file_and_old_rows_are_kept(pictures):
    create_metadata(pictures)
    (pictures / "02.txt").write_text("new")
    assert create_metadata(pictures).change == "extended"
    assert rows_of(pictures)["02.png"] == "new"
    (pictures / "02.txt").write_text("changed")
    before = (pictures / "metadata.jsonl").read_bytes()
    with pytest.raises(ValueError, match=r"metadata\.jsonl is there already, and 1 of its 5 rows would change or go: "
                                         "--overwrite"):
        create_metadata(pictures)
    assert (pictures / "metadata.jsonl").read_bytes() == before
    assert create_metadata(pictures, overwrite=True).change == "replaced"
    assert rows_of(pictures)["02.png"] == "changed"


@pytest.mark.parametrize("content", [
    '{"file_name": "a.b.png", "text": "mine"}\n', "not JSON\n", "",
    '{"file_name": "a.c.png", "text": "second", "score": 6.5}\n'], ids=["row", "damaged", "empty", "column"])
def test_a_file_of_the_user_is_not_overwritten(pictures, content):
    path = pictures / "metadata.jsonl"
    path.write_text(content)
    if content:
        with pytest.raises(ValueError, match="is there already"):
            create_metadata(pictures)
        assert path.read_text() == content
        assert create_metadata(pictures, overwrite=True).change == "replaced"
    else:
        assert create_metadata(pictures).change == "extended"
    assert len(rows_of(pictures)) == 4


def test_a_link_in_the_place_of_the_file_is_not_followed(pictures, tmp_path):
    target = tmp_path / "elsewhere.jsonl"
    target.write_text("keep me")
    os.symlink(target, pictures / "metadata.jsonl")
    with pytest.raises(ValueError, match="is a link: --overwrite"):
        create_metadata(pictures)
    create_metadata(pictures, overwrite=True)
    assert target.read_text() == "keep me" and not (pictures / "metadata.jsonl").is_symlink()


def test_csv_and_a_file_of_the_other_kind(pictures):
    create_metadata(pictures, file_format="csv")
    with (pictures / "metadata.csv").open(newline="", encoding="utf-8") as file:
        assert {row["file_name"]: row["text"] for row in csv.DictReader(file)}["a.b.png"] == "ä first with a dot"
    assert create_metadata(pictures, file_format="csv").change == "unchanged"
    with pytest.raises(ValueError, match=r"metadata\.csv is there already, and both files would be read"):
        create_metadata(pictures)


def test_a_captions_file(pictures, tmp_path):
    table = tmp_path / "list.jsonl"
    rows = [("02.png", ["one", "two"]), ("a.b.png", "weaker than its text file"), ("gone.png", "x"), ("00.png", "")]
    table.write_text("".join(json.dumps({"file_name": n, "caption": t}) + "\n" for n, t in rows))
    report = create_metadata(pictures, captions_file=table, caption_column="caption")
    lines = [json.loads(line) for line in (pictures / "metadata.jsonl").read_text().splitlines()]
    found = {row["file_name"]: row["caption"] for row in lines}
    assert found["02.png"] == ["one", "two"] and found["a.b.png"] == "ä first with a dot" and "00.png" not in found
    assert "1 rows of the captions file name no picture of the folder: gone.png" in report.notes
    with pytest.raises(ValueError, match=r"file_format='csv' holds one caption for each picture, and 1 have more"):
        (pictures / "metadata.jsonl").unlink()
        create_metadata(pictures, captions_file=table, caption_column="caption", file_format="csv")


def test_sub_folders_are_left_where_asked(pictures):
    report = create_metadata(pictures, recursive=False)
    assert set(rows_of(pictures)) == {"a.b.png", "a.c.png", "double.png"}
    assert "1 sub-folders with 1 pictures are not read: more" in report.notes


def test_mistakes_are_named(pictures, tmp_path):
    for options, message in (
            ({"template": " "}, "template is blank"), ({"template": "a {class}"}, r"template has \{class\}; allowed"),
            ({"captions_file": "nowhere.csv"}, "captions_file='nowhere.csv' is no file"),
            ({"file_format": "json"}, "file_format must be one of jsonl, csv"),
            ({"caption_column": "file_name"}, "caption_column must be")):
        with pytest.raises(ValueError, match=message):
            create_metadata(pictures, **options)
    bare = folder_of(tmp_path / "bare", 2)
    with pytest.raises(ValueError, match="none of its 2 pictures can be written"):
        create_metadata(bare)
    assert not (bare / "metadata.jsonl").exists()
    assert create_metadata(bare, template="a {} toy").written == 2


def test_names_that_are_no_utf8_are_left_out(pictures):
    raw = os.fsencode(pictures) + b"/\xff.png"
    with open(raw, "wb") as file:
        noise().save(file, "PNG")
    report = create_metadata(pictures, template="a thing")
    assert any("rename it" in reason for reason in report.left_out.values())


def test_the_command(pictures, capsys):
    assert main(["create_metadata", str(pictures), "--template", "a photo"]) == 0
    out = capsys.readouterr().out
    assert "metadata.jsonl: 8 rows (new)" in out and "2 pictures are left out:" in out
    assert main(["create_metadata", "--image_path", str(pictures), "--template", "a photo"]) == 0
    assert "(unchanged)" in capsys.readouterr().out
    assert main(["create_metadata", str(pictures)]) == 1
    assert "--overwrite replaces it" in capsys.readouterr().err
    assert main(["create_metadata"]) == 1
    assert "name one folder" in capsys.readouterr().err


def test_the_rows_of_many_pictures_are_compared_in_one_pass(tmp_path):
    rows = {f"{number:06d}.png": ["a dog"] for number in range(20_000)}
    path = tmp_path / "metadata.jsonl"
    path.write_text(_content(rows, "text", "jsonl"))
    began = time.process_time()
    assert _change(path, {**rows, "new.png": ["a cat"]}, "text", overwrite=False) == "extended"
    assert time.process_time() - began < 2  # each row with each other takes four times as long


@pytest.mark.parametrize("row", ["[1]", "3", '{"file_name": ["a.png"], "text": "a dog"}', '{"text": "a dog"}'])
def test_rows_of_another_kind_are_not_lost(row, tmp_path):
    path = tmp_path / "metadata.jsonl"
    path.write_text(row + "\n")
    with pytest.raises(ValueError, match="1 of its 1 rows would change or go"):
        _change(path, {"a.png": ["a dog"]}, "text", overwrite=False)
