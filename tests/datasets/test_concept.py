"""A concept's pictures with their prompts, alone or beside prior pictures."""

import json
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from diffkit.datasets import ConceptDataset, Draw, DrawSampler, collate_samples
from diffkit.datasets.shapes import concept_images, concept_scenes
from diffkit.datasets.shapes.dataset import to_tensor
from diffkit.datasets.transforms import CenterCrop, Resize
from tests.datasets.pictures import folder_of, noise


def test_an_unknown_source_of_captions_is_refused_for_drawn_pictures_too():
    with pytest.raises(ValueError, match="captions must be one of auto, txt, metadata, none, got 'onne'"):
        ConceptDataset("shapes:striped_heart", "a photo of sks", captions="onne")


def test_an_item_holds_the_picture_its_prompt_and_how_it_was_cut(tmp_path):
    dataset = ConceptDataset(folder_of(tmp_path, 2, 16, 12), "a photo of sks dog", resolution=8)
    item = dataset[1]
    expected = np.asarray(noise(1).resize((10, 8), Image.Resampling.BILINEAR))[:, 1:9]
    assert torch.equal(item["pixel_values"], to_tensor(expected))
    assert item["prompt"] == "a photo of sks dog" and item["is_prior"] is False
    assert item["original_size"] == (12, 16) and item["crop_top_left"] == (0, 1)
    assert len(dataset) == 2 and dataset.name_of(item["key"]) == "01.png"
    with pytest.raises(IndexError, match=r"between 0 and 1, got 2"):
        dataset[2]


def test_own_captions_come_before_the_instance_prompt(tmp_path):
    folder_of(tmp_path, 3)
    (tmp_path / "00.txt").write_text("first")
    (tmp_path / "metadata.jsonl").write_text(json.dumps({"file_name": "01.png", "text": ["x", "y"]}) + "\n")
    dataset = ConceptDataset(tmp_path, "fallback", resolution=8)
    assert dataset[0]["prompt"] == "first" and dataset[2]["prompt"] == "fallback"
    assert {dataset[Draw(1, seed)]["prompt"] for seed in range(30)} == {"x", "y"}
    assert ConceptDataset(tmp_path, "fallback", resolution=8, captions="none")[0]["prompt"] == "fallback"
    with pytest.raises(
        ValueError, match=r"1 of 3 images of data_root have no caption \(02\.png\): .* set instance_prompt"
    ):
        ConceptDataset(tmp_path, resolution=8)


def test_templates_are_drawn_and_the_placeholder_is_filled_in(tmp_path):
    folder_of(tmp_path, 2)
    (tmp_path / "01.txt").write_text("{} on a table")
    dataset = ConceptDataset(tmp_path, ["a {}", "the {}"], placeholder="<cat-toy>", resolution=8)
    assert {dataset[Draw(0, seed)]["prompt"] for seed in range(30)} == {"a <cat-toy>", "the <cat-toy>"}
    assert dataset[1]["prompt"] == "<cat-toy> on a table"
    with pytest.raises(ValueError, match=r"instance_prompt 'a \{\}' has \{\}, but there is no placeholder"):
        ConceptDataset(tmp_path, "a {}", resolution=8)
    with pytest.raises(ValueError, match=r"the caption of 01\.png '\{\} on a table' has \{\}"):
        ConceptDataset(tmp_path, "a dog", resolution=8)


def test_captions_are_dropped_as_often_as_asked(tmp_path):
    dataset = ConceptDataset(
        folder_of(tmp_path / "a", 1),
        "words",
        class_data_root=folder_of(tmp_path / "b", 2),
        class_prompt="class",
        resolution=8,
        caption_dropout=0.1,
        prior_caption_dropout=0.4,
    )
    items = [dataset[Draw(0, seed)] for seed in range(2000)]
    for number, rate in ((0, 0.1), (1, 0.4)):
        share = sum(item[number]["prompt"] == "" for item in items) / len(items)
        assert abs(share - rate) < 4 * (rate * (1 - rate) / len(items)) ** 0.5
    always = ConceptDataset(tmp_path / "a", "words", resolution=8, caption_dropout=1.0)
    never = ConceptDataset(tmp_path / "a", "words", resolution=8)
    assert all(
        always[Draw(0, s)]["prompt"] == "" and never[Draw(0, s)]["prompt"] == "words" for s in range(50)
    )


