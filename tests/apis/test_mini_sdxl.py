"""The packaged mini-sdxl: anybody can load it, it is small, and it paints what it is asked for."""

import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionXLPipeline

from diffkit.apis.measure.pictures import SETTINGS, sample
from diffkit.apis.package_miniature import MAX_BYTES
from diffkit.datasets import ShapesPrompts
from diffkit.evaluation import PromptAccuracy, analyse
from diffkit.models import LatentDiffusion, StableDiffusionXL
from diffkit.models.generation import generate
from diffkit.utils.pretrained import resolve_pretrained


@pytest.fixture(scope="module")
def pipe():
    found = DiffusionPipeline.from_pretrained(resolve_pretrained("mini-sdxl"))
    found.set_progress_bar_config(disable=True)
    return found


def test_it_has_the_anatomy_of_sdxl(pipe):
    assert isinstance(pipe, StableDiffusionXLPipeline) and pipe.config.force_zeros_for_empty_prompt
    unet = pipe.unet.config
    assert (len(unet.block_out_channels), unet.layers_per_block, unet.use_linear_projection) == (3, 2, True)
    assert unet.mid_block_type == "UNetMidBlock2DCrossAttn" and max(unet.transformer_layers_per_block) == 2
    assert unet.addition_embed_type == "text_time"
    widths = [encoder.config.hidden_size for encoder in (pipe.text_encoder, pipe.text_encoder_2)]
    assert unet.cross_attention_dim == sum(widths) and widths[0] != widths[1]
    assert [type(encoder).__name__ for encoder in (pipe.text_encoder, pipe.text_encoder_2)] == [
        "CLIPTextModel", "CLIPTextModelWithProjection"]
    assert pipe.tokenizer.pad_token != pipe.tokenizer_2.pad_token == "!"
    for tokenizer, encoder in ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)):
        assert encoder.config.eos_token_id == tokenizer.eos_token_id != 2, "the pooled text is that of the text's end"


def test_it_is_small():
    folder = resolve_pretrained("mini-sdxl")
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) <= MAX_BYTES


def test_its_vae_is_that_of_mini_sd(pipe):
    own, other = (DiffusionPipeline.from_pretrained(resolve_pretrained(name)).vae for name in ("mini-sdxl", "mini-sd"))
    assert own.config.scaling_factor == other.config.scaling_factor
    theirs = other.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in own.state_dict().items() if "encoder" in name)


def test_it_paints_a_known_prompt(pipe):
    (picture,) = generate(pipe, ["a photo of a large red circle on a blue background"], [0], SETTINGS)
    seen = analyse(picture)
    assert (seen.shape, seen.colour, seen.background) == ("circle", "red", "blue")


def test_it_paints_most_of_what_prompts_ask_for(pipe):
    """16 prompts; the claim, over 256, is in docs/results."""
    metric = PromptAccuracy()
    metric.process(None, sample(pipe, ShapesPrompts(16, 5), SETTINGS))
    assert metric.compute_metrics(metric.results)["sc"] >= 0.75


def test_all_that_conditions_it_takes_part(pipe):
    """Each encoder's states, the pooled text and the sizes change what the UNet says."""
    model = LatentDiffusion(family={"type": StableDiffusionXL}, pretrained="mini-sdxl",
                            tuners={"unet": {"type": "FullTuner"}})
    torch.manual_seed(0)
    latents, timesteps = torch.randn(1, 16, 8, 8), torch.tensor([600])
    batch = {"pixel_values": torch.zeros(1, 3, 64, 64), "prompt": ["a small green star on a white background"]}
    with model.sampling():
        text = model.encode_prompts(batch)
        whole = model.predict(latents, timesteps, text)
        for change in ("first", "second", "pooled", "sizes"):
            other = text.to(torch.float32)
            other.embeds, other.pooled, other.time_ids = (
                value.clone() for value in (text.embeds, text.pooled, text.time_ids))
            target = {"first": other.embeds[..., :64], "second": other.embeds[..., 64:], "pooled": other.pooled,
                      "sizes": other.time_ids}[change]
            target.zero_()
            assert (model.predict(latents, timesteps, other) - whole).abs().max() > 1e-3, change
