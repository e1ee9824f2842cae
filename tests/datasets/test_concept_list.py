"""Several concepts in one data set: items, prior pictures, messages, and files of other programs."""

import json
from types import SimpleNamespace

import pytest
import torch

from diffkit.datasets import ConceptDataset, ConceptListDataset, Draw, collate_samples
from diffkit.datasets.prior import PriorImages
from diffkit.engine.hooks.prior_images import PriorImagesHook
from tests.datasets.pictures import folder_of


@pytest.fixture
def concepts(tmp_path):
    """Two concepts: of two pictures, each counted twice, and of three."""
    return [
        {"data_root": str(folder_of(tmp_path / "cat", 2)), "instance_prompt": "photo of a {} cat",
         "placeholder": "<new1>", "repeats": 2},
        {"data_root": str(folder_of(tmp_path / "pot", 3, 18, 14)), "instance_prompt": "photo of a {} pot",
         "placeholder": "<new2>"}]


def with_prior(concepts):
    return [{**one, "class_prompt": name} for one, name in zip(concepts, ("cat", "pot"), strict=True)]


def test_items_are_those_of_the_concepts(concepts):
    both = ConceptListDataset(concepts, resolution=8, hflip=0.5, seed=3)
    alone = [ConceptDataset(**one, resolution=8, hflip=0.5, seed=3) for one in concepts]
    assert len(both) == 2 * 2 + 3 and not both.has_prior
    for index, (which, place) in enumerate([(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2)]):
        found, expected = both[Draw(index, 5)], alone[which][Draw(place, 5)]
        assert torch.equal(found["pixel_values"], expected["pixel_values"])
        assert found["prompt"] == expected["prompt"] and found["key"] == expected["key"]
    assert both.texts() == ["photo of a <new1> cat", "photo of a <new2> pot"]
    assert both.name_at(3) == "01.png of concept 0" and both.name_at(6) == "02.png of concept 1"
    assert both.name_of(both[3]["key"]) == "01.png" and both.picture_size() == (8, 8)
    assert both.summary().startswith("concept 0: ") and "; concept 1: " in both.summary()
    with pytest.raises(IndexError, match="between 0 and 6, got 7"):
        both[7]


def test_each_concept_has_its_own_prior(concepts, tmp_path):
    concepts = with_prior(concepts)
    for number, one in enumerate(concepts):
        one["class_data_root"] = str(folder_of(tmp_path / f"class{number}", 4 + number))
    both = ConceptListDataset(concepts, resolution=8)
    assert both.has_prior
    batch = collate_samples([both[Draw(0, 1)], both[Draw(6, 2)]])
    assert batch["prompt"] == ["photo of a <new1> cat", "photo of a <new2> pot", "cat", "pot"]
    assert batch["is_prior"].tolist() == [False, False, True, True]


def test_generated_priors_lie_in_folders_of_their_own(concepts, tmp_path, monkeypatch):
    both = ConceptListDataset(with_prior(concepts), num_class_images=3, resolution=8)
    painted: list[PriorImages] = []
    monkeypatch.setattr(PriorImagesHook, "_fill", lambda self, runner, prior, root, number: (
        painted.append(prior), folder_of(root, prior.num_images)))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=both))
    PriorImagesHook().before_train(SimpleNamespace(train_loop=loop, work_dir=str(tmp_path / "run")))
    assert [(prior.root.name, prior.prompts) for prior in painted] == [
        ("class_images_0", ("cat",)), ("class_images_1", ("pot",))]
    assert both[Draw(5, 0)][1]["prompt"] == "pot"


def test_a_file_of_another_program(concepts, tmp_path):
    rows = [{"instance_prompt": "photo of a <new1> cat", "class_prompt": "cat", "instance_data_dir": "cat",
             "class_data_dir": "prior"},
            {"instance_prompt": "photo of a <new2> pot", "class_prompt": "pot", "instance_data_dir": "pot",
             "class_data_dir": "prior"}]
    folder_of(tmp_path / "prior", 2)
    (tmp_path / "concepts.json").write_text(json.dumps(rows))
    both = ConceptListDataset(str(tmp_path / "concepts.json"), data_root=tmp_path, num_class_images=2, resolution=8)
    assert len(both) == 5 and both[4][0]["prompt"] == "photo of a <new2> pot" and both[0][1]["prompt"] == "cat"


def test_drawn_concepts_have_no_folder():
    both = ConceptListDataset([{"data_root": "shapes:striped_heart", "placeholder": "<new1>"},
                               {"data_root": "shapes:cyan_triangle", "placeholder": "<new2>"}],
                              data_root="somewhere", resolution=16, size_augment=True)
    assert len(both) == 10 and "<new2>" in both[9]["prompt"] and both[0]["key"] is None


@pytest.mark.parametrize("change, message", [
    ([], "concepts is empty: name at least one"),
    ([{"instance_prompt": "a cat"}], r"concepts\[0\] has no data_root; a concept takes data_root, instance_prompt"),
    ([{"data_root": ".", "resolution": 8}], r"concepts\[0\] has unknown keys resolution; a concept takes"),
    ([{"data_root": "nowhere"}], r"concepts\[0\]: data_root='nowhere' does not exist"),
    ("nowhere.json", "concepts='nowhere.json' cannot be read"),
])
def test_mistakes_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        ConceptListDataset(change, resolution=8)


def test_a_file_that_is_no_list(tmp_path):
    (tmp_path / "concepts.json").write_text('{"data_root": "cat"}')
    with pytest.raises(ValueError, match="must be a list of objects"):
        ConceptListDataset(tmp_path / "concepts.json")
    with pytest.raises(TypeError, match=r"concepts\[0\] must be a dict, got 'cat'"):
        ConceptListDataset(["cat"])  # type: ignore[list-item]
