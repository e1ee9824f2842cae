"""Aspect-ratio buckets: their sizes, what is cut away, and that nothing is squashed."""

import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

from diffkit.datasets import (
    AspectBuckets,
    ConceptDataset,
    ConceptListDataset,
    Cover,
    Draw,
    ImageTextDataset,
    ItemShape,
    TarImageText,
    collate_samples,
)
from diffkit.datasets.item_shape import bucket_rows, bucket_warnings
from diffkit.datasets.transforms import Picture, SizedTransforms, cut_away, default_transforms
from tests.datasets.pictures import corners, folder_of_shapes, noise

SHAPES = [(40, 20), (20, 40), (30, 30), (36, 27), (27, 36), (24, 32)]


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))
    return folder_of_shapes(tmp_path / "photos", SHAPES)


def concept(folder, **options):
    given = {"resolution": 32, "buckets": {"step": 8}, "instance_prompt": "a sks dog"} | options
    return ConceptDataset(folder, **given)


def sizes_of(dataset):
    return [shape.size for shape in dataset.item_shapes()]


def no_chance():
    return np.random.default_rng(0)


def test_the_buckets_of_512_px_in_closed_form():
    upright = [(576, 448), (640, 384), (640, 320)]
    lying = [(width, height) for height, width in reversed(upright)]
    assert AspectBuckets(64, 2.0).sizes(512) == [*lying, (512, 512), *upright]
    assert AspectBuckets(64, 1.7).sizes(512) == [*lying[1:], (512, 512), *upright[:2]]
    assert AspectBuckets(64, 1).sizes(512) == [(512, 512)]


@pytest.mark.parametrize(("step", "ratio", "side"), [(64, 2.0, 512), (64, 4.0, 1024), (8, 2.0, 64), (32, 3.0, 768)])
def test_a_bucket_has_the_longest_side_that_its_area_allows(step, ratio, side):
    found = AspectBuckets(step, ratio).sizes(side)
    expected = set()
    for short in range(step, side + 1, step):
        long = max(long for long in range(step, side * side + 1, step) if long * short <= side * side)
        if short <= long <= ratio * short:
            expected |= {(short, long), (long, short)}
    ends = set(found) - expected  # those that reach the ratio with fewer pixels
    assert expected <= set(found) and len(found) == len(expected) + len(ends)
    assert not ends or ends == {found[0], found[-1]}
    for height, width in ends:
        assert max(height, width) // step == int(ratio * min(height, width)) // step
        assert 0.75 * side * side <= height * width <= side * side
    assert [height / width for height, width in found] == sorted(height / width for height, width in found)
    assert (side, side) in found and all((width, height) in found for height, width in found)


@pytest.mark.parametrize(("options", "message"), [
    (dict(step=12), "step must be a multiple of 8"), (dict(step=0), "step must be"), (dict(step=-8), "step must be"),
    (dict(max_ratio=0.5), "max_ratio must be at least 1, .* got 0.5"),
    (dict(enlarge=0.5), "enlarge must be at least 1, or None .* got 0.5")])
def test_options_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        AspectBuckets(**options)


@pytest.mark.parametrize(("resolution", "nearest"), [(500, 512), (32, 64), (544, 512)])
def test_a_resolution_is_a_multiple_of_the_step(resolution, nearest):
    with pytest.raises(ValueError, match=f"multiple of buckets.step, which is 64, got {resolution}; .* {nearest}$"):
        SizedTransforms({}, resolution)


def test_a_picture_takes_the_bucket_that_loses_the_least_of_it():
    buckets, rng = AspectBuckets(64, 2.0), np.random.default_rng(1)
    sizes = buckets.sizes(512)
    for height, width in rng.integers(600, 3000, (300, 2)).tolist():
        size = buckets.size_of((height, width), 512)
        exact = [1 - min(h / height, w / width) / max(h / height, w / width) for h, w in sizes]
        assert exact[sizes.index(size)] == pytest.approx(min(exact), abs=1e-12)
        assert cut_away((height, width), size) == pytest.approx(min(exact), abs=2e-3)  # whole pixels


