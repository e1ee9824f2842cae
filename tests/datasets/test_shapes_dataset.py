import numpy as np
import pytest
import torch

from diffkit.datasets.draw import Draw
from diffkit.datasets.shapes import Scene, ShapesDataset, ShapesPrompts, caption, draw, full_caption
from diffkit.datasets.shapes.captions import Wording, expected, random_wording, write
from diffkit.datasets.shapes.vocabulary import HELD_OUT, all_words
from diffkit.registry import DATASETS

PLAIN = Scene("circle", "red", "blue", size="large", position="left")
STRIPED = Scene("heart", "red", "grey", "white", "striped", size="medium", position="top left")


def test_full_captions():
    assert full_caption(PLAIN) == "a photo of a large red circle at the left on a blue background"
    assert full_caption(STRIPED) == (
        "a photo of a medium red and white striped heart at the top left on a grey background"
    )


def test_write_leaves_out_what_is_not_named():
    wording = Wording(
        prefix="",
        identifier="sks",
        ending="toy style",
        colour=False,
        texture=False,
        size=False,
        position=False,
    )
    assert write(PLAIN, wording) == "a sks circle on a blue background toy style"
    assert write(PLAIN, Wording(shape=False, size=False, background=False, texture=False)) == (
        "a photo of a red object at the left"
    )
    orange = Scene("ring", "orange", "orange")
    assert write(orange, Wording(size=False, texture=False)) == (
        "a photo of an orange ring in the centre on an orange background"
    )


def test_expected_has_only_what_is_named():
    assert expected(STRIPED, Wording(size=False, background=False)) == {
        "shape": "heart",
        "colour": "red",
        "second_colour": "white",
        "texture": "striped",
        "position": "top left",
    }
    assert expected(STRIPED, Wording(colour=False, size=False, position=False, background=False)) == {
        "shape": "heart",
        "texture": "striped",
    }


def test_captions_say_what_the_scene_shows():
    rng = np.random.default_rng(0)
    words = set(all_words())
    for _ in range(300):
        for scene in (PLAIN, STRIPED):
            state = np.random.default_rng(rng.integers(2**31))
            wording = random_wording(scene, state)
            text = write(scene, wording)
            assert set(text.split()) <= words
            named = expected(scene, wording)
            for name in ("shape", "colour", "second_colour", "size"):
                value = getattr(scene, name)
                if value is not None:
                    assert (value in text.split()) == (name in named)
            assert (f"{scene.background} background" in text) == ("background" in named)
            assert (f"the {scene.position}" in text) == ("position" in named)


def test_captions_vary_and_keep_shape_and_colour_mostly():
    rng = np.random.default_rng(0)
    texts = [caption(PLAIN, rng) for _ in range(1000)]
    assert len(set(texts)) > 100
    assert np.mean(["circle" in text for text in texts]) > 0.93
    assert 0.8 < np.mean(["red" in text for text in texts]) < 0.95
    assert 0.05 < np.mean(["sks" in text or "zwx" in text or "toy" in text for text in texts]) < 0.2


def test_items():
    data = DATASETS.build(dict(type="ShapesDataset", length=5, resolution=32))
    assert len(data) == 5
    item = data[2]
    assert set(item) == {"pixel_values", "prompt", "key"}
    pixels = item["pixel_values"]
    assert pixels.dtype == torch.float32 and pixels.shape == (3, 32, 32)
    assert -1 <= pixels.min() < pixels.max() <= 1
    picture = draw(data.scene(2), 32)
    np.testing.assert_allclose((pixels.numpy().transpose(1, 2, 0) + 1) * 127.5, picture, atol=1e-3)


@pytest.mark.parametrize("keep", [True, False])
def test_the_picture_depends_on_the_index_and_the_caption_on_the_draw(keep):
    data = ShapesDataset(10, keep_in_memory=keep)
    draws = [data[Draw(3, seed)] for seed in range(20)]
    assert len({item["key"] for item in draws}) == 1
    assert all(torch.equal(item["pixel_values"], draws[0]["pixel_values"]) for item in draws)
    assert len({item["prompt"] for item in draws}) > 10
    again = ShapesDataset(10, keep_in_memory=not keep)[Draw(3, 7)]
    assert again["prompt"] == draws[7]["prompt"]
    assert torch.equal(again["pixel_values"], draws[7]["pixel_values"])


