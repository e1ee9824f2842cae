"""The loss over the part of a picture that shows something, and the weight of the prior beside it."""

import pytest
import torch
from torch.nn import functional

from diffkit.models import Denoising, HuberLoss, LatentDiffusion, MSELoss
from diffkit.models.losses import masked_losses


@pytest.fixture
def sample():
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 3, 4, 6, 6, generator=generator)
    mask = torch.zeros(3, 1, 6, 6, dtype=torch.bool)
    mask[0, 0, 2, 3], mask[1, 0, 1:4, 2:] = True, True
    mask[2] = True
    return prediction, target, mask


@pytest.mark.parametrize("loss", [MSELoss(), HuberLoss(0.3)])
def test_it_is_the_mean_inside_the_mask(sample, loss):
    prediction, target, mask = sample
    found = masked_losses(loss, mask, prediction, target)
    for i in range(3):
        inside = mask[i, 0]
        expected = loss(prediction[i][:, inside][None], target[i][:, inside][None])[0]
        assert found[i].item() == pytest.approx(expected.item(), rel=1e-5)
    assert found[2].item() == pytest.approx(loss(prediction, target)[2].item(), rel=1e-6)


def test_no_gradient_comes_from_outside(sample):
    prediction, target, mask = sample
    prediction = prediction.clone().requires_grad_()
    masked_losses(MSELoss(), mask, prediction, target).sum().backward()
    assert torch.equal(prediction.grad.abs().sum(1, keepdim=True) > 0, mask)


def test_the_balance_of_the_reference(sample):
    """Its sum over four channels is divided by a mask of one: 4 times the mean. 0.25 of the prior is its 1."""
    prediction, target, mask = sample
    squared = functional.mse_loss(prediction, target, reduction="none")
    instance = ((squared * mask)[:2].sum([1, 2, 3]) / mask[:2].sum([1, 2, 3])).mean()
    reference = instance + 1.0 * squared[2:].mean()
    step = type("Step", (), dict(prediction=prediction, target=target, mask=mask, sample_weight=torch.ones(3),
                                 is_prior=torch.tensor([False, False, True])))()
    assert 4 * Denoising().compare(step, 0.25).item() == pytest.approx(reference.item(), rel=1e-5)


def test_the_model_learns_from_the_box_alone(sd_folder):
    """What the prediction is outside a picture's box makes no difference to its loss."""
    model = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(sd_folder),
                            tuners={"kv": {"type": "CrossAttentionTuner"}})
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    boxes = torch.tensor([[8, 4, 12, 12], [0, 0, 32, 32]])
    batch = {"pixel_values": pixels, "prompt": ["a cat", "a dog"], "content_box": boxes}
    step = model.objective.prepare(model, batch)
    assert step.mask.shape == (2, 1, 16, 16) and step.mask[1].all()
    assert step.mask[0].nonzero().tolist() == [[0, y, x] for y in range(5, 9) for x in range(3, 7)]
    step.prediction = torch.zeros_like(step.target)
    before = model.objective.compare(step, 1.0)
    step.prediction = torch.where(step.mask, step.prediction, torch.full_like(step.prediction, 9.0))
    assert torch.equal(model.objective.compare(step, 1.0), before)
    assert torch.isfinite(model(**batch)["loss_denoising"])
    step = model.objective.prepare(model, {key: value for key, value in batch.items() if key != "content_box"})
    assert step.mask is None
