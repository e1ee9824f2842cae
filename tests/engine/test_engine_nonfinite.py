"""What is not finite: the pictures are named, and neither state nor files of a checkpoint hold it."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import save_file

from diffkit.datasets import ConceptDataset, DrawSampler, collate_samples
from diffkit.engine.errors import NonFiniteError
from diffkit.engine.nonfinite import check_finite, check_finite_files, culprits
from diffkit.engine.seeding import seed_everything
from tests.datasets.pictures import folder_of, noise

BAD = 0.125  # the value of a pixel from which the model below makes latents that are not finite


class Encoder:
    """Latents are the pixels; a picture that begins with ``BAD`` overflows. It draws, as an encoder does."""

    def data_preprocessor(self, batch, training):
        return batch

    def non_finite_inputs(self, batch):
        torch.randn(3)
        pixels = batch["pixel_values"]
        bad = [row for row, values in enumerate(pixels) if not values.isfinite().all()]
        return {"pixels": bad, "latents": [row for row, values in enumerate(pixels) if values[0, 0, 0] == BAD]}


def runner_of(dataset, skipped, batch_size=2, rank=0, world_size=1):
    sampler = DrawSampler(dataset, shuffle=False, seed=1)
    loader = SimpleNamespace(dataset=dataset, sampler=sampler, batch_size=batch_size, collate_fn=collate_samples)
    wrapper = SimpleNamespace(skipped_iterations=skipped, optim_context=lambda model: nullcontext())
    loop = SimpleNamespace(draws_before=lambda iteration: iteration * batch_size * world_size)
    return SimpleNamespace(train_dataloader=loader, bare_model=Encoder(), optim_wrapper=wrapper, train_loop=loop,
                           rank=rank, world_size=world_size)


def spoilt(monkeypatch, values, prior=False):
    """Lets pictures, or their priors, begin with another value: by the index of the draw."""
    original = ConceptDataset.__getitem__

    def changed(dataset, item):
        samples = original(dataset, item)
        if item.index in values:
            sample = samples[1] if prior else samples
            sample["pixel_values"] = sample["pixel_values"].clone()
            sample["pixel_values"][0, 0, 0] = values[item.index]
        return samples

    monkeypatch.setattr(ConceptDataset, "__getitem__", changed)


def test_pictures_of_skipped_iterations_are_named(tmp_path, monkeypatch):
    spoilt(monkeypatch, {1: float("nan"), 3: BAD})
    dataset = ConceptDataset(folder_of(tmp_path, 6), "a dog", resolution=8)
    assert culprits(runner_of(dataset, [0, 1])) == [
        "Iteration 0: the pixels of 01.png are not finite.", "Iteration 1: the latents of 03.png are not finite."]
    assert culprits(runner_of(dataset, [2])) == []
    assert culprits(runner_of(dataset, [])) == []


def test_each_process_names_its_own(tmp_path, monkeypatch):
    spoilt(monkeypatch, {2: BAD})
    dataset = ConceptDataset(folder_of(tmp_path, 8), "a dog", resolution=8)
    found = [culprits(runner_of(dataset, [0], rank=rank, world_size=2)) for rank in (0, 1)]
    assert found == [["Iteration 0: the latents of 02.png are not finite."], []]


@pytest.mark.parametrize(("center", "name"), [(True, "p.png"), (False, "a prior picture beside 01.png")])
def test_a_prior_picture_is_named(tmp_path, monkeypatch, center, name):
    spoilt(monkeypatch, {1: BAD}, prior=True)
    (tmp_path / "prior").mkdir()
    noise(9).save(tmp_path / "prior/p.png")
    dataset = ConceptDataset(folder_of(tmp_path / "own", 2), "a dog", "a photo", class_data_root=tmp_path / "prior",
                             num_class_images=1, resolution=8, center_crop=center)
    assert culprits(runner_of(dataset, [0])) == [f"Iteration 0: the latents of {name} are not finite."]


def test_looking_draws_nothing_from_the_generators(tmp_path):
    dataset = ConceptDataset(folder_of(tmp_path, 4), "a dog", resolution=8)
    seed_everything(5)
    expected = torch.randn(2)
    seed_everything(5)
    culprits(runner_of(dataset, [0, 1]))
    assert torch.equal(torch.randn(2), expected)


def test_a_model_or_sampler_that_cannot_say_is_not_asked():
    runner = SimpleNamespace(optim_wrapper=SimpleNamespace(skipped_iterations=[3]), bare_model=object(),
                             train_dataloader=SimpleNamespace(sampler=object()))
    assert culprits(runner) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_state_that_is_not_finite_is_named(value):
    tensors = {"a": torch.ones(3), "step": torch.tensor(4), "b": torch.tensor([0.0, value]),
               "c": torch.tensor([value], dtype=torch.bfloat16)}
    with pytest.raises(NonFiniteError, match=r"no checkpoint was written after iteration 7: 2 tensors .*\(first: b\)"):
        check_finite(tensors, 7)


def test_large_finite_values_are_kept():
    check_finite({"large": torch.full((100,), torch.finfo(torch.float32).max), "none": torch.zeros(0)}, 0)


def test_files_that_hold_it_are_named(tmp_path):
    (tmp_path / "unet").mkdir()
    save_file({"x": torch.ones(2)}, tmp_path / "good.safetensors")
    (tmp_path / "note.json").write_text("{}")
    check_finite_files(tmp_path, 3)
    save_file({"x": torch.ones(2), "y": torch.tensor([float("inf")])}, tmp_path / "unet/bad.safetensors")
    with pytest.raises(NonFiniteError, match=r"first: unet/bad\.safetensors: y\)"):
        check_finite_files(tmp_path, 3)


_LOOK = """
import sys
from pathlib import Path
from diffkit.engine import nonfinite
nonfinite.AT_ONCE = int(sys.argv[2])
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
seen = [resident()]
check = nonfinite.check_finite
nonfinite.check_finite = lambda tensors, step: (check(tensors, step), seen.append(resident()))
nonfinite.check_finite_files(Path(sys.argv[1]), 3)
print(max(seen) - seen[0], len(seen))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="the system does not say how much is resident")
def test_a_file_is_not_in_memory_as_a_whole_while_it_is_looked_through(tmp_path):
    save_file({f"part{i}": torch.ones(1_000_000) for i in range(24)}, tmp_path / "weights.safetensors")
    taken = []
    for at_once in (10**9, 4_000_000):
        command = [sys.executable, "-c", _LOOK, str(tmp_path), str(at_once)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        more, looks = map(int, done.stdout.split())
        assert looks == 25
        taken.append(more)
    assert taken[0] > 90e6, "all of it at once"
    assert taken[1] < 40e6, "four tensors at once"