def test_what_is_cut_away_is_at_most_half_the_way_to_the_next_bucket():
    buckets = AspectBuckets(64, 2.0)
    ratios = [height / width for height, width in buckets.sizes(1024)]
    worst = 1 - math.sqrt(min(low / high for low, high in pairwise(ratios)))
    for ratio in np.geomspace(ratios[0], ratios[-1], 500):
        picture = (round(4000 * math.sqrt(ratio)), round(4000 / math.sqrt(ratio)))
        assert cut_away(picture, buckets.size_of(picture, 1024)) <= worst + 2e-3
    assert worst < 0.09


def test_a_picture_is_enlarged_no_more_than_allowed():
    assert AspectBuckets(64, 2.0).size_of((300, 300), 512) == (512, 512)
    buckets = AspectBuckets(64, 2.0, enlarge=1.0)
    assert buckets.size_of((512, 512), 512) == (512, 512)
    assert buckets.size_of((511, 511), 512) == (448, 448)
    assert AspectBuckets(64, 2.0, enlarge=1.5).size_of((300, 300), 512) == (448, 448)
    with pytest.raises(ValueError, match=r"255x255 .* enlarged 1 times for the .* 256x256; allowed is 1 "):
        buckets.size_of((255, 255), 512)
    rng = np.random.default_rng(2)
    for picture in map(tuple, rng.integers(400, 900, (200, 2)).tolist()):
        size = buckets.size_of(picture, 512)
        assert max(size[0] / picture[0], size[1] / picture[1]) <= 1


@pytest.mark.parametrize("picture", [(30, 50), (50, 30), (33, 47), (7, 100), (64, 64), (96, 80)])
@pytest.mark.parametrize("size", [(64, 64), (48, 80), (80, 48)])
def test_a_covering_picture_keeps_its_shape_to_half_a_pixel(picture, size):
    done = Cover(size)(Picture.of(noise(0, picture[1], picture[0])), no_chance())
    height, width = done.size
    assert (height == size[0] and width >= size[1]) or (width == size[1] and height >= size[0])
    scale = max(size[0] / picture[0], size[1] / picture[1])
    assert abs(height - scale * picture[0]) <= 0.5 and abs(width - scale * picture[1]) <= 0.5


def test_a_circle_in_a_wide_picture_stays_round():
    image = Image.new("RGB", (400, 200), "white")
    ImageDraw.Draw(image).ellipse((140, 40, 259, 159), fill="black")
    transforms = SizedTransforms({"max_ratio": 2.0, "step": 8}, 96, hflip=0.0)
    (size,) = transforms.sizes((200, 400))
    assert size == (64, 128)
    dark = transforms.of(size)(Picture.of(image), no_chance()).image.mean(0).numpy() < 0
    wide, high = np.flatnonzero(dark.any(0)), np.flatnonzero(dark.any(1))
    across = (wide[-1] - wide[0] + 1, high[-1] - high[0] + 1)
    assert abs(across[0] - across[1]) <= 1
    assert across[0] == pytest.approx(120 * 64 / 200, abs=1.5)
    assert dark.sum() == pytest.approx(math.pi * across[0] * across[1] / 4, rel=0.03)


def test_flip_and_crop_are_those_of_the_bucket():
    picture = Picture.of(corners(40, 16))
    made = SizedTransforms({"step": 8, "max_ratio": 2.0}, 32, hflip=1.0).of((24, 40))
    done = made(picture, no_chance())
    assert done.size == (24, 40) and done.crop_top_left == (0, 10) and done.original_size == (16, 40)
    assert done.steps == ("bilinear24x60", "flip", "crop0.10.24x40")
    assert done.image[:, 0, 0].tolist() == [-1, 1, -1] and done.image[:, 0, -1].tolist() == [1, -1, -1]


