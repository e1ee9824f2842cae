"""Decoding in slices and tiles: the same pictures, or nearly, from less memory; and the VAE is left as it was."""

import numpy as np
import pytest
import torch

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.evaluation.memory import PeakBytes
from diffkit.models.generation import GenerationSettings, generate
from tests.tiny import tiny_sd_pipeline


def pictures(pipe, **settings):
    made = generate(pipe, ["a dog", "a cat", "a dog"], [0, 1, 2], GenerationSettings(1, 1.0, **settings))
    return np.stack([np.asarray(each) for each in made]).astype(int)


def test_slices_give_the_same_pictures():
    pipe = tiny_sd_pipeline()
    assert (pictures(pipe, vae_slicing=True) == pictures(pipe)).all()
    assert not pipe.vae.use_slicing


def test_slices_need_less_memory():
    pipe, latents, peaks = tiny_sd_pipeline(), torch.randn(4, 4, 16, 16), []
    for slicing in (False, True):
        pipe.vae.use_slicing = slicing
        with torch.no_grad(), PeakBytes() as memory:
            pipe.vae.decode(latents)
        peaks.append(memory.peak)
    assert peaks[1] < 0.5 * peaks[0]


def test_tiles_give_nearly_the_same_pictures():
    pipe = load_pipeline("mini-sd", device="cpu")
    whole, tiled = (pictures(pipe, height=128, width=128, vae_tiling=tiling) for tiling in (None, True))
    assert (whole != tiled).any()  # it was tiled
    assert np.abs(whole - tiled).mean() < 0.02 * 255
    assert not pipe.vae.use_tiling


def test_the_vae_is_left_as_it_was_after_an_error(monkeypatch):
    pipe = tiny_sd_pipeline()
    seen = []

    def broken(latents, **_):
        seen.append((pipe.vae.use_slicing, pipe.vae.use_tiling))
        raise RuntimeError("no memory")

    monkeypatch.setattr(pipe.vae, "decode", broken)
    with pytest.raises(RuntimeError, match="no memory"):
        pictures(pipe, vae_slicing=True, vae_tiling=True)
    assert seen == [(True, True)]
    assert not pipe.vae.use_slicing and not pipe.vae.use_tiling
