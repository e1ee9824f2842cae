import pytest
import torch

from diffkit.models.noise import InputPerturbation, OffsetNoise, PyramidNoise, WhiteNoise

KINDS = [WhiteNoise(), OffsetNoise(), PyramidNoise(), InputPerturbation()]
LATENTS = torch.zeros(400, 4, 8, 16)


def draw(noise, latents=LATENTS, seed=0):
    return noise(latents, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("noise", KINDS)
def test_shape_dtype_and_determinism(noise):
    latents = torch.zeros(3, 4, 5, 7, dtype=torch.bfloat16)
    first = draw(noise, latents)
    assert first.shape == latents.shape and first.dtype == latents.dtype
    assert torch.equal(first, draw(noise, latents)) and not torch.equal(first, draw(noise, latents, 1))
    noise(latents)


@pytest.mark.parametrize(("noise", "variance"), [
    (WhiteNoise(), 1.0), (OffsetNoise(0.3), 1.09), (PyramidNoise(), 1.0),
    (PyramidNoise(0.5, random_ratio=False), 1.0), (PyramidNoise(levels=1), 1.0), (InputPerturbation(), 1.0)])
def test_mean_and_variance(noise, variance):
    values = torch.stack([draw(noise, seed=seed) for seed in range(4)])
    assert abs(values.mean().item()) < 0.03
    assert values.var().item() == pytest.approx(variance, rel=0.03)


def test_offset_shifts_whole_channels():
    means = draw(OffsetNoise(0.5)).mean((2, 3))
    assert means.var().item() == pytest.approx(0.25 + 1 / 128, rel=0.1)
    plain = torch.randn(400, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(draw(OffsetNoise(0.0)), plain)


def test_pyramid_neighbours_are_correlated():
    def neighbours(noise):
        values = draw(noise)
        return (values[..., 1:] * values[..., :-1]).mean().item()

    assert abs(neighbours(WhiteNoise())) < 0.02
    assert neighbours(PyramidNoise()) > 0.5
    assert torch.equal(draw(PyramidNoise(0.0, random_ratio=False)), draw(WhiteNoise()))


def test_perturbation_enters_the_input_only():
    noise = draw(WhiteNoise())
    for kind in KINDS[:3]:
        assert kind.perturb(noise) is noise
    more = InputPerturbation(0.5).perturb(noise, generator=torch.Generator().manual_seed(1)) - noise
    assert more.var().item() == pytest.approx(0.25, rel=0.03)


def test_perturbation_of_another_kind():
    built = InputPerturbation(0.1, noise=dict(type="OffsetNoise", strength=0.3))
    assert torch.equal(draw(built), draw(OffsetNoise(0.3)))


def test_bad_parameters_are_named():
    with pytest.raises(ValueError, match="strength must be 0 or more, not -1"):
        OffsetNoise(-1)
    with pytest.raises(ValueError, match=r"discount must be in \[0, 1\], not 2"):
        PyramidNoise(2)
    with pytest.raises(ValueError, match="levels must be 1 or more, not 0"):
        PyramidNoise(levels=0)
