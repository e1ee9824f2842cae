"""Cross-attention trained beside new words (Custom Diffusion): what moves, what does not, and from which tokens."""

import pytest
import torch
from diffusers import UNet2DConditionModel

from diffkit.models import CrossAttentionTuner, LatentDiffusion
from diffkit.models.families.unet_configs import UNETS

CAT = {"type": "TextualInversion", "placeholder_token": "<new1>", "initializer_token": "cat"}
POT = {"type": "TextualInversion", "placeholder_token": "<new2>", "initializer_token": "bucket"}
KV = {"type": "CrossAttentionTuner"}
FAMILIES = ("StableDiffusion", "StableDiffusionXL")


def build(folder, *tuners, **options):
    family = "StableDiffusionXL" if (folder / "text_encoder_2").is_dir() else "StableDiffusion"
    return LatentDiffusion(family={"type": family}, pretrained=str(folder), **options,
                           tuners={str(i): tuner for i, tuner in enumerate(tuners or [CAT, POT, KV])})


def batch(*prompts):
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.rand(len(prompts), 3, 32, 32, generator=generator) * 2 - 1, "prompt": list(prompts)}


@pytest.fixture(params=FAMILIES)
def folder(request, sd_folder, sdxl_folder):
    return sd_folder if request.param == "StableDiffusion" else sdxl_folder


def moved_by_training(model, steps=2):
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.trainable_parameters().values(), lr=1e-2, weight_decay=0.5)
    torch.manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch("a photo of a <new1> cat", "a photo of a <new2>"))["loss_denoising"].backward()
        optimizer.step()
    return {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}


def test_only_keys_values_and_new_words_move(folder):
    """Bit-equal: every other row of the table and every other weight, with weight decay on."""
    model = build(folder)
    moved = moved_by_training(model)
    words = {name for name in moved if "text_encoder" in name}
    kv = {f"unet.{name}" for name, _ in model.unet.named_parameters() if "attn2.to_k." in name or "attn2.to_v." in name}
    assert words and all(".learned." in name for name in words)
    assert moved == kv | words == set(model.trainable_parameters())
    assert model.trainable_state().keys() == moved  # so a checkpoint holds these alone


def test_all_of_cross_attention_moves(sd_folder):
    model = build(sd_folder, CAT, KV | {"train": "all"})
    moved = {name for name in moved_by_training(model) if name.startswith("unet.")}
    assert moved == {f"unet.{name}" for name, _ in model.unet.named_parameters() if ".attn2." in name}
    assert {name.split("attn2.")[1] for name in moved} == {
        "to_q.weight", "to_k.weight", "to_v.weight", "to_out.0.weight", "to_out.0.bias"}


def test_every_word_gets_a_gradient(folder):
    """Also the second of two, which a program of the authors leaves as it was."""
    model = build(folder)
    model(**batch("a photo of a <new1> cat", "a photo of a <new2> bucket"))["loss_denoising"].backward()
    for encoder in (name for name in model.components if name.startswith("text_encoder")):
        one, two = model.get_submodule(encoder).get_input_embeddings().learned
        assert one.weight.grad.abs().sum() > 0 and two.weight.grad.abs().sum() > 0


def test_before_training_it_is_the_base_model(folder):
    plain, model = build(folder, CAT, POT), build(folder)
    conditioning = plain.encode_prompts(batch("a photo of a dog"))
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        left, right = (m.predict(latents, torch.tensor([500]), conditioning) for m in (plain, model))
    assert torch.equal(left, right)


@pytest.mark.parametrize("detach", [True, False])
def test_the_first_token_gives_no_gradient(sd_folder, detach):
    """With features that are zero but for one token, the gradient of keys and values comes from that token alone."""
    model = build(sd_folder, CAT, KV | {"detach_first_token": detach})
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    for token in (0, 1):
        features = torch.zeros(1, 77, 32)
        features[0, token] = torch.randn(32, generator=torch.Generator().manual_seed(2))
        model.zero_grad()
        sample = model.unet(latents, torch.tensor([500]), encoder_hidden_states=features).sample
        sample.square().mean().backward()
        total = sum(value.grad.abs().sum().item() for name, value in model.unet.named_parameters()
                    if "attn2.to_k" in name or "attn2.to_v" in name)
        assert (total == 0) == (detach and token == 0)


def test_the_first_token_still_counts_in_the_output(sd_folder):
    kept, plain = build(sd_folder, CAT, KV), build(sd_folder, CAT, KV | {"detach_first_token": False})
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(1))
    features = torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        left, right = (m.unet(latents, torch.tensor([500]), features).sample for m in (kept, plain))
    assert torch.equal(left, right)


def test_switched_off_it_is_the_base_model(sd_folder):
    model = build(sd_folder)
    with model.sampling():
        first = model.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2.to_k.weight.clone()
    moved_by_training(model, 1)
    weight = model.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2.to_k.weight
    trained = weight.detach().clone()
    with model.adapters_disabled():
        assert torch.equal(weight, first)
    assert torch.equal(weight, trained) and not torch.equal(first, trained)


def test_checkpointed_gradients_are_the_same(sd_folder):
    gradients = []
    for checkpointing in (False, True):
        model = build(sd_folder, gradient_checkpointing=checkpointing)
        torch.manual_seed(0)
        model(**batch("a <new1>", "a <new2>"))["loss_denoising"].backward()
        gradients.append(torch.cat([value.grad.flatten() for value in model.trainable_parameters().values()]))
    assert gradients[0].abs().sum() > 0 and torch.allclose(*gradients, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("options, message", [
    ({"train": "qk"}, "train is 'qk'; it must be one of kv, all"),
    ({"compression": 0.0}, "compression is 0.0; it must be above 0 and at most 1"),
    ({"compression": 1.5}, "compression is 1.5"),
])
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        CrossAttentionTuner(**options)


def test_one_is_enough_for_several_words(sd_folder):
    with pytest.raises(ValueError, match=r"model\.tuners has 2 of them.*TextualInversion for each new word"):
        build(sd_folder, CAT, KV, KV)


@pytest.mark.parametrize("name, train, values", [
    ("sd15", "kv", 19_169_280), ("sd15", "all", 43_962_560), ("small-sd", "kv", 12_288_000),
    ("tiny-sd", "kv", 10_321_920), ("bk-small", "kv", 10_321_920)])
def test_how_much_of_a_real_model_is_trained(name, train, values):
    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNETS[name])
    tuner = CrossAttentionTuner(train)
    tuner.check({"unet": unet})
    assert sum(value.numel() for key, value in unet.named_parameters() if tuner.pattern.search(key)) == values
