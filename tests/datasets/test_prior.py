"""Prior pictures: only what is missing is made, and nothing of the user's is touched."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffkit.datasets.captions import read_metadata
from diffkit.datasets.prior import PriorImages, check_recipe, prior_seed, save_prior, share, write_recipe
from tests.datasets.pictures import folder_of, noise


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def paint(prior, jobs):
    for job in jobs:
        save_prior(
            prior.root,
            job,
            Image.fromarray(np.random.default_rng(job.seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)),
        )


def test_only_the_deficit_is_planned(tmp_path):
    prior = PriorImages(tmp_path / "class", 5, ("a dog",))
    assert prior.deficit() == 5 and [job.index for job in prior.plan(0)] == [0, 1, 2, 3, 4]
    folder_of(tmp_path / "class", 3)
    assert prior.deficit() == 2 and [job.index for job in prior.plan(0)] == [0, 1]
    folder_of(tmp_path / "class", 9)
    assert prior.deficit() == 0 and prior.plan(0) == []
    assert PriorImages(tmp_path / "class", 0).plan(0) == []


def test_prompts_come_in_turn_and_each_picture_has_its_own_seed(tmp_path):
    jobs = PriorImages(tmp_path, 5, ("a", "b")).plan(7)
    assert [job.prompt for job in jobs] == ["a", "b", "a", "b", "a"]
    assert [job.seed for job in jobs] == [prior_seed(7, index) for index in range(5)]
    assert len({job.seed for job in jobs}) == 5 and all(0 <= job.seed < 2**63 for job in jobs)


def test_a_broken_off_generation_goes_on_to_the_same_pictures(tmp_path):
    whole, broken = (
        PriorImages(tmp_path / "whole", 6, ("a", "b")),
        PriorImages(tmp_path / "broken", 6, ("a", "b")),
    )
    paint(whole, whole.plan(3))
    plan = broken.plan(3)
    paint(broken, [plan[0], plan[3], plan[4]])  # two processes were at work, neither came to its end
    assert [job.index for job in broken.plan(3)] == [1, 2, 5]
    paint(broken, broken.plan(3))
    pictures = [
        {name: data for name, data in contents(prior.root).items() if name.endswith(".png")}
        for prior in (whole, broken)
    ]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 6
    assert read_metadata(whole.root) == read_metadata(broken.root)


def test_nothing_of_the_user_is_deleted_or_overwritten(tmp_path):
    folder_of(tmp_path, 2)
    (tmp_path / "metadata.jsonl").write_text(
        '{"file_name": "00.png", "text": "mine"}'
    )  # without a last newline
    (tmp_path / "notes.doc").write_text("keep")
    before = contents(tmp_path)
    prior = PriorImages(tmp_path, 4, ("a dog",))
    paint(prior, prior.plan(0))
    write_recipe(tmp_path, {"pretrained": "x"})
    after = contents(tmp_path)
    assert {name: after[name] for name in before if name != "metadata.jsonl"} == {
        name: data for name, data in before.items() if name != "metadata.jsonl"
    }
    assert after["metadata.jsonl"].startswith(before["metadata.jsonl"] + b"\n")
    rows = [json.loads(line) for line in after["metadata.jsonl"].splitlines()]
    assert rows[0] == {"file_name": "00.png", "text": "mine"}
    assert [(row["text"], row["seed"]) for row in rows[1:]] == [
        ("a dog", prior_seed(0, 0)),
        ("a dog", prior_seed(0, 1)),
    ]
    assert prior.deficit() == 0 and len(after) == len(before) + 2 + 1


def test_saving_the_same_picture_twice_changes_nothing(tmp_path):
    prior = PriorImages(tmp_path, 1, ("a",))
    job = prior.plan(0)[0]
    path = save_prior(tmp_path, job, noise())
    before = contents(tmp_path)
    assert save_prior(tmp_path, job, noise()) == path and contents(tmp_path) == before
    assert path.name.startswith("00000-") and np.array_equal(Image.open(path), noise())


def test_a_failed_save_leaves_no_half_picture(tmp_path, monkeypatch):
    prior = PriorImages(tmp_path, 1, ("a",))

    original = Path.write_bytes

    def fail(path, content):
        original(path, b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="No space left"):
        save_prior(tmp_path, prior.plan(0)[0], noise())
    assert [path.name for path in tmp_path.iterdir()] == ["metadata.jsonl"] and prior.deficit() == 1


def test_a_folder_of_another_recipe_is_refused_with_every_difference(tmp_path):
    recipe = {"pretrained": "mini-sd", "prompts": ["a dog"], "guidance_scale": 7.5}
    check_recipe(tmp_path / "none", recipe)
    write_recipe(tmp_path, recipe)
    check_recipe(tmp_path, recipe)
    with pytest.raises(ValueError) as caught:
        check_recipe(tmp_path, {**recipe, "pretrained": "other", "prompts": ["a dog", "a cat"]})
    message = str(caught.value)
    assert "pretrained: 'mini-sd', now 'other'" in message
    assert "prompts: 1, now 2; number 2 is nothing, now 'a cat'" in message
    assert "guidance_scale" not in message and "num_class_images=0" in message
    write_recipe(tmp_path, {"pretrained": "other"})  # an existing one stays
    check_recipe(tmp_path, recipe)
    prompts = [f"dog {i}" for i in range(64)]
    write_recipe(tmp_path / "many", {"prompts": prompts})
    with pytest.raises(ValueError, match="prompts: 64, now 65; number 3 is 'dog 2', now 'cat'") as caught:
        check_recipe(tmp_path / "many", {"prompts": [*prompts[:2], "cat", *prompts[2:]]})
    assert "dog 7" not in str(caught.value), "two long lists are not written out"
    (tmp_path / "prior.json").write_text("{")
    with pytest.raises(ValueError, match=r"prior\.json is not a recipe"):
        check_recipe(tmp_path, recipe)


def test_processes_share_the_jobs(tmp_path):
    jobs = PriorImages(tmp_path, 7, ("a",)).plan(0)
    shares = [share(jobs, rank, 3) for rank in range(3)]
    assert sorted(job.index for part in shares for job in part) == list(range(7))
    assert [len(part) for part in shares] == [3, 2, 2]