def test_what_is_switched_on_does_not_change_the_rest(tmp_path):
    folder, prior = folder_of(tmp_path / "a", 2), folder_of(tmp_path / "b", 3)
    plain = ConceptDataset(folder, "words", resolution=8, center_crop=False, hflip=0.5)
    more = ConceptDataset(
        folder,
        "words",
        class_data_root=prior,
        class_prompt="class",
        resolution=8,
        center_crop=False,
        hflip=0.5,
        caption_dropout=0.5,
    )
    for seed in range(10):
        assert torch.equal(plain[Draw(1, seed)]["pixel_values"], more[Draw(1, seed)][0]["pixel_values"])


def test_prior_pictures_are_drawn_by_the_draw_alone(tmp_path):
    dataset = ConceptDataset(
        folder_of(tmp_path / "a", 2),
        "sks",
        class_data_root=folder_of(tmp_path / "b", 3, 20, 20),
        class_prompt="dog",
        num_class_images=2,
        resolution=8,
    )
    items = [dataset[Draw(seed % 2, seed)] for seed in range(40)]
    assert all(instance["is_prior"] is False and prior["is_prior"] is True for instance, prior in items)
    assert {dataset.name_of(prior["key"]) for _, prior in items} == {"00.png", "01.png"}
    assert {prior["prompt"] for _, prior in items} == {"dog"}
    again = dataset[Draw(1, 7)]
    assert again[1]["key"] == items[7][1]["key"] and again[0]["key"] == items[7][0]["key"]
    batch = collate_samples(items[:2])
    assert batch["is_prior"].tolist() == [False, False, True, True]
    assert batch["original_size"].tolist() == [[12, 16], [12, 16], [20, 20], [20, 20]]


def test_a_random_crop_has_no_key_and_the_flip_is_part_of_it(tmp_path):
    folder = folder_of(tmp_path, 1)
    assert ConceptDataset(folder, "x", resolution=8, center_crop=False)[0]["key"] is None
    flipped = ConceptDataset(folder, "x", resolution=8, hflip=0.5)
    by_key = {}
    for seed in range(40):
        item = flipped[Draw(0, seed)]
        by_key.setdefault(item["key"], []).append(item["pixel_values"])
    assert len(by_key) == 2 and sum("-flip" in key for key in by_key) == 1
    assert all(torch.equal(pixels[0], other) for pixels in by_key.values() for other in pixels)


def test_repeats_memory_workers_and_own_transforms_change_no_pixel(tmp_path):
    folder = folder_of(tmp_path, 2)
    dataset = ConceptDataset(folder, "x", resolution=8, repeats=3)
    assert len(dataset) == 6 and dataset[5]["key"] == dataset[1]["key"]
    for other in (
        ConceptDataset(folder, "x", resolution=8, keep_in_memory=False),
        ConceptDataset(folder, "x", transforms=[dict(type=Resize, size=8), CenterCrop(8)]),
        pickle.loads(pickle.dumps(dataset)),
    ):
        assert torch.equal(other[1]["pixel_values"], dataset[1]["pixel_values"])
        assert other[1]["key"] == dataset[1]["key"]


def test_a_file_that_changes_while_it_is_in_use_is_noticed(tmp_path):
    folder = folder_of(tmp_path, 1)
    dataset = ConceptDataset(folder, "x", resolution=8, keep_in_memory=False)
    noise(5).save(folder / "00.png")
    with pytest.raises(ValueError, match=r"00\.png changed while it was in use"):
        dataset[0]


def test_bad_images_stop_or_are_left_out(tmp_path):
    folder = folder_of(tmp_path, 2)
    (folder / "bad.jpg").touch()
    with pytest.raises(ValueError, match=r"data_root=.*1 of 3 images cannot be used"):
        ConceptDataset(folder, "x", resolution=8)
    dataset = ConceptDataset(folder, "x", resolution=8, bad_images="skip")
    assert len(dataset) == 2 and "bad.jpg" in dataset.pictures.notes[0]


