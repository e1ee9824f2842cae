"""Teachers that need less memory: weights that wait elsewhere, outputs from a bank; and the counter that proves it."""

import pytest
import torch

from diffkit.evaluation.memory import PeakBytes
from diffkit.models import LatentDiffusion
from diffkit.models.offload import OffloadedWeights

OUTPUT = {"loss_output": {"weight": 0.5}}
BOTH = {**OUTPUT, "loss_feature": {"weight": 0.25, "pairs": "sd_small"}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))


def build(folder, objective=None, tuners=None, **distiller):
    torch.manual_seed(0)
    return LatentDiffusion(
        family={"type": "StableDiffusion"}, pretrained=str(folder), objective=objective,
        tuners=tuners or {"unet": {"type": "FullTuner"}},
        distiller={"type": "DenoiserDistiller", "objectives": OUTPUT, **distiller})


def batch(size=2, **fields):
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.rand(size, 3, 32, 32, generator=generator) * 2 - 1,
            "prompt": ["a photo of a dog"] * size, "key": [f"picture {i}" for i in range(size)], **fields}


def shaken(model):
    torch.manual_seed(1)
    for parameter in model.trainable_parameters().values():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.05)
    return model


def run(model, seed=5, **fields):
    torch.manual_seed(seed)
    return model(**batch(**fields))


# --- weights that wait elsewhere


