"""SDXL that begins with what a Stable Diffusion has learned: equal where both have the part, silent where it is new."""

from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from diffkit.models import LatentDiffusion, StableDiffusion, StableDiffusionXL
from diffkit.models.families.grow import GrowthError, fit_norm, grow_text_encoder, grow_unet
from diffkit.utils.pretrained import PretrainedError
from tests.tiny import CORPUS, SD_SPEC, SDXL_SPEC

UNET = {**SD_SPEC["unet"], "sample_size": 8}
#: As tiny SDXL, with the widths and heads of tiny SD, and a second text encoder of 20.
XL_UNET = {**SDXL_SPEC["unet"], "sample_size": 8, "attention_head_dim": 2, "cross_attention_dim": 52}
#: The same with attention at the upper level, as in mini-sdxl.
TOP = {"down_block_types": ("CrossAttnDownBlock2D",) * 3, "up_block_types": ("CrossAttnUpBlock2D",) * 3,
       "transformer_layers_per_block": (1, 2, 1)}


def networks(**changes):
    """An old UNet of four levels and a new one of three, with random weights and biases."""
    torch.manual_seed(0)
    old, new = UNet2DConditionModel(**UNET).eval(), UNet2DConditionModel(**{**XL_UNET, **changes}).eval()
    for parameter in (*old.parameters(), *new.parameters()):
        if parameter.ndim == 1:
            torch.nn.init.normal_(parameter, 0.3, 0.3)
    return old, new


def inputs():
    torch.manual_seed(1)
    added = {"text_embeds": torch.randn(2, 32), "time_ids": torch.randn(2, 6)}
    return torch.randn(2, 4, 8, 8), torch.tensor([3, 700]), torch.randn(2, 5, 32), torch.randn(2, 5, 20), added


class Bypass(torch.nn.Module):
    """In the place of the up path's lowest block: what the middle block says of the level above it."""

    resolution_idx, resnets = None, (0, 0, 0)

    def forward(self, hidden_states, **_):
        return self.output


def without_what_sdxl_lacks(old, top=False):
    """The old UNet without its lowest level and, unless ``top``, without attention at its upper one."""
    old = deepcopy(old)
    for attention in () if top else (*old.down_blocks[0].attentions, *old.up_blocks[-1].attentions):
        torch.nn.init.zeros_(attention.proj_out.weight), torch.nn.init.zeros_(attention.proj_out.bias)
    middle, bypass = deepcopy(old.mid_block), Bypass()
    for resnet in middle.resnets:
        for convolution in (resnet.conv1, resnet.conv2):
            centre = convolution.weight.data[:, :, 1:2, 1:2].clone()
            convolution.weight.data = torch.nn.functional.pad(centre, (1, 1, 1, 1))

    def look(module, args, kwargs, output):
        bypass.output = middle(output[1][-2], kwargs["temb"], encoder_hidden_states=kwargs["encoder_hidden_states"])

    old.down_blocks[2].register_forward_hook(look, with_kwargs=True)
    old.up_blocks[0] = bypass
    return old


@pytest.mark.parametrize("changes", [{}, TOP], ids=["as SDXL", "with attention on top"])
def test_the_grown_unet_predicts_what_the_old_one_does_without_what_sdxl_lacks(changes):
    old, new = networks(**changes)
    latents, timesteps, states, more, added = inputs()
    grow_unet(new, old)
    with torch.no_grad():
        before = without_what_sdxl_lacks(old, bool(changes))(
            latents, timesteps, encoder_hidden_states=states).sample
        after = new(latents, timesteps, encoder_hidden_states=torch.cat([states, more], -1), added_cond_kwargs=added)
        whole = old(latents, timesteps, encoder_hidden_states=states).sample
    assert torch.allclose(after.sample, before, atol=1e-5)
    assert not torch.allclose(after.sample, whole, atol=1e-5), "the comparison sees what is left out"