def test_a_concept_drawn_by_code_takes_the_place_of_a_folder():
    dataset = ConceptDataset("shapes:striped_heart", "a sks heart", resolution=32, seed=4)
    drawn = concept_images("striped_heart", 5, 4, 32)
    assert len(dataset) == 5
    for index, pixels in enumerate(drawn):
        assert torch.equal(dataset[index]["pixel_values"], to_tensor(pixels))
    assert len({dataset[index]["key"] for index in range(5)}) == 5
    assert len(ConceptDataset("shapes:striped_heart", "x", resolution=32, num_images=2)) == 2
    with pytest.raises(ValueError, match=r"data_root='shapes:heart' names nothing .*shapes:striped_heart"):
        ConceptDataset("shapes:heart", "x")


def test_drawn_scenes_can_be_the_prior():
    dataset = ConceptDataset(
        "shapes:striped_heart",
        "a sks heart",
        class_data_root="shapes:scenes",
        num_class_images=6,
        resolution=16,
    )
    priors = [dataset[Draw(0, seed)][1] for seed in range(20)]
    assert all(prior["prompt"] for prior in priors) and len({prior["key"] for prior in priors}) > 3
    assert dataset.prior is None and "6 prior images" in dataset.summary()


def test_the_sampler_and_the_loader_agree_on_what_workers_see(tmp_path):
    dataset = ConceptDataset(
        folder_of(tmp_path, 3), "x", resolution=8, center_crop=False, caption_dropout=0.5
    )
    rows = []
    for workers in (0, 2):
        loader = torch.utils.data.DataLoader(
            dataset, 2, sampler=DrawSampler(dataset, 3), num_workers=workers, collate_fn=collate_samples
        )
        batches = iter(loader)
        rows.append([next(batches) for _ in range(4)])
    for alone, spread in zip(*rows, strict=True):
        assert (
            torch.equal(alone["pixel_values"], spread["pixel_values"]) and alone["prompt"] == spread["prompt"]
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(repeats=0), "repeats must be at least 1, got 0"),
        (dict(num_class_images=-1), "num_class_images must be at least 0, got -1"),
        (dict(class_prompt="dog"), "class_prompt needs prior images: set num_class_images"),
        (dict(num_class_images=3), "3 of 3 prior images are missing .*no class_prompt to generate them from"),
        (dict(caption_dropout=1.5), "caption_dropout must be between 0 and 1, got 1.5"),
        (dict(prior_caption_dropout=-1), "prior_caption_dropout must be between 0 and 1, got -1"),
        (dict(num_images=9), "num_images is 9, but data_root holds .*2 images"),
        (dict(num_images=0), "num_images must be at least 1, got 0"),
        (dict(bad_images="no"), "bad_images must be one of stop, skip, got 'no'"),
        (dict(hflip=2.0), "hflip must be between 0 and 1, got 2.0"),
        (dict(class_data_root="nowhere", class_prompt="dog"), "class_data_root='nowhere' does not exist"),
    ],
)
def test_bad_arguments_are_named(tmp_path, options, message):
    folder_of(tmp_path, 2)
    with pytest.raises(ValueError, match=message):
        ConceptDataset(tmp_path, "x", resolution=8, **options)
    with pytest.raises(ValueError, match=r"class_data_root and data_root are the same folder"):
        ConceptDataset(tmp_path, "x", resolution=8, class_data_root=f"{tmp_path}/.", class_prompt="dog")
    with pytest.raises(TypeError, match=r"instance_prompt must be text or a list of texts"):
        ConceptDataset(tmp_path, [1], resolution=8)


def test_a_placeholder_gives_a_drawn_concept_captions_that_name_the_background():
    dataset = ConceptDataset("shapes:striped_heart", "a photo of a {} heart", resolution=16, placeholder="sks")
    for index, scene in enumerate(concept_scenes("striped_heart", 5)):
        prompts = {dataset[Draw(index, seed)]["prompt"] for seed in range(40)}
        assert "a photo of a sks heart" in prompts
        assert any(prompt.endswith(f"{scene.background} background") for prompt in prompts)
        assert len(prompts) == 4