@pytest.mark.parametrize("place", ["cpu", "disk"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_teacher_whose_weights_wait_says_the_same_bit_for_bit(sd_folder, place, dtype):
    near = shaken(build(sd_folder, objectives=BOTH, dtype=dtype))
    far = shaken(build(sd_folder, objectives=BOTH, dtype=dtype, offload=place))
    ours, theirs = run(near), run(far)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours) and ours["loss_feature"] > 0
    assert near.frozen_digest() == far.frozen_digest()
    teacher = far.distiller._teacher
    assert sum(parameter.numel() for parameter in teacher.unet.parameters()) == 0  # between two runs it holds nothing
    assert 0 < far.distiller.resident_bytes < near.distiller.resident_bytes / 10
    assert run(far)["loss_output"].item() == theirs["loss_output"].item()


def test_the_file_of_the_weights_goes_with_the_teacher(sd_folder, tmp_path):
    model = build(sd_folder, offload="disk")
    waiting = tmp_path / "cache" / "offloaded"
    assert len(list(waiting.rglob("*.safetensors"))) == 1
    model.distiller._teacher = None
    assert list(waiting.iterdir()) == []


def test_a_layer_that_fails_gives_its_weights_back():
    layer = torch.nn.Linear(3, 2).requires_grad_(False)
    weights = OffloadedWeights(layer, "cpu")
    with pytest.raises(RuntimeError):
        layer(torch.zeros(1, 5))
    assert layer.weight.numel() == 0 and weights["weight"].shape == (2, 3)
    assert torch.equal(layer(torch.ones(1, 3))[0], weights["weight"].sum(1) + weights["bias"])


def test_the_teacher_paints_while_its_weights_wait(sd_folder):
    near, far = build(sd_folder), build(sd_folder, offload="disk")
    pictures = []
    for model in (near, far):
        with model.teacher_shown():
            pictures.append(model.generate(["a dog"], seeds=[1], num_inference_steps=2)[0].tobytes())
    assert pictures[0] == pictures[1]


# --- a bank


FIXED = {"type": "Denoising", "fixed_draws": 2}


def banked(sd_folder, tmp_path, **options):
    return build(sd_folder, **{"objective": FIXED, "bank": str(tmp_path / "bank"), **options})


def test_a_few_draws_are_fixed_and_follow_from_the_key(sd_folder):
    model, other = build(sd_folder, objective=FIXED), build(sd_folder, objective=FIXED)
    seen = {}
    for seed in range(12):
        torch.manual_seed(seed)
        step = model.objective.prepare(model, batch())
        torch.manual_seed(seed)
        again = other.objective.prepare(other, batch())
        assert torch.equal(step.noisy_latents, again.noisy_latents) and torch.equal(step.noise, again.noise)
        for i in range(2):
            seen.setdefault(i, set()).add((step.noisy_latents[i].numpy().tobytes(), int(step.timesteps[i])))
    assert len(seen[0]) == len(seen[1]) == 2 and not seen[0] & seen[1]
    with pytest.raises(ValueError, match="fixed_draws needs pictures that come again"):
        model(**batch(key=[None, "a"]))


def test_a_bank_gives_what_the_teacher_would_say_and_lets_it_go(sd_folder, tmp_path):
    plain = shaken(build(sd_folder, objective=FIXED))
    first = shaken(banked(sd_folder, tmp_path))
    wanted = [run(plain, seed)["loss_output"].item() for seed in range(4)]
    assert [run(first, seed)["loss_output"].item() for seed in range(4)] == pytest.approx(wanted, rel=1e-5)
    assert first.distiller.resident_bytes > 0  # it was asked
    first.distiller.bank.flush()
    second = shaken(banked(sd_folder, tmp_path))
    second.distiller.bank._load = None  # cannot be asked
    again = [run(second, seed)["loss_output"].item() for seed in range(4)]
    assert again == [run(first, seed)["loss_output"].item() for seed in range(4)]
    assert second.distiller.resident_bytes == 0 and 2 < len(second.distiller.bank) == len(first.distiller.bank) <= 4
    terms = run(second)
    sum(terms.values()).backward()
    assert all(value.grad.any() for value in second.trainable_parameters().values())


def test_other_prompts_and_other_teachers_find_nothing(sd_folder, tmp_path):
    first = banked(sd_folder, tmp_path)
    run(first, 0)
    first.distiller.bank.flush()
    count = len(first.distiller.bank)
    run(first, 0, prompt=["a cat", "a photo of a dog"])
    assert len(first.distiller.bank) == count + 1
    other = banked(sd_folder, tmp_path, dtype="bfloat16")
    assert len(other.distiller.bank) == 0
    assert first.frozen_digest() != other.frozen_digest()
    assert len(list((tmp_path / "bank").iterdir())) == 2


def test_damaged_files_are_made_again(sd_folder, tmp_path):
    first = shaken(banked(sd_folder, tmp_path))
    wanted = run(first, 0)["loss_output"].item()
    first.distiller.bank.flush()
    (file,) = (tmp_path / "bank").rglob("*.safetensors")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    second = shaken(banked(sd_folder, tmp_path))
    assert len(second.distiller.bank) == 0 and not file.exists()
    assert run(second, 0)["loss_output"].item() == wanted
    second.distiller.bank.flush()
    assert file.is_file()  # the same bytes have the same name


def test_what_a_bank_cannot_do_is_said(sd_folder, tmp_path):
    with pytest.raises(ValueError, match=r"bank keeps outputs, and objectives\['loss_feature'\] compares layers"):
        banked(sd_folder, tmp_path, objectives=BOTH)
    with pytest.raises(ValueError, match=r"set model\.objective\.fixed_draws.*changes the algorithm"):
        banked(sd_folder, tmp_path, objective=None)
    with pytest.raises(ValueError, match="text_encoder is trained: leave bank out"):
        banked(sd_folder, tmp_path, tuners={"a": {"type": "FullTuner", "component": "text_encoder"}})
    with pytest.raises(ValueError, match="fixed_draws is 0; it must be 1 or more"):
        build(sd_folder, objective={"type": "Denoising", "fixed_draws": 0})
    with pytest.raises(ValueError, match="offload is 'gpu'; allowed: None, 'cpu', 'disk'"):
        build(sd_folder, offload="gpu")


# --- the counter


def test_bytes_are_counted_while_they_live():
    given = torch.ones(1000)
    with PeakBytes() as memory:
        first = given * 2
        assert memory.alive == 4000
        view = first[10:].view(-1)
        first.add_(1)
        assert memory.alive == 4000 and view.numel() == 990  # the same storage
        second = first.double()
        assert memory.alive == 12000
        del second
        assert memory.alive == 4000 and memory.peak == 12000
        del first
        assert memory.alive == 4000
        del view
    assert memory.alive == 0 and memory.peak == 12000


def test_what_only_the_backward_pass_holds_is_counted():
    weight = torch.ones(1000, requires_grad=True)
    with PeakBytes() as memory:
        loss = (weight.exp() * 3).sum()  # exp keeps its result
        held = memory.alive
        assert held >= 4000
        loss.backward()
        assert weight.grad is not None and memory.alive >= 4000
        del loss
        weight.grad = None
    assert memory.alive == 0 and memory.peak >= 8000


def test_checkpointing_lowers_the_peak(sd_folder):
    peaks = {}
    for checkpointed in (False, True):
        model = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(sd_folder),
                                tuners={"unet": {"type": "FullTuner"}}, gradient_checkpointing=checkpointed)
        with PeakBytes() as memory:
            sum(run(model, size=4).values()).backward()
        peaks[checkpointed] = memory.peak
    assert peaks[True] < 0.8 * peaks[False]
