"""The size augmentation: how large a picture is shown, where, what is said of it, and which latents count."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffkit.datasets import CenterSquare, ConceptDataset, Draw, SizeAugment, collate_samples
from diffkit.datasets.transforms import Picture
from diffkit.models.losses import content_mask
from tests.datasets.pictures import folder_of, noise


def white(side):
    return Picture.of(Image.new("RGB", (side, side), (255, 255, 255)))


@pytest.mark.parametrize("size", [16, 64, 512])
def test_scales_come_as_often_as_they_should(size):
    augment = SizeAugment(size)
    sides = np.array([augment.draw_side(np.random.default_rng(seed)) for seed in range(4000)])
    small = sides <= size
    assert abs(small.mean() - 0.66) < 4 * (0.66 * 0.34 / 4000) ** 0.5
    assert sides[small].min() == size // 3 and sides[small].max() == size
    assert sides[~small].min() == int(1.2 * size) and sides[~small].max() == int(1.4 * size) - 1
    assert abs(np.median(sides[small]) - (size // 3 + size) / 2) < 0.03 * size + 1  # each as likely


def test_the_words_follow_the_scale():
    augment = SizeAugment(100)
    for side, words in ((33, {"a far away ", "very small "}), (59, {"a far away ", "very small "}), (60, {""}),
                        (100, {""}), (101, {"zoomed in ", "close up "}), (139, {"zoomed in ", "close up "})):
        assert {augment.prefix(side, np.random.default_rng(seed)) for seed in range(30)} == words
    assert SizeAugment(100, far=()).prefix(33, np.random.default_rng(0)) == ""


def test_the_box_is_where_the_picture_is():
    augment = SizeAugment(32)
    kinds = set()
    for seed in range(60):
        shown = augment(white(44), np.random.default_rng(seed))
        top, left, height, width = shown.extra["content_box"].tolist()
        pixels = np.asarray(shown.image)
        assert pixels.shape == (32, 32, 3) and height == width
        inside = np.zeros((32, 32), bool)
        inside[top:top + height, left:left + width] = True
        assert (pixels[inside] == 255).all() and (pixels[~inside] == 127).all()
        assert shown.key("digest") is None and shown.original_size == (44, 44)
        kinds.add((height == 32, shown.crop_top_left == (0, 0)))
        again = augment(white(44), np.random.default_rng(seed))
        assert again.steps == shown.steps and torch.equal(again.extra["content_box"], shown.extra["content_box"])
    assert len(kinds) >= 2, "all draws were of one kind: the test is void"


def test_a_large_scale_cuts_out_what_it_says():
    picture = Picture.of(noise(0, 16, 16))
    shown = SizeAugment(16, probability=0)(picture, np.random.default_rng(1))
    side = int(shown.steps[-1].removeprefix("scale").split(".")[0])
    top, left = shown.crop_top_left
    large = picture.image.resize((side, side), Image.Resampling.BILINEAR)
    assert side > 16 and shown.extra["content_box"].tolist() == [0, 0, 16, 16]
    assert shown.image.tobytes() == large.crop((left, top, left + 16, top + 16)).tobytes()


def test_the_middle_square_and_no_larger_than_needed():
    picture = Picture.of(noise(0, 20, 12))
    wide = CenterSquare()(picture, np.random.default_rng(0))
    assert wide.image.tobytes() == picture.image.crop((0, 4, 12, 16)).tobytes() or wide.size == (12, 12)
    assert CenterSquare(8)(picture, np.random.default_rng(0)).size == (8, 8)
    assert CenterSquare(30)(picture, np.random.default_rng(0)).size == (12, 12)  # small pictures stay sharp
    with pytest.raises(ValueError, match=r"square picture is needed, got .* put CenterSquare before"):
        SizeAugment(8)(picture, np.random.default_rng(0))


def boxed(top, left, side, pixels=64, cells=8):
    return content_mask(torch.tensor([[top, left, side, side]]), (pixels, pixels), (cells, cells))[0, 0]


def test_the_mask_loses_one_latent_on_every_side():
    mask = boxed(8, 16, 40)
    expected = torch.zeros(8, 8, dtype=torch.bool)
    expected[2:5, 3:6] = True  # cells 1 to 5 and 2 to 6, less one at each end
    assert torch.equal(mask, expected)
    assert boxed(0, 0, 64).all()
    reference = torch.zeros(64, 64, dtype=torch.bool)  # the rule of the reference, at 512 pixels
    top, left, side, factor = 101, 37, 300, 8
    reference[top // factor + 1:(top + side) // factor - 1, left // factor + 1:(left + side) // factor - 1] = True
    assert torch.equal(boxed(top, left, side, 512, 64), reference)


@pytest.mark.parametrize("pixels, cells", [(64, 8), (32, 4), (16, 8), (16, 2), (8, 1)])
def test_no_mask_is_empty(pixels, cells):
    """Where the reference has none it divides by zero, at 32 pixels in every third picture."""
    empty = 0
    for side in range(max(1, pixels // 3), pixels + 1):
        for place in range(pixels - side + 1):
            mask = boxed(place, 0, side, pixels, cells)
            assert mask.any(), (side, place)
            factor = pixels // cells
            empty += place // factor + 1 >= (place + side) // factor - 1
            lit = mask.nonzero().float().mean(0) * factor + factor / 2
            assert abs(lit[0] - (place + side / 2)) <= 1.5 * factor  # it lies where the picture lies
    assert empty > 0, "the rule of the reference leaves none empty here: the test is void"


def test_a_concept_at_all_sizes(tmp_path):
    dataset = ConceptDataset(
        folder_of(tmp_path / "a", 2, 24, 24), "a photo of a {}", placeholder="<new1>", size_augment=True, resolution=16,
        class_data_root=folder_of(tmp_path / "b", 2), class_prompt="a cat", hflip=0.5, caption_dropout=0.2)
    assert dataset.summary().split(";")[1] == " cut or scaled at random, so their latents are not cached"
    pairs = [dataset[Draw(0, seed)] for seed in range(100)]
    assert {instance["prompt"] for instance, _ in pairs} == {"", "a photo of a <new1>"} | {
        f"{words} photo of a <new1>" for words in ("a far away", "very small", "zoomed in", "close up")}
    assert all("caption_prefix" not in sample for pair in pairs for sample in pair)
    assert all(instance["key"] is None and prior["key"] is not None for instance, prior in pairs)
    batch = collate_samples(pairs[:4])
    assert batch["content_box"].shape == (8, 4)
    assert batch["content_box"][4:].tolist() == [[0, 0, 16, 16]] * 4  # prior pictures fill theirs
    assert batch["pixel_values"].shape == (8, 3, 16, 16)
    plain = ConceptDataset(tmp_path / "a", "a cat", resolution=16)
    assert "content_box" not in collate_samples([plain[0]]) and "not cached" not in plain.summary()
    with pytest.raises(ValueError, match="put SizeAugment into transforms instead"):
        ConceptDataset(tmp_path / "a", "a cat", size_augment=True, transforms=[CenterSquare(16)])


@pytest.mark.parametrize("make, message", [
    (lambda: SizeAugment(0), "size must be a whole number of pixels"),
    (lambda: SizeAugment(8, probability=2), "probability must be between 0 and 1, got 2"),
    (lambda: SizeAugment(8, interpolation="x"), "interpolation must be one of"),
    (lambda: CenterSquare(-1), "limit must be a whole number of pixels"),
])
def test_mistakes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