def test_a_square_bucket_shows_what_the_square_crop_shows():
    picture = Picture.of(noise(3, 50, 40))
    sized = SizedTransforms({"max_ratio": 1, "step": 8}, 32, hflip=0.0).of((32, 32))(picture, no_chance())
    square = default_transforms(32, hflip=0.0)(picture, no_chance())
    assert sized.image.equal(square.image) and sized.crop_top_left == square.crop_top_left


def test_items_have_the_sizes_that_their_shapes_say(photos):
    dataset = concept(photos, hflip=0.5)
    shapes = dataset.item_shapes()
    assert [shape.original for shape in shapes] == [(height, width) for width, height in SHAPES]
    assert len(dataset) == len(shapes) == 6
    for index, shape in enumerate(shapes):
        for seed in range(3):
            item = dataset[Draw(index, seed)]
            assert tuple(item["pixel_values"].shape) == (3, *shape.size)
            assert item["original_size"] == shape.original
    assert sizes_of(dataset)[2] == (32, 32) and set(sizes_of(dataset)) == {(24, 40), (32, 32), (40, 24)}


@pytest.mark.parametrize("keep", [True, False])
def test_pixels_are_the_same_kept_in_memory_or_not_and_at_the_second_start(photos, keep):
    first, second = concept(photos, keep_in_memory=True, hflip=0.5), concept(photos, keep_in_memory=keep, hflip=0.5)
    assert sizes_of(first) == sizes_of(second)
    for index in range(6):
        one, two = first[Draw(index, 5)], second[Draw(index, 5)]
        assert one["pixel_values"].equal(two["pixel_values"]) and one["key"] == two["key"]


def test_the_key_tells_size_flip_and_crop(photos):
    dataset = concept(photos, resolution=[32, 64], hflip=0.5)
    found = {}
    for index in range(len(dataset)):
        for seed in range(12):
            item = dataset[Draw(index, seed)]
            assert found.setdefault(item["key"], item["pixel_values"]).equal(item["pixel_values"])
    assert len(found) == 6 * 2 * 2, "each picture at two resolutions, plain and mirrored"
    assert {dataset.name_of(key) for key in found} == {f"{number}.png" for number in range(6)}


def test_random_crops_are_not_cached(photos):
    keys = [concept(photos, center_crop=False)[index]["key"] for index in range(6)]
    assert [key is None for key in keys] == [cut_away(*shape) > 0 for shape in concept(photos).item_shapes()]


def test_each_picture_is_an_item_at_each_resolution(photos):
    dataset = concept(photos, resolution=[32, 64], repeats=2)
    assert len(dataset) == 6 * 2 * 2
    small, large = concept(photos, resolution=32), concept(photos, resolution=64)
    assert sizes_of(dataset) == sizes_of(small) * 2 + sizes_of(large) * 2
    for index in (1, 7, 13, 23):
        assert tuple(dataset[index]["pixel_values"].shape[1:]) == sizes_of(dataset)[index]
        assert dataset.name_at(index) == f"{index % 6}.png"


def test_prior_pictures_are_cut_to_the_bucket_of_their_instance(photos, tmp_path):
    prior = tmp_path / "prior"
    prior.mkdir()
    for number in range(3):
        noise(50 + number, 48, 48).save(prior / f"{number}.png")
    dataset = concept(photos, class_prompt="a dog", class_data_root=prior)
    for index, size in enumerate(sizes_of(dataset)):
        instance, other = dataset[Draw(index, 3)]
        assert tuple(instance["pixel_values"].shape[1:]) == tuple(other["pixel_values"].shape[1:]) == size
        assert other["original_size"] == (48, 48) and other["is_prior"]
        batch = collate_samples([dataset[Draw(index, seed)] for seed in range(2)])
        assert batch["pixel_values"].shape == (4, 3, *size) and batch["is_prior"].tolist() == [False] * 2 + [True] * 2
        assert batch["original_size"].tolist()[2:] == [[48, 48]] * 2