def test_what_is_new_is_silent_and_learns():
    old, new = networks()
    latents, timesteps, states, more, added = inputs()
    grow_unet(new, old)
    more.requires_grad_(True)
    new(latents, timesteps, encoder_hidden_states=torch.cat([states, more], -1),
        added_cond_kwargs=added).sample.square().sum().backward()
    layer = new.mid_block.attentions[0].transformer_blocks[1]
    for silent in (new.add_embedding.linear_2, layer.ff.net[2], layer.attn1.to_out[0], layer.attn2.to_out[0]):
        assert not silent.weight.any() and not silent.bias.any() and silent.weight.grad.abs().max() > 0
    keys = new.mid_block.attentions[0].transformer_blocks[0].attn2.to_k.weight
    assert not keys[:, 32:].any() and keys.grad[:, 32:].abs().max() > 0 and not more.grad.any()


def test_a_norm_goes_into_keys_and_values():
    """With constants: keys may lose theirs, that of the values is in the output's bias."""
    old, new = networks()
    latents, timesteps, states, more, added = inputs()
    matrix, offset = torch.randn(32, 32) / 6, torch.randn(32)
    grow_unet(new, old, (matrix, offset))
    with torch.no_grad():
        before = without_what_sdxl_lacks(old)(
            latents, timesteps, encoder_hidden_states=states @ matrix.T + offset).sample
        after = new(latents, timesteps, encoder_hidden_states=torch.cat([states, more], -1), added_cond_kwargs=added)
    assert torch.allclose(after.sample, before, atol=1e-4)


def encoder(layers, **changes):
    config = {**SD_SPEC["text_encoder"], "num_hidden_layers": layers, "vocab_size": 300, "max_position_embeddings": 9}
    return CLIPTextModel(CLIPTextConfig(**{**config, **changes})).eval()


def test_the_last_states_but_one_are_the_old_last_ones_without_norm():
    torch.manual_seed(0)
    old, new = encoder(2), encoder(3)
    for parameter in old.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.1)
    grow_text_encoder(new, old)
    ids = torch.randint(0, 300, (4, 9))
    with torch.no_grad():
        states = new(ids, output_hidden_states=True).hidden_states[-2]
        output = old(ids, output_hidden_states=True)
        normed = old.get_submodule("final_layer_norm" if hasattr(old, "final_layer_norm")
                                   else "text_model.final_layer_norm")(states)
    assert torch.equal(states, output.hidden_states[-1])
    assert torch.allclose(normed, output.last_hidden_state, atol=1e-6)


def test_the_norm_is_fitted_where_it_is_linear():
    """States of one spread: their norm is a linear map, and the fit finds it."""
    torch.manual_seed(0)
    states = torch.randn(40, 8, 6)
    states = (states - states.mean(-1, keepdim=True)) / states.std(-1, keepdim=True, unbiased=False) * 3
    norm = torch.nn.LayerNorm(6)
    torch.nn.init.normal_(norm.weight), torch.nn.init.normal_(norm.bias)

    class Fixed(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, ids, output_hidden_states):
            return SimpleNamespace(hidden_states=(None, states), last_hidden_state=norm(states))

    matrix, offset = fit_norm(Fixed(), torch.zeros(40, 8, dtype=torch.long))
    assert torch.allclose(states @ matrix.T + offset, norm(states), atol=1e-4)


def test_the_fitted_norm_holds_for_other_prompts_of_mini_sd():
    from diffkit.datasets import ShapesDataset
    from diffkit.models.families.base import token_ids
    from diffkit.utils.pretrained import resolve_pretrained

    parts = StableDiffusion().load(resolve_pretrained("mini-sd"))
    encoder, device = parts["text_encoder"], torch.device("cpu")
    data = ShapesDataset(length=256)
    ids = token_ids(parts["tokenizer"], [data.prompt(i) for i in range(256)], device)
    matrix, offset = fit_norm(encoder, ids[:192])
    with torch.no_grad():
        output = encoder(ids[192:], output_hidden_states=True)
    wanted = output.last_hidden_state
    error = (output.hidden_states[-1] @ matrix.T + offset - wanted).square().mean()
    assert error < 0.03 * wanted.var()


