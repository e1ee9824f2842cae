"""Datasets that models are measured on."""

import pytest
import torch

from diffkit.datasets import ConceptPrompts, NamedGroups, ShapesDataset, ShapesPrompts, ShapesScenes, collate_samples
from diffkit.datasets.shapes import concept_backgrounds
from diffkit.registry import DATASETS


def test_concept_prompts_take_each_background_in_turn():
    prompts = ConceptPrompts("striped_heart", 16, seed=2)
    seen, unseen = concept_backgrounds("striped_heart")
    items = [prompts[i] for i in range(16)]
    assert [item["background"] for item in items] == [*seen, *unseen] * 2
    assert items[0]["prompt"] == "a photo of a sks heart on a red background" and items[0]["seen"] is True
    assert items[5]["prompt"] == "a photo of a sks heart on an orange background" and items[5]["seen"] is False
    assert len({item["seed"] for item in items}) == 16
    assert ConceptPrompts("striped_heart", 3, seed=2)[2] == items[2]


def test_concept_prompts_by_kind_of_background_and_other_words():
    only = ConceptPrompts("striped_heart", 4, subject="<heart>", prompt="{subject}, {background}", backgrounds="unseen")
    assert not any(only[i]["seen"] for i in range(4))
    assert only[0]["prompt"] == "<heart>, a green background"


@pytest.mark.parametrize(("arguments", "message"), [
    ({"concept": "x", "n": 1}, "concept must be one of"),
    ({"concept": "striped_heart", "n": 0}, "n must be at least 1"),
    ({"concept": "striped_heart", "n": 1, "prompt": "a heart"}, "prompt must contain {subject}"),
    ({"concept": "striped_heart", "n": 1, "backgrounds": "new"}, "backgrounds must be one of seen, unseen, all")])
def test_concept_prompts_name_the_fault(arguments, message):
    with pytest.raises(ValueError, match=message):
        ConceptPrompts(**arguments)


def test_named_groups():
    groups = DATASETS.build({"type": "NamedGroups", "groups": {
        "plain": {"type": "ShapesPrompts", "n": 3}, "heldout": {"type": "ShapesPrompts", "n": 2, "split": "heldout"}}})
    assert len(groups) == 5
    assert [groups[i]["group"] for i in range(5)] == ["plain"] * 3 + ["heldout"] * 2
    assert groups[4] == {**ShapesPrompts(2, split="heldout")[1], "group": "heldout"}
    with pytest.raises(IndexError):
        groups[5]
    with pytest.raises(ValueError, match="groups is empty"):
        NamedGroups({})


def test_shapes_scenes_say_all_that_a_picture_shows():
    scenes = ShapesScenes(20, resolution=32, textured=0.5)
    scene, item = scenes.scene(7), scenes[7]
    assert item["pixel_values"].shape == (3, 32, 32)
    assert item["expected"]["shape"] == scene.shape and item["expected"]["size"] == scene.size
    for i in range(20):
        assert ("second_colour" in scenes[i]["expected"]) == (scenes.scene(i).texture != "plain")


def test_prompts_make_a_batch_without_pictures():
    prompts = ShapesPrompts(3)
    batch = collate_samples([prompts[i] for i in range(3)])
    assert set(batch) == {"prompt", "expected", "seed"}
    assert batch["seed"].tolist() == [prompts[i]["seed"] for i in range(3)]
    assert batch["expected"][1] == prompts[1]["expected"]


def test_a_batch_has_pictures_for_all_or_for_none():
    item = ShapesDataset(1)[0]
    with pytest.raises(ValueError, match="'pixel_values' is missing in 1 of 2 samples"):
        collate_samples([item, {"prompt": "a red circle"}])
    assert isinstance(collate_samples([item])["pixel_values"], torch.Tensor)