def test_several_concepts_and_captioned_pictures_have_buckets_too(photos):
    listed = ConceptListDataset(
        [dict(data_root=str(photos), instance_prompt="a dog"), dict(data_root=str(photos), instance_prompt="a cat")],
        resolution=32, buckets={"step": 8})
    assert sizes_of(listed) == sizes_of(concept(photos)) * 2
    for number in range(6):
        (photos / f"{number}.txt").write_text("a photo")
    captioned = ImageTextDataset(photos, resolution=[32, 64], buckets={"step": 8})
    assert sizes_of(captioned) == sizes_of(concept(photos, resolution=[32, 64])) and len(captioned) == 12
    assert all(tuple(captioned[i]["pixel_values"].shape[1:]) == size for i, size in enumerate(sizes_of(captioned)))


def test_drawn_pictures_have_several_shapes_and_their_concept_stays_in_shape():
    dataset = concept("shapes:checked_circle", resolution=64, num_images=10, hflip=0.0)
    assert len({shape.original for shape in dataset.item_shapes()}) == 5
    square = concept("shapes:checked_circle", resolution=64, num_images=10, hflip=0.0, buckets=None)
    assert square.item_shapes() == [] and square[0]["pixel_values"].shape == (3, 64, 64)


def test_small_and_narrow_pictures_are_bad_images(photos):
    noise(1, 12, 9).save(photos / "small.png")
    options = dict(resolution=32, buckets={"step": 8, "enlarge": 1.0})
    with pytest.raises(ValueError, match=r"small\.png: a picture of 9x12 .* \(buckets\.enlarge"):
        concept(photos, **options)
    assert len(concept(photos, bad_images="skip", **options)) < 7
    assert len(concept(photos)) == 7, "without a limit it is enlarged"
    noise(1, 2, 8000).save(photos / "narrow.png")
    with pytest.raises(ValueError, match=r"narrow\.png: a picture of 8000x2 .* is too narrow: where it covers"):
        concept(photos, resolution=512)


@pytest.mark.parametrize(("options", "message"), [
    (dict(transforms=[]), "buckets and transforms cannot both be set"),
    (dict(size_augment=True), "size_augment and buckets cannot both be set"),
    (dict(resolution=[32, 32]), "resolution must be .* several that differ"),
    (dict(resolution=[]), "resolution must be"),
    (dict(resolution=[32, "64"]), "resolution must be a whole number"),
    (dict(resolution=36), "multiple of buckets.step"),
    (dict(resolution=[32, 64], buckets=None), "resolution must be one number .* need buckets"),
    (dict(hflip=2.0), "hflip must be between 0 and 1")])
def test_options_that_do_not_go_together(photos, options, message):
    with pytest.raises(ValueError, match=message):
        concept(photos, **options)


def test_tar_shards_have_no_buckets():
    with pytest.raises(TypeError, match="buckets"):
        TarImageText("x.tar", buckets={})


def test_the_table_of_buckets_and_what_it_warns_of():
    shapes = [ItemShape((512, 512), (512, 512))] * 3 + [ItemShape((200, 400), (384, 640))]
    rows = bucket_rows(shapes)
    lost = 1 - 384 * 640 / (384 * 768)
    assert rows[0] == ("buckets", f"2, height x width; {lost / 4:.1%} of the pictures is cut away on average, "
                                  "by squares it would be 12.5%")
    assert rows[1] == ("  384x640", "1 picture, cut away 16.7%, at most 16.7%; 1 enlarged, up to 1.92 times")
    assert rows[2] == ("  512x512", "3 pictures, cut away 0.0%, at most 0.0%")
    assert bucket_rows([]) == [] and bucket_warnings([], 4) == [] and bucket_warnings(shapes, 1) == []
    (warning,) = bucket_warnings(shapes, 2)
    assert warning.startswith("1 of 2 buckets have fewer pictures than a batch of 2, 1 of them with one alone: 384x640")
    (warning,) = bucket_warnings(shapes, 8)
    assert warning.startswith("2 of 2 buckets") and "512x512 (3)" in warning
