"""What tuners make trainable, and the mistakes that they name."""

import warnings

import diffusers
import pytest
import torch
import transformers

from diffkit.models import LatentDiffusion, LoRATuner


def build(folder, **tuner):
    return LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(folder), tuners={"x": tuner})


def test_lora_begins_as_the_base_model(sd_folder):
    torch.manual_seed(0)
    latents, text = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 32)
    adapted = build(sd_folder, type="LoRATuner", rank=4)
    base = build(sd_folder, type="FullTuner")
    for model in (adapted, base):
        model.eval()
    with torch.no_grad():
        assert torch.equal(adapted.unet(latents, 10, text).sample, base.unet(latents, 10, text).sample)


def test_lora_sits_on_the_attention_layers(sd_folder):
    model = build(sd_folder, type="LoRATuner", rank=4)
    layers = {name.split(".lora_")[0] for name in model.trainable_parameters()}
    assert len(layers) == 128  # 32 attentions x q, k, v, out: as in SD 1.5


def test_lora_of_gaussian_init_has_the_variance_of_its_rank(sd_folder):
    torch.manual_seed(0)
    model = build(sd_folder, type="LoRATuner", rank=8)
    values = torch.cat([p.flatten() for name, p in model.trainable_parameters().items() if "lora_A" in name])
    assert values.std().item() == pytest.approx(1 / 8, rel=0.05)  # PEFT: N(0, (1 / rank)^2)


def test_alpha_scales_the_update(sd_folder):
    changes = []
    for alpha in (2, 8):
        torch.manual_seed(0)
        model = build(sd_folder, type="LoRATuner", rank=2, alpha=alpha, target_modules=["conv_in"])
        for parameter in model.trainable_parameters().values():
            torch.nn.init.normal_(parameter)
        latents = torch.randn(1, 4, 16, 16)
        with torch.no_grad():
            changed = model.unet.conv_in(latents)
            with model.adapters_disabled():
                changes.append(changed - model.unet.conv_in(latents))
    assert torch.allclose(4 * changes[0], changes[1], atol=1e-4)


@pytest.mark.parametrize("targets, message", [
    (["to_q", "to_kk"], r"no layer of 'unet' matches 'to_kk'.*\"to_k\""),
    (r".*attn3\.to_q", "no layer of 'unet' matches"),
])
def test_a_target_that_matches_nothing_is_an_error(sd_folder, targets, message):
    with pytest.raises(ValueError, match=message):
        build(sd_folder, type="LoRATuner", target_modules=targets)


@pytest.mark.parametrize("tuner, message", [
    ({"type": "LoRATuner", "target_modules": ["to_kk"]}, "no layer of 'unet' matches 'to_kk'"),
    ({"type": "LoRATuner", "component": "text_encoder_2"}, "component is 'text_encoder_2', which this family lacks"),
    ({"type": "FullTuner", "pattern": "attn3"}, "no parameter of 'unet' matches pattern 'attn3'")])
def test_a_tuner_that_does_not_fit_is_refused_before_weights_are_read(sd_folder, monkeypatch, tuner, message):
    def read(*args, **options):
        raise RuntimeError("weights are read")

    for library in (diffusers.ModelMixin, transformers.PreTrainedModel):
        monkeypatch.setattr(library, "from_pretrained", read)
    with pytest.raises(ValueError, match=message):
        build(sd_folder, **tuner)
    with pytest.raises(RuntimeError, match="weights are read"):
        build(sd_folder, type="LoRATuner")


def test_gradient_checkpointing_of_all_components_warns_of_nothing(sd_folder):
    tuners = {name: {"type": "LoRATuner", "component": name, "rank": 2} for name in ("unet", "text_encoder")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(sd_folder), tuners=tuners,
                                gradient_checkpointing=True)
    for network in (model.unet, model.text_encoder):
        assert any(getattr(layer, "gradient_checkpointing", False) for layer in network.modules())


@pytest.mark.parametrize("options, message", [
    ({"rank": 0}, "rank is 0"), ({"init": "ones"}, "init is 'ones'"),
    ({"component": "vae"}, "'vae' has no default target_modules")])
def test_lora_mistakes(options, message):
    with pytest.raises(ValueError, match=message):
        LoRATuner(**options)


def test_a_pattern_must_be_a_regular_expression(sd_folder):
    with pytest.raises(ValueError, match="is not a regular expression"):
        build(sd_folder, type="FullTuner", pattern="attn2.(")
