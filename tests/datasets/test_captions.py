"""Captions beside images: where they come from, which wins, and what is wrong with a file."""

import json

import pytest

from diffkit.datasets.captions import read_captions, read_metadata

NAMES = ["a.png", "b.png", "c.d.png"]


def write_jsonl(folder, *rows):
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def test_a_text_file_wins_over_the_metadata(tmp_path):
    (tmp_path / "a.txt").write_text("from\n  text \n")
    (tmp_path / "c.d.txt").write_text("dots", encoding="utf-8-sig")
    write_jsonl(
        tmp_path, {"file_name": "a.png", "text": "from metadata"}, {"file_name": "b.png", "text": "b"}
    )
    captions, notes = read_captions(tmp_path, NAMES)
    assert captions == {"a.png": ["from text"], "b.png": ["b"], "c.d.png": ["dots"]} and not notes
    assert read_captions(tmp_path, NAMES, "none") == ({}, [])


def test_rows_that_name_no_image_are_told(tmp_path):
    write_jsonl(tmp_path, *({"file_name": f"images/{name}", "text": "x"} for name in "abcd"))
    captions, notes = read_captions(tmp_path, NAMES)
    assert captions == {}
    assert notes == ["4 rows of the metadata name no image of the folder: images/a, images/b, images/c, …"]


def test_csv_and_jsonl_with_lists_and_quotes(tmp_path):
    (tmp_path / "metadata.csv").write_text('file_name,caption\na.png,"one, ""two""\nthree"\nb.png,\n')
    assert read_metadata(tmp_path, "caption") == {"a.png": ['one, "two"\nthree']}
    (tmp_path / "metadata.csv").unlink()
    write_jsonl(
        tmp_path, {"file_name": "a.png", "text": ["x", " y ", ""]}, {"file_name": "b.png", "text": None}
    )
    assert read_metadata(tmp_path) == {"a.png": ["x", "y"]}


def test_line_separators_inside_a_caption_do_not_split_it(tmp_path):
    row = json.dumps({"file_name": "a.png", "text": "one\u2028two"}, ensure_ascii=False)
    (tmp_path / "metadata.jsonl").write_text(row + "\n\n", encoding="utf-8")
    assert read_metadata(tmp_path) == {"a.png": ["one\u2028two"]}


def test_one_source_must_cover_every_image(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(
        ValueError, match=r"2 of 3 images lack a caption in a \.txt file beside it: b\.png, c\.d\.png"
    ):
        read_captions(tmp_path, NAMES, "txt")
    with pytest.raises(ValueError, match=r"3 of 3 images lack a caption in metadata\.jsonl or metadata\.csv"):
        read_captions(tmp_path, NAMES, "metadata")
    with pytest.raises(ValueError, match="captions must be one of auto, txt, metadata, none, got 'json'"):
        read_captions(tmp_path, NAMES, "json")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "text": "x"}\n{oops\n',
            "metadata.jsonl, line 2: not JSON",
        ),
        ("metadata.jsonl", '["a.png"]\n', "line 1: expected an object with a file_name"),
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "text": 3}\n',
            "line 1: text must be text or a list of texts, got 3",
        ),
        (
            "metadata.jsonl",
            '{"file_name": "a.png", "text": "x"}\n{"file_name": "a.png", "text": "y"}\n',
            "line 2: a second, other caption for 'a.png'",
        ),
        ("metadata.csv", "file_name,caption,k\na.png,x,1\n", "no column 'text'; the others are: caption, k"),
        ("metadata.csv", "name,text\na.png,x\n", "line 2: expected an object with a file_name"),
        ("metadata.csv", b"file_name,text\na.png,\xff\n", "is not UTF-8 text"),
        ("a.txt", b"\xff\xfe", "a.txt is not UTF-8 text"),
        ("a.txt", b"x" * 1_000_001, "has 1000001 bytes: that is no caption"),
    ],
)
def test_files_that_cannot_be_understood_are_named(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content)
    with pytest.raises(ValueError, match=message):
        read_captions(tmp_path, NAMES)
