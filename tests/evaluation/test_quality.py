"""FID, KID, inception score and LPIPS: formulas against their definitions, networks against their own programs."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm

from diffkit.evaluation.distributions import (
    frechet_distance,
    inception_scores,
    kernel_distance,
    kernel_distances,
    moments,
)
from diffkit.evaluation.inception import Inception, resize_between_corners
from diffkit.evaluation.lpips import Lpips, LpipsNetwork
from diffkit.evaluation.weights import MetricWeightsError
from diffkit.registry import METRICS
from tests.evaluation.judges import pictures, save_inception, save_lpips


def features(n, seed, shift=0.0, width=6):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1.0, (n, width)) @ rng.normal(0, 0.5, (width, width))


def test_frechet_distance_is_its_definition():
    first, second = moments(features(60, 0)), moments(features(50, 1, 0.5))
    root = sqrtm(first[1] @ second[1]).real
    expected = ((first[0] - second[0]) ** 2).sum() + np.trace(first[1] + second[1] - 2 * root)
    assert frechet_distance(*first, *second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(*first, *first) == pytest.approx(0.0, abs=1e-8)
    # two isotropic normal distributions: |m|² + d (s1 - s2)²
    assert frechet_distance(np.zeros(4), np.eye(4), np.ones(4), 9 * np.eye(4)) == pytest.approx(4 + 4 * 4)
    few = moments(features(3, 2, width=6))  # singular: three pictures, six features
    assert frechet_distance(*few, *few) == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(ValueError, match="two pictures or more"):
        moments(np.zeros((1, 4)))


def test_kernel_distance_is_its_definition():
    x, y = features(7, 0), features(5, 1, 0.5)
    k = lambda a, b: (a @ b / 6 + 1) ** 3  # noqa: E731
    within = [np.mean([k(a, b) for i, a in enumerate(v) for j, b in enumerate(v) if i != j]) for v in (x, y)]
    across = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(sum(within) - 2 * across)
    whole = kernel_distances(x[:5], y, subsets=3, size=5)
    assert whole == pytest.approx([kernel_distance(x[:5], y)] * 3)
    with pytest.raises(ValueError, match="subset_size must be between 2 and the 5 pictures"):
        kernel_distances(x, y, 3, 6)


def test_inception_score_is_its_definition():
    logits = np.random.default_rng(0).normal(0, 2, (20, 7))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = []
    for part in (chances[:10], chances[10:]):
        mean = part.mean(0)
        expected.append(np.exp(np.mean([(p * np.log(p / mean)).sum() for p in part])))
    assert inception_scores(logits, 2, seed=None) == pytest.approx(expected)
    assert inception_scores(np.zeros((8, 5)), 2) == pytest.approx([1.0, 1.0])  # unsure of everything
    sure = np.tile(np.eye(5) * 50, (4, 1))
    assert inception_scores(sure, 1) == pytest.approx([5.0])  # sure, and each class as often
    with pytest.raises(ValueError, match="between 1 and the 20 pictures"):
        inception_scores(logits, 21)


def test_resizing_between_corners():
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 2, 4)
    found = resize_between_corners(ramp, 8)
    assert found[0, 0, 0].tolist() == [0, 0.5, 1, 1.5, 2, 2.5, 3, 3] and found.shape == (1, 1, 8, 8)


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    return str(save_inception(tmp_path_factory.mktemp("judges") / "inception.safetensors"))


@pytest.mark.slow
def test_quality_of_a_set(inception, tmp_path):
    for number, image in enumerate(pictures(3, seed=5)):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    made = pictures(3)
    options = {"type": "InceptionQuality", "weights": inception, "subset_size": 3, "subsets": 2, "splits": 1,
               "device": "cpu"}
    metric = METRICS.build({**options, "real": str(tmp_path)})
    metric.process(None, [{"image": image} for image in made])
    network = metric.inception
    (own, logits), (real, _) = network(made), network(pictures(3, seed=5))
    result = metric.evaluate(3)
    assert result["quality/fid"] == pytest.approx(frechet_distance(*moments(own), *moments(real)), rel=1e-6)
    assert result["quality/kid"] == pytest.approx(kernel_distance(real, own), rel=1e-6)
    assert result["quality/kid_std"] == pytest.approx(0.0, abs=1e-9)  # each subset is the whole
    assert result["quality/inception_score"] == pytest.approx(inception_scores(logits, 1)[0])
    mean, covariance = moments(real)
    np.savez(tmp_path / "real.npz", mu=mean, sigma=covariance)
    again = METRICS.build({**options, "real": str(tmp_path / "real.npz")})
    again.results = metric_results(own, logits)
    assert again.evaluate(3)["quality/fid"] == pytest.approx(result["quality/fid"], rel=1e-6)


def metric_results(own, logits):
    return list(zip(own, logits, strict=True))


@pytest.mark.slow
def test_the_inception_network_is_that_of_torch_fidelity(inception, tmp_path):
    module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3", reason="needs torch-fidelity")
    from safetensors.torch import load_file

    torch.save(load_file(inception), tmp_path / "inception.pth")
    theirs = module.FeatureExtractorInceptionV3(
        "inception", ["2048", "logits_unbiased"], feature_extractor_weights_path=str(tmp_path / "inception.pth"))
    images = pictures(2, (64, 80))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2))
    found = Inception(inception, "torch-fidelity", "cpu")(images)
    for own, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(own, other.numpy(), atol=1e-4, rtol=1e-4)


@pytest.mark.slow
def test_features_are_those_of_pytorch_fid(inception):
    module = pytest.importorskip("pytorch_fid.inception", reason="needs pytorch-fid and torchvision")
    from safetensors.torch import load_file

    whole = module._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    whole.Mixed_5b = module.FIDInceptionA(192, pool_features=32)
    whole.Mixed_5c = module.FIDInceptionA(256, pool_features=64)
    whole.Mixed_5d = module.FIDInceptionA(288, pool_features=64)
    for name, channels in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        setattr(whole, f"Mixed_{name}", module.FIDInceptionC(768, channels_7x7=channels))
    whole.Mixed_7b, whole.Mixed_7c = module.FIDInceptionE_1(1280), module.FIDInceptionE_2(2048)
    whole.load_state_dict(load_file(inception))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fid_inception_v3", lambda: whole)
        theirs = module.InceptionV3([3]).eval()
    images = pictures(2, (64, 80))
    with torch.no_grad():
        expected = theirs(torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255)[0][..., 0, 0]
    found, _ = Inception(inception, "pytorch-fid", "cpu")(images)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("net", ["alex", "vgg"])
def test_lpips_is_that_of_its_package(net, tmp_path):
    if "lpips" not in sys.modules:
        pytest.importorskip("torchvision", reason="needs lpips and torchvision")
    lpips = pytest.importorskip("lpips", reason="needs lpips")
    from safetensors.torch import save_file

    torch.manual_seed(0)
    theirs = lpips.LPIPS(net=net, pretrained=False, pnet_rand=True, verbose=False).eval()
    for name, value in theirs.state_dict().items():
        if name.startswith("lin"):
            value.abs_()
    save_file({name: value.clone() for name, value in theirs.state_dict().items()}, tmp_path / "w.safetensors")
    first, second = pictures(2, (64, 80))
    as_tensor = lambda image: torch.from_numpy(image).permute(2, 0, 1)[None].float() / 127.5 - 1  # noqa: E731
    with torch.no_grad():
        expected = theirs(as_tensor(first), as_tensor(second)).item()
    found = Lpips(str(tmp_path / "w.safetensors"), net, "cpu")([first, first], [second, first])
    assert found[0] == pytest.approx(expected, abs=1e-4, rel=1e-4) and found[1] == 0


def test_lpips_is_its_formula(tmp_path):
    ours = Lpips(str(save_lpips(tmp_path / "w.safetensors")), device="cpu")
    first, second = pictures(2, (64, 80))
    network = ours.network
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, y = ((torch.from_numpy(image).float() / 127.5 - 1 - shift) / scale for image in (first, second))
    stacked = torch.stack([x, y]).permute(0, 3, 1, 2)
    total = 0.0
    for number, row in enumerate(network.net.values()):
        for layer in row.values():
            stacked = layer(stacked)
            stacked = stacked.relu() if isinstance(layer, torch.nn.Conv2d) else stacked
        unit = stacked / (stacked.norm(dim=1, keepdim=True) + 1e-10)
        weights = network.get_submodule(f"lin{number}.model.1").weight[0, :, 0, 0]
        total += ((unit[0] - unit[1]) ** 2 * weights[:, None, None]).sum(0).mean().item()
    assert ours([first], [second])[0] == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("build", "message"), [
    (lambda folder: Lpips(str(folder / "no.safetensors")), "LPIPS: weights=.* is no file. It holds both"),
    (lambda folder: Lpips(str(folder / "half.safetensors")), r"not fit \(1 faults\): lin1.model.1.weight is missing"),
    (lambda folder: Lpips("x", net="squeeze"), "net must be one of alex, vgg"),
    (lambda folder: Inception(str(folder / "no.pth")), "Fetch pt_inception-2015-12-05"),
    (lambda folder: Inception(str(folder / "a.pth")), "Give allow_pickle=True"),
    (lambda folder: Inception(str(folder / "page.safetensors")), r"page\.safetensors' cannot be read"),
    (lambda folder: Inception(str(folder / "page.pth"), allow_pickle=True), r"page\.pth' cannot be read"),
    (lambda folder: Inception(str(folder / "code.pth"), allow_pickle=True), r"code\.pth' cannot be read"),
    (lambda folder: Inception(str(folder / "list.pth"), allow_pickle=True), r"list\.pth' holds no tensors by name"),
    (lambda folder: Inception("x", "other"), "preprocessing must be one of"),
    (lambda folder: METRICS.build({"type": "InceptionQuality", "weights": "x", "real": str(folder / "none")}),
     "neither a folder of real pictures"),
    (lambda folder: METRICS.build({"type": "InceptionQuality", "weights": "x", "real": str(folder / "few")}),
     "holds 2 pictures, and subset_size is 1000"),
    (lambda folder: METRICS.build({"type": "InceptionQuality", "weights": "x", "real": str(folder / "other.npz")}),
     r"other.npz' has no 'mu' of \[2048\]"),
    (lambda folder: METRICS.build({"type": "InceptionQuality", "weights": "x", "real": str(folder / "page.npz")}),
     r"page.npz' cannot be read"),
    (lambda folder: METRICS.build({"type": "Diversity", "distance": "colour"}), "distance must be one of")])
def test_what_is_missing_is_named(build, message, tmp_path):
    from safetensors.torch import save_file

    network = LpipsNetwork()
    save_file({name: value for name, value in network.state_dict().items() if name != "lin1.model.1.weight"},
              tmp_path / "half.safetensors")
    torch.save({}, tmp_path / "a.pth")
    (tmp_path / "few").mkdir()
    for number, image in enumerate(pictures(2)):
        Image.fromarray(image).save(tmp_path / "few" / f"{number}.png")
    np.savez(tmp_path / "other.npz", mu=np.zeros(64), sigma=np.zeros((64, 64)))
    for name in ("page.safetensors", "page.pth", "page.npz"):  # what a browser saves in the place of a file
        (tmp_path / name).write_text("<!DOCTYPE html><html><body>Not found</body></html>")
    torch.save(network, tmp_path / "code.pth")
    torch.save([torch.zeros(2)], tmp_path / "list.pth")
    with pytest.raises((MetricWeightsError, ValueError), match=message):
        build(tmp_path)
