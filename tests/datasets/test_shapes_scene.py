import dataclasses
import time

import numpy as np
import pytest

from diffkit.datasets.shapes import CONCEPTS, Scene, draw, random_scene
from diffkit.datasets.shapes.colour_space import palette_lab, rgb_to_lab
from diffkit.datasets.shapes.concept_pictures import (
    concept_backgrounds,
    concept_images,
    concept_scenes,
    write_concept_images,
)
from diffkit.datasets.shapes.concepts import get_concept, is_concept
from diffkit.datasets.shapes.distance import DISTANCES, pattern_mix
from diffkit.datasets.shapes.scene import MIN_CONTRAST, contrasting
from diffkit.datasets.shapes.vocabulary import BACKGROUNDS, COLOURS, HELD_OUT, SHAPES


def scenes(n: int, split: str = "train", textured: float = 0.35, seed: int = 0) -> list[Scene]:
    rng = np.random.default_rng(seed)
    return [random_scene(rng, split, textured) for _ in range(n)]


def test_lab_of_known_colours():
    lab = rgb_to_lab(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(lab, [[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.20]], atol=0.05)


def test_backgrounds_differ_from_each_other():
    lab = palette_lab(BACKGROUNDS)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1) + 1000 * np.eye(len(lab))
    assert len(lab) == 11 and distances.min() > 30


def test_held_out_is_a_tenth_with_each_shape_once():
    assert len(HELD_OUT) == len(SHAPES) * len(COLOURS) // 10
    assert {shape for shape, _ in HELD_OUT} == set(SHAPES)


@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_fill_a_centred_box(shape):
    line = np.linspace(-1.5, 1.5, 601)
    x, y = np.meshgrid(line, line)
    inside = DISTANCES[shape](x, y) < 0
    assert abs(x[inside].min() + x[inside].max()) < 0.02
    assert abs(y[inside].min() + y[inside].max()) < 0.02
    assert 0.92 < max(x[inside].max(), y[inside].max()) < 1.01


@pytest.mark.parametrize(
    ("texture", "low", "high"), [("striped", 0.4, 0.6), ("checked", 0.45, 0.55), ("dotted", 0.25, 0.4)]
)
def test_patterns_show_both_colours(texture, low, high):
    x, y = np.meshgrid(np.linspace(-1, 1, 200), np.linspace(-1, 1, 200))
    mix = pattern_mix(texture, x, y, 20.0)
    assert low < mix.mean() < high
    assert mix.min() == 0 and mix.max() == 1


def test_training_scenes_have_no_held_out_pair_and_no_concept():
    for scene in scenes(6000, textured=0.7):
        assert not scene.held_out and not is_concept(scene.shape, scene.colours, scene.texture)


def test_heldout_scenes_have_only_held_out_pairs():
    found = scenes(300, "heldout")
    assert all(any((s.shape, c) in HELD_OUT for c in s.colours) for s in found)
    assert {s.shape for s in found} == set(SHAPES)


def test_all_contains_what_training_leaves_out():
    found = scenes(6000, "all", textured=1.0)
    assert any(s.held_out for s in found) and any(is_concept(s.shape, s.colours, s.texture) for s in found)


def test_share_of_textures_and_no_small_textured_object():
    found = scenes(2000, textured=0.4)
    textured = [s for s in found if s.texture != "plain"]
    assert 0.35 < len(textured) / 2000 < 0.45
    assert {s.size for s in textured} == {"medium", "large"}
    assert {s.texture for s in textured} == {"striped", "dotted", "checked"}


def test_colours_stand_out():
    lab = dict(zip(BACKGROUNDS, palette_lab(BACKGROUNDS), strict=True))
    for scene in scenes(500, "all", 0.5):
        names = [scene.background, *scene.colours]
        for i, a in enumerate(names):
            for b in names[i + 1 :]:
                assert np.linalg.norm(lab[a] - lab[b]) >= MIN_CONTRAST


def test_contrasting_leaves_out_the_same_colour():
    assert "red" not in contrasting("red") and "blue" in contrasting("red")
    assert contrasting("red", "blue") == tuple(c for c in contrasting("red") if c in contrasting("blue"))


def test_draw_is_deterministic_and_depends_on_the_seed():
    scene = Scene("heart", "red", "blue", seed=3)
    picture = draw(scene)
    assert picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(picture, draw(scene))
    assert (picture != draw(dataclasses.replace(scene, seed=4))).any()


@pytest.mark.parametrize("resolution", [32, 64, 128])
def test_draw_puts_the_colours_where_they_belong(resolution):
    picture = draw(Scene("circle", "red", "blue", size="large", seed=1), resolution).astype(int)
    middle = picture[resolution // 2, resolution // 2]
    assert np.abs(middle - COLOURS["red"]).max() < 30
    assert np.abs(picture[0, 0] - BACKGROUNDS["blue"]).max() < 40


def test_draw_shows_both_colours_of_a_pattern():
    picture = draw(Scene("square", "red", "white", "black", "striped", size="large"), 64).astype(int)
    for colour in ("red", "black"):
        near = np.abs(picture - np.array(COLOURS[colour])).max(axis=-1) < 40
        assert near.mean() > 0.1


def test_draw_is_fast():
    some = scenes(100, textured=0.5)
    draw(some[0])
    start = time.process_time()
    for scene in some:
        draw(scene)
    assert (time.process_time() - start) / 100 < 0.005


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": "blob"}, "shape must be one of .*'blob'"),
        ({"size": "huge"}, "size must be one of .*'huge'"),
        ({"second_colour": "white"}, "second_colour must be None"),
        ({"texture": "striped"}, "second_colour must be one of .*None"),
    ],
)
def test_scene_names_the_wrong_argument(change, message):
    with pytest.raises(ValueError, match=message):
        Scene(**{"shape": "heart", "colour": "red", "background": "blue", **change})


def test_random_scene_and_draw_check_their_arguments():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="split must be one of train, heldout, all, got 'test'"):
        random_scene(rng, "test")
    with pytest.raises(ValueError, match="textured must be between 0 and 1"):
        random_scene(rng, textured=2)
    with pytest.raises(ValueError, match="resolution must be at least 16"):
        draw(Scene("heart", "red", "blue"), 8)


@pytest.mark.parametrize("name", CONCEPTS)
def test_concepts_keep_some_backgrounds_for_tests(name):
    shown, kept = concept_backgrounds(name)
    assert len(shown) >= 4 and len(kept) >= 4 and not set(shown) & set(kept)
    assert {s.background for s in concept_scenes(name, 8)} == set(shown)
    assert {s.background for s in concept_scenes(name, 8, unseen=True)} == set(kept)
    assert all(is_concept(s.shape, s.colours, s.texture) for s in concept_scenes(name, 4, varied=True))


def test_concept_images_are_deterministic_and_written(tmp_path):
    pictures = concept_images("striped_heart", 3, seed=1)
    paths = write_concept_images(tmp_path / "photos", "striped_heart", 3, seed=1)
    from PIL import Image

    assert len(paths) == 3
    for picture, path in zip(pictures, paths, strict=True):
        np.testing.assert_array_equal(picture, np.asarray(Image.open(path)))
    assert get_concept("striped_heart").description == "purple and white striped heart"


def test_concepts_check_their_arguments():
    with pytest.raises(ValueError, match=r"concept must be one of .*'cat'"):
        concept_images("cat", 2)
    with pytest.raises(ValueError, match="n must be at least 1"):
        concept_images("striped_heart", 0)