def test_a_plain_index_repeats_itself():
    first, second = ShapesDataset(4)[1], ShapesDataset(4)[1]
    assert first["prompt"] == second["prompt"] and first["key"] == second["key"]
    assert torch.equal(first["pixel_values"], second["pixel_values"])


def test_keys_differ_with_everything_that_changes_the_picture():
    settings = [
        {},
        {"seed": 1},
        {"split": "all"},
        {"resolution": 32},
        {"textured": 0.5},
        {"photo_fraction": 0.5},
    ]
    keys = {ShapesDataset(4, **s).key(i) for s in settings for i in range(4)}
    assert len(keys) == 4 * len(settings)
    assert ShapesDataset(4).key(1) == ShapesDataset(9, caption_dropout=0.1).key(1)


def test_the_training_split_has_no_held_out_pair():
    data = ShapesDataset(1000)
    held_out = ShapesDataset(100, split="heldout")
    for i in range(1000):
        scene = data.scene(i)
        assert not any((scene.shape, colour) in HELD_OUT for colour in scene.colours)
    assert all(held_out.scene(i).held_out for i in range(100))


def test_caption_dropout():
    data = ShapesDataset(10, caption_dropout=0.25)
    empty = np.mean([data.prompt(i % 10, i) == "" for i in range(1000)])
    assert 0.2 < empty < 0.3
    assert all(ShapesDataset(10, caption_dropout=1.0).prompt(i) == "" for i in range(10))


def test_photographs():
    pytest.importorskip("skimage")
    data = ShapesDataset(400, photo_fraction=0.25)
    photos = [i for i in range(400) if data.is_photo(i)]
    assert 0.18 < len(photos) / 400 < 0.32
    for i in photos[:20]:
        item = data[i]
        assert item["prompt"] == "a photo" and data.scene(i) is None
        assert item["pixel_values"].shape == (3, 64, 64)
        assert item["pixel_values"].abs().max() <= 1
    different = {data[i]["pixel_values"].numpy().tobytes() for i in photos[:20]}
    assert len(different) == 20


def test_the_dataset_checks_its_arguments():
    for settings, message in [
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"length": 1, "split": "test"}, "split must be one of .*'test'"),
        ({"length": 1, "textured": 1.5}, "textured must be between 0 and 1, got 1.5"),
        ({"length": 1, "caption_dropout": -1}, "caption_dropout must be between 0 and 1"),
        ({"length": 1, "resolution": 8}, "resolution must be at least 16 pixels, got 8"),
        ({"length": 1, "seed": -1}, "seed must not be negative"),
    ]:
        with pytest.raises(ValueError, match=message):
            ShapesDataset(**settings)
    with pytest.raises(IndexError, match="between 0 and 3, got 4"):
        ShapesDataset(4)[4]


def test_prompts_say_what_they_expect():
    prompts = ShapesPrompts(60, kind="mixed")
    kinds = set()
    for i in range(60):
        item = prompts[i]
        wanted = item["expected"]
        kinds.add(wanted.get("texture", "plain"))
        assert {"shape", "colour", "size", "position", "background"} <= set(wanted)
        for value in wanted.values():
            assert value in item["prompt"]
        assert item == ShapesPrompts(61, kind="mixed")[i]
    assert kinds == {"plain", "striped", "dotted", "checked"}
    assert len({prompts[i]["seed"] for i in range(60)}) == 60


def test_prompts_of_a_split_and_without_position():
    held_out = ShapesPrompts(40, split="heldout")
    assert all((w["shape"], w["colour"]) in HELD_OUT for w in (held_out[i]["expected"] for i in range(40)))
    short = ShapesPrompts(10, name_position=False, name_size=False)[0]
    assert "position" not in short["expected"] and "size" not in short["expected"]
    assert " the " not in short["prompt"]


def test_prompts_check_their_arguments():
    with pytest.raises(ValueError, match="kind must be one of plain, textured, mixed, got 'other'"):
        ShapesPrompts(4, kind="other")
    with pytest.raises(IndexError):
        ShapesPrompts(4)[4]
