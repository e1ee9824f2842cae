from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from diffkit.datasets.shapes import CONCEPTS, Scene, ShapesPrompts, concept_images, draw, random_scene
from diffkit.datasets.shapes.vocabulary import BACKGROUNDS
from diffkit.evaluation import PromptAccuracy, concept_hit
from diffkit.evaluation.shapes_analyser import NONE, Reading, analyse
from diffkit.registry import METRICS

ATTRIBUTES = ("shape", "colour", "texture", "size", "position", "background")


def whole_scene(scene: Scene) -> dict[str, str | None]:
    return {name: getattr(scene, name) for name in (*ATTRIBUTES, "second_colour")}


def blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    return np.round(ndimage.gaussian_filter(picture.astype(float), (sigma, sigma, 0))).astype(np.uint8)


@pytest.mark.parametrize("textured", [0.0, 1.0])
@pytest.mark.parametrize("blur", [0.0, 0.7])
def test_reads_drawings(textured, blur):
    rng = np.random.default_rng(5)
    right: Counter[str] = Counter()
    n = 300
    for _ in range(n):
        scene = random_scene(rng, "all", textured)
        reading = analyse(blurred(draw(scene), blur))
        right.update(name for name, ok in reading.matches(whole_scene(scene)).items() if ok)
    assert {name: right[name] / n >= 0.99 for name in ATTRIBUTES} == dict.fromkeys(ATTRIBUTES, True)


@pytest.mark.parametrize("resolution", [48, 128])
def test_reads_other_resolutions(resolution):
    rng = np.random.default_rng(6)
    scenes = [random_scene(rng, "all", 0.5) for _ in range(60)]
    right = [all(analyse(draw(s, resolution)).matches(whole_scene(s)).values()) for s in scenes]
    assert np.mean(right) >= 0.95


def test_reads_the_order_of_dots():
    reading = analyse(draw(Scene("square", "red", "grey", "white", "dotted", size="large")))
    assert (reading.colour, reading.second_colour, reading.texture) == ("red", "white", "dotted")


def test_reads_stripes_in_another_direction():
    picture = draw(Scene("square", "red", "grey", "white", "striped", size="large"))
    assert analyse(np.ascontiguousarray(picture.transpose(1, 0, 2))).texture == "striped"


@pytest.mark.parametrize("background", BACKGROUNDS)
def test_an_empty_picture_has_only_a_background(background):
    picture = np.full((64, 64, 3), BACKGROUNDS[background], dtype=np.uint8)
    reading = analyse(picture)
    assert reading.background == background
    assert {reading.shape, reading.colour, reading.texture, reading.size, reading.position} == {NONE}


def test_noise_shows_no_object():
    rng = np.random.default_rng(0)
    for _ in range(50):
        reading = analyse(rng.integers(0, 256, (64, 64, 3)).astype(np.uint8))
        assert (reading.shape, reading.colour, reading.size, reading.position) == (NONE,) * 4


def test_two_halves_are_no_pattern():
    picture = draw(Scene("circle", "red", "grey", size="large"))
    other = draw(Scene("circle", "blue", "grey", size="large"))
    reading = analyse(np.concatenate([picture[:32], other[32:]]))
    assert reading.texture == NONE
    assert {reading.colour, reading.second_colour} == {"red", "blue"}


def test_accepts_pil_and_refuses_the_rest():
    picture = draw(Scene("ring", "green", "white"))
    assert analyse(Image.fromarray(picture)) == analyse(picture)
    with pytest.raises(TypeError, match="image must be a PIL image or a uint8 array, got float32"):
        analyse(picture.astype(np.float32))
    with pytest.raises(ValueError, match=r"image must have the shape \[H, W, 3\], got \[64, 64\]"):
        analyse(picture[..., 0])


def test_matches_compares_only_what_is_expected():
    reading = Reading("heart", "red", "white", "striped", "large", "centre", "blue")
    assert reading.matches({"shape": "heart", "size": "small"}) == {"shape": True, "size": False}
    assert reading.matches({"colour": "white", "second_colour": "red"}) == {"colour": True}
    assert reading.matches({"colour": "red"}) == {"colour": False}
    with pytest.raises(ValueError, match="unknown attribute 'shade'"):
        reading.matches({"shade": "red"})


def test_prompt_accuracy_counts_only_what_prompts_name():
    metric = METRICS.build(dict(type="PromptAccuracy"))
    red, blue = (draw(Scene("heart", colour, "white", size="large")) for colour in ("red", "blue"))
    wanted = {"shape": "heart", "colour": "red"}
    metric.process(None, [{"image": red, "expected": wanted}] * 3 + [{"image": blue, "expected": wanted}])
    metric.process(None, [{"image": red, "expected": {"background": "white"}}])
    result = metric.evaluate(5)
    assert result["prompt/sc"] == 0.75 and result["prompt/shape"] == 1.0 and result["prompt/colour"] == 0.75
    assert result["prompt/sc_n"] == 4 and result["prompt/background_n"] == 1
    assert result["prompt/sc_se"] == pytest.approx((0.75 * 0.25 / 4) ** 0.5)
    assert "prompt/position" not in result and "prompt/texture" not in result


def test_prompt_accuracy_of_right_pictures_and_of_pictures_for_other_prompts():
    prompts = ShapesPrompts(40, kind="mixed")
    right, wrong = PromptAccuracy(), PromptAccuracy()
    for i in range(40):
        picture = draw(prompts.scene(i))
        right.process(None, [{"image": picture, "expected": prompts[i]["expected"]}])
        wrong.process(None, [{"image": picture, "expected": prompts[(i + 1) % 40]["expected"]}])
    assert right.evaluate(40)["prompt/sc"] == 1.0
    assert wrong.evaluate(40)["prompt/sc"] < 0.2


def test_prompt_accuracy_names_what_a_sample_lacks():
    with pytest.raises(ValueError, match=r"a sample lacks \['expected'\]"):
        PromptAccuracy().process(None, [{"image": draw(Scene("ring", "green", "white"))}])


@pytest.mark.parametrize("name", CONCEPTS)
def test_concept_hit(name):
    assert all(concept_hit(p, name)["hit"] for p in concept_images(name, 8, varied=True))
    assert all(concept_hit(p, name)["hit"] for p in concept_images(name, 8, unseen=True))
    others = [p for other in CONCEPTS if other != name for p in concept_images(other, 2)]
    assert not any(concept_hit(p, name)["hit"] for p in others)


def test_concept_hit_needs_the_texture():
    picture = draw(Scene("heart", "purple", "grey", "white", "dotted", size="large"))
    assert concept_hit(picture, "striped_heart") == {
        "shape": True,
        "colour": True,
        "texture": False,
        "hit": False,
    }
