"""gradient_checkpointing='auto': what is kept is counted, and the first step decides by the memory that is free."""

import pytest
import torch

from diffkit.models import activations
from diffkit.models.activations import free_memory
from tests.faults.training import small_model
from tests.models.test_latent_diffusion import batch, build

PLENTY = 10**12


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("small") / "sd")


def gradients(folder, policy, **options):
    torch.manual_seed(0)
    model = build(folder, gradient_checkpointing=policy, **options)
    torch.manual_seed(1)
    model(**batch())["loss_denoising"].backward()
    drawn = torch.randn(3)  # the generators stand where they would stand
    return model, [parameter.grad for parameter in model.trainable_parameters().values()], drawn


@pytest.mark.parametrize(("free", "checkpointing", "said"), [
    (PLENTY, False, "is off: activations of a step take 0.0"),
    (1000, True, "is on: activations of a step take more than the 0.00 GB"),
    (None, True, "is on: the system does not say"),
])
def test_memory_decides_and_the_gradients_are_the_same(small, monkeypatch, free, checkpointing, said):
    monkeypatch.setattr(activations, "free_memory", lambda device: free)
    told = []
    monkeypatch.setattr(activations, "print_log", lambda text, *args: told.append(text))
    tuners = {"unet": {"type": "LoRATuner", "rank": 2, "dropout": 0.3}}
    model, found, drawn = gradients(small, "auto", tuners=tuners)
    assert model.unet.is_gradient_checkpointing is checkpointing
    assert len(told) == 1 and said in told[0]
    _, expected, expected_draw = gradients(small, checkpointing, tuners=tuners)
    assert all(map(torch.equal, found, expected))
    assert torch.equal(drawn, expected_draw)
    model(**batch())
    assert len(told) == 1


def test_the_limit_is_what_is_kept(small, monkeypatch):
    """With room for some bytes more than what was counted it stays off, with some less it goes on."""
    counted = []
    monkeypatch.setattr(activations, "_tell", lambda counter, free, budget: counted.append(counter.bytes))
    for spare, on in ((PLENTY, False), (8, False), (-8, True)):
        model = build(small, gradient_checkpointing="auto")
        trained = sum(value.nbytes for value in model.trainable_parameters().values())
        needed = (counted[0] if counted else 0) + spare + activations._LATER * trained
        monkeypatch.setattr(activations, "free_memory", lambda device, needed=needed: needed * 5 // 4)
        torch.manual_seed(1)
        model(**batch())
        assert model.unet.is_gradient_checkpointing is on


def test_only_a_pass_with_gradients_decides(small, monkeypatch):
    monkeypatch.setattr(activations, "free_memory", lambda device: 0)
    model = build(small, gradient_checkpointing="auto")
    with torch.no_grad():
        model(**batch())
    assert not model.unet.is_gradient_checkpointing
    model(**batch())
    assert model.unet.is_gradient_checkpointing


def test_mistakes_are_named(small):
    with pytest.raises(ValueError, match="gradient_checkpointing is 'sometimes'; allowed: True, False, 'auto'"):
        build(small, gradient_checkpointing="sometimes")
    with pytest.raises(ValueError, match="'auto' would let a quantised UNet see its first batch twice"):
        build(small, gradient_checkpointing="auto", quantizer={"type": "QATQuantizer"})


def test_this_machine_says_what_is_free():
    free = free_memory(torch.device("cpu"))
    assert free is None or 10**6 < free < 10**14