@pytest.mark.parametrize(("layers", "changes", "message"), [
    (2, {}, r"text_encoder has 2 layers; to begin with one of 2 it needs 3"),
    (3, {"vocab_size": 301}, r"token_embedding.weight is \[300, 32\] in the model to begin with, and \[301, 32\]"),
])
def test_text_encoders_that_do_not_fit(layers, changes, message):
    with pytest.raises(GrowthError, match=message):
        grow_text_encoder(encoder(layers, **changes), encoder(2))


@pytest.mark.parametrize(("changes", "message"), [
    ({"cross_attention_dim": 24}, "unet takes states of 24, fewer than the 32"),
    ({"block_out_channels": (12, 16, 32)}, r"conv_in: \w+ is \[8"),
    ({"attention_head_dim": 4}, "unet has 4 heads of attention in a layer, and the model to begin with has 2"),
])
def test_unets_that_do_not_fit(changes, message):
    old, new = networks(**changes)
    with pytest.raises(GrowthError, match=message):
        grow_unet(new, old)


def test_more_levels_than_there_are():
    old, new = networks()
    with pytest.raises(GrowthError, match="unet has 4 levels; to begin with one of 3 it can have 3 at most"):
        grow_unet(old, new)


SCRATCH = {**SDXL_SPEC, "unet": {**XL_UNET, "sample_size": 16, "projection_class_embeddings_input_dim": 8 * 6 + 20},
           "text_encoder": {**SDXL_SPEC["text_encoder"], "num_hidden_layers": 4},
           "text_encoder_2": {**SDXL_SPEC["text_encoder_2"], "hidden_size": 20, "projection_dim": 20}}


def test_a_family_grows_from_a_pipeline(sd_folder):
    model = LatentDiffusion(
        family={"type": StableDiffusionXL, "scratch": SCRATCH, "grown_from": str(sd_folder)}, pretrained=None,
        tuners={"unet": {"type": "FullTuner"}})
    old = StableDiffusion().load(sd_folder)
    assert torch.equal(model.vae.encoder.conv_in.weight, old["vae"].encoder.conv_in.weight)
    grown, given = (unet.down_blocks[1].resnets[1].conv1.weight for unet in (model.unet, old["unet"]))
    assert torch.equal(grown, given)
    assert [model.parts[name].pad_token for name in ("tokenizer", "tokenizer_2")] == ["<|endoftext|>", "!"]
    assert [model.parts[name]("a dog").input_ids[0] for name in ("tokenizer", "tokenizer_2")] == [
        old["tokenizer"].bos_token_id] * 2
    (image,) = model.generate([CORPUS[0]], seeds=[0], num_inference_steps=1)
    assert image.size == (32, 32)


def test_mini_sdxl_begins_with_what_mini_sd_predicts():
    """On drawings and prompts, the two differ by a thousandth of the prediction's variance."""
    from diffkit.apis.configs import load_config
    from diffkit.datasets import ShapesDataset

    data = ShapesDataset(length=16)
    batch = {"pixel_values": torch.stack([data[i]["pixel_values"] for i in range(16)]),
             "prompt": [data.prompt(i) for i in range(16)]}
    tuners = {"unet": {"type": "FullTuner"}}
    new = LatentDiffusion(**{key: value for key, value in load_config("mini_sdxl_unet").model.items()
                               if key in ("family", "pretrained", "generation")}, tuners=tuners)
    old = LatentDiffusion(family={"type": StableDiffusion}, pretrained="mini-sd", tuners=tuners)
    torch.manual_seed(0)
    step = old.objective.prepare(old, batch)
    with old.sampling(), new.sampling():
        before, after = (model.predict(step.noisy_latents, step.timesteps, model.encode_prompts(batch))
                         for model in (old, new))
    assert (after - before).square().mean() < 2e-3 * before.var()


def test_growing_names_the_argument(tmp_path):
    with pytest.raises(ValueError, match=r"model\.family\.grown_from says what a new model begins with"):
        StableDiffusionXL(grown_from="mini-sd")
    with pytest.raises(PretrainedError, match=r"^model\.family\.grown_from .*looks like a folder"):
        StableDiffusionXL(SCRATCH, grown_from=str(tmp_path / "nowhere")).load(None)
