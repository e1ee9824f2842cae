"""Samplers by name: over the model's own noise schedule, and without a trace of the batch."""

import numpy as np
import pytest
from diffusers import PNDMScheduler, StableDiffusionPipeline

from diffkit.models.generation import GenerationSettings, generate
from diffkit.models.samplers import SAMPLERS, build_sampler
from tests.tiny import tiny_sd_pipeline


def test_the_noise_schedule_is_taken():
    pipe = tiny_sd_pipeline()
    for name in SAMPLERS:
        sampler = build_sampler(name, pipe.scheduler.config)
        for key in ("beta_start", "beta_end", "beta_schedule", "num_train_timesteps", "prediction_type"):
            assert sampler.config[key] == pipe.scheduler.config[key]


def test_pndm_takes_the_steps_of_stable_diffusion():
    """The scheduler that the published pipelines of Stable Diffusion 1 come with."""
    published = PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", skip_prk_steps=True,
                              set_alpha_to_one=False, steps_offset=1)
    own = build_sampler("pndm", build_sampler("dpm++", published.config).config)
    published.set_timesteps(25)
    own.set_timesteps(25)
    assert own.timesteps.tolist() == published.timesteps.tolist()


@pytest.mark.parametrize("name", ["pndm", "ddpm"])
def test_a_picture_does_not_depend_on_its_batch(name):
    pipe = tiny_sd_pipeline()
    assert isinstance(pipe, StableDiffusionPipeline)
    settings = GenerationSettings(4, 3.0, sampler=name)
    together = generate(pipe, ["a dog", "a cat"], [1, 2], settings)
    alone = generate(pipe, ["a cat"], [2], settings)[0]
    assert np.abs(np.asarray(together[1]).astype(int) - np.asarray(alone)).max() <= 1  # rounding
    other = generate(pipe, ["a cat"], [2], GenerationSettings(4, 3.0, sampler="dpm++"))[0]
    assert (np.asarray(other) != np.asarray(alone)).any()


def test_an_unknown_sampler_is_named():
    with pytest.raises(ValueError, match=r"sampler is 'pnmd'; allowed: dpm\+\+, pndm.* did you mean \"pndm\""):
        GenerationSettings(sampler="pnmd")
