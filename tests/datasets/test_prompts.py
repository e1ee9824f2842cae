"""Lists of prompts for evaluation."""

import pytest

from diffkit.datasets import PromptDataset


def test_each_picture_has_its_prompt_and_seed():
    dataset = PromptDataset(["a", "b"], images_num=2, seed=3)
    items = [dataset[index] for index in range(4)]
    assert len(dataset) == 4 and [item["prompt"] for item in items] == ["a", "a", "b", "b"]
    assert len({item["seed"] for item in items}) == 4
    assert items == [PromptDataset(["a", "b"], images_num=2, seed=3)[index] for index in range(4)]
    assert PromptDataset("one")[0]["prompt"] == "one"


def test_files_of_three_kinds(tmp_path):
    (tmp_path / "a.txt").write_text("one\n\n two \n")
    (tmp_path / "a.csv").write_text("text,seed,kind\none,5,x\n")
    (tmp_path / "a.jsonl").write_text('{"prompt": "one", "seed": 7}\n{"text": "two"}\n')
    assert [row["prompt"] for row in PromptDataset(file=tmp_path / "a.txt")] == ["one", "two"]
    assert PromptDataset(file=tmp_path / "a.csv")[0] == {"prompt": "one", "seed": 5, "kind": "x"}
    twice = PromptDataset(file=tmp_path / "a.jsonl", images_num=2)
    assert [twice[index]["seed"] for index in range(2)] == [7, 8] and twice[3]["prompt"] == "two"


def test_faults_are_named(tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"prompt": "x"}\n{"caption": "y"}\n')
    (tmp_path / "empty.txt").touch()
    for options, message in [
        (dict(), "give either prompts or file"),
        (dict(prompts=["a"], images_num=0), "images_num must be at least 1, got 0"),
        (dict(prompts=[]), "prompts holds no prompt"),
        (dict(file=tmp_path / "no.txt"), "does not exist"),
        (dict(file=tmp_path / "bad.jsonl"), "line 2: no prompt"),
        (dict(file=tmp_path / "empty.txt"), "holds no prompt"),
    ]:
        with pytest.raises(ValueError, match=message):
            PromptDataset(**options)
    with pytest.raises(IndexError):
        PromptDataset(["a"])[1]
