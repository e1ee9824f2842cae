"""Transforms move the right pixels, take chance from their rng alone, and name exactly what they did."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from diffkit.datasets.transforms import (
    CenterCrop,
    Compose,
    Picture,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
    ToTensor,
    Transform,
    default_transforms,
)
from tests.datasets.pictures import noise


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_resize_scales_the_short_side():
    wide = Resize(6)(Picture.of(noise(width=31, height=12)), rng())
    assert wide.size == (6, 15) and wide.original_size == (12, 31)
    tall = Resize(24)(Picture.of(noise(width=12, height=31)), rng())
    assert tall.size == (62, 24)
    assert np.array_equal(wide.image, noise(width=31, height=12).resize((15, 6), Image.Resampling.BILINEAR))


def test_a_picture_of_the_right_size_is_left_alone():
    picture = Picture.of(noise(width=12, height=12))
    assert Resize(12)(picture, rng()) is picture
    assert CenterCrop(12)(picture, rng()) is picture
    assert RandomCrop(12)(picture, rng()).key("d") == "d"


def test_center_crop_reports_its_corner():
    picture = CenterCrop((4, 6))(Picture.of(noise(width=16, height=10)), rng())
    assert picture.crop_top_left == (3, 5) and picture.size == (4, 6)
    assert np.array_equal(picture.image, np.asarray(noise(width=16, height=10))[3:7, 5:11])


def test_random_crops_reach_every_place_and_report_it():
    source = noise(width=10, height=9)
    seen = set()
    for seed in range(200):
        picture = RandomCrop(8)(Picture.of(source), rng(seed))
        top, left = picture.crop_top_left
        assert np.array_equal(picture.image, np.asarray(source)[top : top + 8, left : left + 8])
        assert picture.key("digest") is None
        seen.add((top, left))
    assert seen == {(y, x) for y in range(2) for x in range(3)}


def test_the_corner_is_that_of_the_mirrored_picture():
    mirrored = Compose([RandomHorizontalFlip(1.0), CenterCrop(4)])(
        Picture.of(noise(width=9, height=4)), rng()
    )
    top, left = mirrored.crop_top_left
    assert (top, left) == (0, 2)
    assert np.array_equal(mirrored.image, np.asarray(noise(width=9, height=4))[:, ::-1][:, 2:6])


def test_a_crop_that_does_not_fit_is_an_error():
    with pytest.raises(ValueError, match=r"a crop of 13x13 .* does not fit into a picture of 12x16"):
        CenterCrop(13)(Picture.of(noise()), rng())


def test_to_tensor_maps_levels_to_minus_one_and_one():
    image = Image.fromarray(np.array([[[0, 255, 51]]], np.uint8))
    tensor = ToTensor()(Picture.of(image), rng()).image
    assert tensor.dtype == torch.float32 and tensor.shape == (3, 1, 1)
    assert torch.allclose(tensor[:, 0, 0], torch.tensor([-1.0, 1.0, -0.6]))


def test_flips_come_as_often_as_asked_and_are_part_of_the_key():
    flip = RandomHorizontalFlip(0.3)
    source = Picture.of(noise())
    keys = [flip(source, rng(seed)).key("d") for seed in range(2000)]
    assert set(keys) == {"d", "d-flip"}
    assert abs(keys.count("d-flip") / 2000 - 0.3) < 4 * (0.3 * 0.7 / 2000) ** 0.5


def test_equal_keys_are_equal_pixels_and_other_keys_are_others():
    pixels: dict[str, set[bytes]] = {}
    for transforms in (
        default_transforms(8, hflip=0.5),
        default_transforms(6, hflip=0.5),
        default_transforms(8, hflip=0.5, interpolation="lanczos"),
        Compose([Resize(8), CenterCrop((8, 6)), ToTensor()]),
    ):
        for index in range(3):
            for seed in range(20):
                picture = transforms(Picture.of(noise(index)), rng(seed))
                key = picture.key(str(index))
                assert key is not None
                pixels.setdefault(key, set()).add(picture.image.numpy().tobytes())
    assert all(len(variants) == 1 for variants in pixels.values())
    assert len({next(iter(variants)) for variants in pixels.values()}) == len(pixels) == 3 * (2 + 2 + 2 + 1)


def test_the_global_generators_are_neither_read_nor_moved():
    transforms = default_transforms(8, center_crop=False)
    before = transforms(Picture.of(noise()), rng(5))
    state = (random.getstate(), torch.get_rng_state(), np.random.get_state()[1].copy())
    random.seed(1)
    expected = random.getstate()
    again = transforms(Picture.of(noise()), rng(5))
    assert torch.equal(before.image, again.image)
    assert random.getstate() == expected and torch.equal(torch.get_rng_state(), state[1])
    assert np.array_equal(np.random.get_state()[1], state[2])


def test_the_pipeline_splits_before_the_first_chance():
    fixed, chance = default_transforms(8, hflip=0.5).split()
    assert [type(item) for item in fixed.transforms] == [Resize]
    assert chance.is_random and not fixed.is_random
    fixed, chance = default_transforms(8, hflip=0.0).split()
    assert [type(item) for item in chance.transforms] == [ToTensor] and not chance.is_random


def test_transforms_are_built_from_configs():
    built = Compose([dict(type=Resize, size=8), dict(type="CenterCrop", size=8), ToTensor()])
    assert built(Picture.of(noise()), rng()).image.shape == (3, 8, 8)
    with pytest.raises(TypeError, match=r"transforms must be diffkit transforms"):
        Compose([len])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Resize(0), "size must be a whole number of pixels, at least 1, got 0"),
        (lambda: Resize(8, "cubic"), "interpolation must be one of nearest, .*got 'cubic'"),
        (lambda: RandomHorizontalFlip(1.5), "probability must be between 0 and 1, got 1.5"),
        (lambda: default_transforms(8, hflip=-1), "hflip must be between 0 and 1, got -1"),
        (lambda: default_transforms(0), "resolution must be a whole number"),
    ],
)
def test_bad_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_pixels_move_before_to_tensor_only():
    with pytest.raises(TypeError, match=r"come before ToTensor"):
        Compose([ToTensor(), Resize(4)])(Picture.of(noise()), rng())


class Darker(Transform):
    """A colour augmentation as users write it: it does not name what it did."""

    is_random = True

    def __init__(self, named: bool = False) -> None:
        self.named = named

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        level = int(rng.integers(256))
        image = picture.image.point(lambda value: value * level // 255)
        return replace(picture, image=image, steps=(*picture.steps, f"dark{level}") if self.named else picture.steps)


def test_a_random_change_that_is_not_named_is_not_cached():
    picture = Picture.of(noise(8, 8))
    assert Compose([Darker(), RandomHorizontalFlip(1.0), ToTensor()])(picture, rng()).key("file") is None
    assert Compose([Compose([Darker()])])(picture, rng()).key("file") is None
    first, second = (Compose([Darker(named=True)])(picture, rng(seed)).key("file") for seed in (1, 2))
    assert first is not None and first != second
    assert Compose([RandomHorizontalFlip(0.5), ToTensor()])(picture, rng()).key("file") in ("file", "file-flip")
