"""Similarity to a reference model's pictures, and diversity."""

import itertools

import numpy as np
import pytest
from PIL import Image

from diffkit.evaluation import psnr, ssim
from diffkit.evaluation.encoders import ClipEncoder
from diffkit.evaluation.lpips import Lpips, LpipsNetwork
from diffkit.registry import METRICS
from diffkit.utils.images import save_png
from tests.evaluation.judges import pictures, save_clip, save_lpips


@pytest.fixture(scope="module")
def lpips_file(tmp_path_factory):
    return str(save_lpips(tmp_path_factory.mktemp("judges") / "lpips.safetensors"))


def test_pictures_are_found_by_prompt_and_seed(tmp_path, lpips_file):
    references, made = pictures(3, (64, 80)), pictures(3, (64, 80), seed=1)
    for number, image in enumerate(references):
        save_png(Image.fromarray(image), tmp_path / f"{9 - number}.png", {"prompt": f"p{number % 2}", "seed": number})
    Image.fromarray(made[0]).save(tmp_path / "grid.png")
    for name, about in (("a", {"prompt": "p", "seed": None}), ("b", {"prompt": ["p"], "seed": 1})):
        save_png(Image.fromarray(made[0]), tmp_path / f"{name}.png", about)  # of another program
    metric = METRICS.build({"type": "ReferenceSimilarity", "pictures": str(tmp_path), "lpips_weights": lpips_file,
                            "device": "cpu"})
    metric.process(None, [{"image": image, "prompt": f"p{number % 2}", "seed": np.int64(number)}
                          for number, image in enumerate(made)])
    result = metric.evaluate(3)
    for name, measure in (("psnr", psnr), ("ssim", ssim)):
        values = [measure(a, b) for a, b in zip(references, made, strict=True)]
        assert result[f"reference/{name}"] == pytest.approx(np.mean(values))
        assert result[f"reference/{name}_se"] == pytest.approx(np.std(values, ddof=1) / 3**0.5)
    assert result["reference/lpips"] == pytest.approx(
        Lpips(lpips_file, device="cpu")(references, made).mean(), rel=1e-5)
    with pytest.raises(ValueError, match="none of 3 reference pictures has the prompt 'p0' and the seed 1"):
        metric.process(None, [{"image": made[0], "prompt": "p0", "seed": 1}])
    with pytest.raises(ValueError, match="80 x 64 pixels, the picture to compare 40 x 64"):
        metric.process(None, [{"image": made[0][:, :40], "prompt": "p0", "seed": 0}])
    with pytest.raises(ValueError, match="holds no PNG files"):
        METRICS.build({"type": "ReferenceSimilarity", "pictures": str(tmp_path / "none")})


def test_diversity_is_the_mean_distance_within_prompts(tmp_path, lpips_file):
    images = pictures(4, (64, 80))
    samples = [{"image": image, "prompt": prompt} for image, prompt in zip(images, "aaab", strict=True)]
    clip = str(save_clip(tmp_path / "clip"))
    vectors = ClipEncoder(clip, "cpu").images(images)
    metric = METRICS.build({"type": "Diversity", "distance": "clip", "weights": clip, "device": "cpu"})
    metric.process(None, samples)
    expected = np.mean([1 - vectors[i] @ vectors[j] for i, j in ((0, 1), (0, 2), (1, 2))])
    assert metric.evaluate(4) == {
        "diversity/clip": pytest.approx(expected, abs=1e-6), "diversity/clip_se": 0.0, "diversity/clip_n": 1}
    metric = METRICS.build({"type": "Diversity", "weights": lpips_file, "device": "cpu"})
    metric.process(None, samples)
    firsts, seconds = [images[0], images[0], images[1]], [images[1], images[2], images[2]]
    assert metric.evaluate(4)["diversity/lpips"] == pytest.approx(
        Lpips(lpips_file, device="cpu")(firsts, seconds).mean(), rel=1e-5)
    same = METRICS.build({"type": "Diversity", "weights": lpips_file, "device": "cpu"})
    same.process(None, [samples[0], samples[0]])
    assert same.evaluate(2)["diversity/lpips"] == 0.0


@pytest.mark.parametrize("n", [2, 5])
def test_lpips_of_all_pairs_asks_the_network_once_for_each_picture(lpips_file, monkeypatch, n):
    lpips, images = Lpips(lpips_file, device="cpu"), pictures(n, (64, 80))
    firsts, seconds = zip(*itertools.combinations(images, 2), strict=True)
    wanted = lpips(firsts, seconds).mean()
    calls, features = [], LpipsNetwork.features
    monkeypatch.setattr(LpipsNetwork, "features", lambda self, x: calls.append(x) or features(self, x))
    assert lpips.mean_distance(images) == pytest.approx(wanted, rel=1e-5)
    assert len(calls) == n
    assert lpips.mean_distance([images[0]] * n) == 0.0
    with pytest.raises(ValueError, match=r"two or more of one size, got 2 of \[\(40, 64\), \(80, 64\)\]"):
        lpips.mean_distance([images[0], images[0][:, :40]])
