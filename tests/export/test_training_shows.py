"""The picture that a model shows in training is the picture that others get from its step folder."""

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from peft import PeftModel

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.export import write_artifacts
from diffkit.models import GenerationSettings, LatentDiffusion, generate

SETTINGS = GenerationSettings(num_inference_steps=4, guidance_scale=3.0)
PROMPTS, SEEDS = ["a photo of a dog", "a cat"], [3, 4]
LORA = {"unet": {"type": "LoRATuner", "component": "unet", "rank": 4, "alpha": 7, "dropout": 0.2},
        "text": {"type": "LoRATuner", "component": "text_encoder", "rank": 2}}
CASES = {
    "sd lora": ("StableDiffusion", LORA),
    "sdxl lora": ("StableDiffusionXL", {**LORA, "text2": {**LORA["text"], "component": "text_encoder_2"}}),
    "sd full": ("StableDiffusion", {"unet": {"type": "FullTuner", "component": "unet"}}),
    "sd full unet, lora on text": ("StableDiffusion", {
        "unet": {"type": "FullTuner", "component": "unet"}, "text": LORA["text"]}),
}


def arrays(images):
    return [np.asarray(image).astype(int) for image in images]


def assert_same(images, others):
    for image, other in zip(arrays(images), arrays(others), strict=True):
        assert np.abs(image - other).max() <= 1  # of 255; merged weights round in another way


@pytest.fixture(scope="module", params=CASES)
def trained(request, sd_folder, sdxl_folder, tmp_path_factory):
    """Case, base folder, step folder, and the pictures that the model shows, which are not the base's."""
    family, tuners = CASES[request.param]
    base = sd_folder if family == "StableDiffusion" else sdxl_folder
    torch.manual_seed(0)  # adapters begin at random
    model = LatentDiffusion(family={"type": family}, pretrained=str(base), tuners=tuners)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.trainable_parameters().values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    step = tmp_path_factory.mktemp("run") / "step3"
    model.train()
    with model.sampling():
        shown = model.generate(PROMPTS, seeds=SEEDS, num_inference_steps=4, guidance_scale=3.0)
    write_artifacts(model.artifacts(), step, model.pipeline, step=3)
    before = generate(load_pipeline(base, device="cpu"), PROMPTS, SEEDS, SETTINGS)
    assert max(np.abs(a - b).max() for a, b in zip(arrays(shown), arrays(before), strict=True)) > 20
    return request.param, base, step, shown


def test_load_pipeline(trained):
    _, _, step, shown = trained
    assert_same(shown, generate(load_pipeline(step, device="cpu"), PROMPTS, SEEDS, SETTINGS))


def test_next_experiment_begins_there(trained):
    case, _, step, shown = trained
    family, tuners = CASES[case]
    model = LatentDiffusion(family={"type": family}, pretrained=str(step), tuners=tuners)
    with model.sampling():
        assert_same(shown, model.generate(PROMPTS, seeds=SEEDS, num_inference_steps=4, guidance_scale=3.0))


def test_other_programs(trained):
    case, base, step, shown = trained
    if "full" in case:
        readers = [DiffusionPipeline.from_pretrained(step, use_safetensors=True)]
    else:
        lora, peft = (load_pipeline(base, device="cpu") for _ in range(2))
        lora.load_lora_weights(step)
        for folder in (path.parent for path in step.glob("*/adapter_config.json")):
            setattr(peft, folder.name, PeftModel.from_pretrained(getattr(peft, folder.name), folder))
        readers = [lora, peft]
    for pipe in readers:
        pipe.set_progress_bar_config(disable=True)
        assert_same(shown, generate(pipe, PROMPTS, SEEDS, SETTINGS))
