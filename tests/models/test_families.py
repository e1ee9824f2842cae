"""Loading parts: from folders, from step folders, from nothing."""

import shutil

import pytest
import torch
from safetensors.torch import save_file

from diffkit.export import write_artifacts
from diffkit.models import LatentDiffusion, StableDiffusion, StableDiffusionXL
from diffkit.models.families.scratch import build_tokenizer
from diffkit.utils.pretrained import PretrainedError


def test_a_step_folder_with_adapters_is_its_base_with_them_merged(sd_folder, tmp_path):
    tuners = {"unet": {"type": "LoRATuner", "rank": 2, "alpha": 4},
              "text": {"type": "LoRATuner", "component": "text_encoder", "rank": 2}}
    model = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(sd_folder), tuners=tuners)
    for parameter in model.trainable_parameters().values():
        torch.nn.init.normal_(parameter, std=0.2)
    write_artifacts(model.artifacts(), tmp_path / "step9", model.pipeline)
    chained = LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(tmp_path / "step9"),
                              tuners={"unet": {"type": "FullTuner"}})
    batch = {"pixel_values": torch.zeros(1, 3, 32, 32), "prompt": ["a dog"]}
    step = model.objective.prepare(model, batch)
    with model.sampling(), chained.sampling():
        left = model.predict(step.noisy_latents, step.timesteps, model.encode_prompts(batch))
        right = chained.predict(step.noisy_latents, step.timesteps, chained.encode_prompts(batch))
    assert torch.allclose(left, right, atol=1e-5)
    assert not any("lora" in name for name, _ in chained.named_parameters())


def test_parts_are_loaded_in_float32(sd_folder, tmp_path):
    from diffusers import StableDiffusionPipeline

    StableDiffusionPipeline.from_pretrained(sd_folder).to(torch.float16).save_pretrained(tmp_path)
    parts = StableDiffusion().load(tmp_path)
    for name in ("unet", "vae", "text_encoder"):
        assert {p.dtype for p in parts[name].parameters()} == {torch.float32}, name


def test_another_vae_can_take_the_place_of_the_models_own(sd_folder, tmp_path):
    from diffusers import AutoencoderKL

    shutil.copytree(sd_folder, tmp_path / "sd")
    other = AutoencoderKL.from_pretrained(sd_folder, subfolder="vae")
    other.decoder.conv_out.bias.data.fill_(7.0)
    for folder in ("sd/vae", "alone"):
        other.save_pretrained(tmp_path / folder)
    for source in ("sd", "sd/vae", "alone"):  # a pipeline, its VAE, or a VAE alone
        assert StableDiffusion().load(sd_folder, vae=tmp_path / source)["vae"].decoder.conv_out.bias[0] == 7.0


def test_a_folder_without_a_tokenizer_is_refused(sd_folder, tmp_path):
    shutil.copytree(sd_folder, tmp_path / "sd")
    for file in (tmp_path / "sd" / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises((ValueError, OSError), match="tokenizer"):
        StableDiffusion().load(tmp_path / "sd")


@pytest.mark.parametrize("family, folder", [(StableDiffusion, "sd_folder"), (StableDiffusionXL, "sdxl_folder")])
def test_encoded_text_equals_the_pipelines(family, folder, request):
    kind = family()
    parts = kind.load(request.getfixturevalue(folder))
    for name in kind.component_names:
        parts[name].eval()
    ours = kind.encode_text(parts, ["a photo of a dog"])
    with torch.no_grad():
        theirs = kind.pipeline(parts).encode_prompt(
            "a photo of a dog", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    assert torch.allclose(ours.embeds, theirs[0], atol=1e-6)
    if ours.pooled is not None:
        assert torch.allclose(ours.pooled, theirs[2], atol=1e-6)


def test_an_empty_prompt_of_sdxl_is_what_guidance_takes(sdxl_folder):
    """Caption dropout trains the very branch that sampling uses: zeros."""
    kind = StableDiffusionXL()
    parts = kind.load(sdxl_folder)
    pipe = kind.pipeline(parts)
    assert pipe.config.force_zeros_for_empty_prompt
    with torch.no_grad():
        ours = kind.encode_text(parts, ["", "a dog"])
        some, none, pooled, none_pooled = pipe.encode_prompt("a dog", device="cpu", do_classifier_free_guidance=True)
    assert torch.equal(ours.embeds[:1], none) and torch.equal(ours.pooled[:1], none_pooled)
    assert torch.allclose(ours.embeds[1:], some, atol=1e-6) and torch.allclose(ours.pooled[1:], pooled, atol=1e-6)


def test_a_tokenizer_knows_its_words_and_spells_others():
    tokenizer = build_tokenizer(["a red circle on a blue background"] * 4, vocab_size=700, max_length=16)
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("a red circle").input_ids)
    assert tokens[1:-1] == ["a</w>", "red</w>", "circle</w>"]
    for text in ("zebra", "<sks> ünï 7"):
        ids = tokenizer(text).input_ids
        assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ", "") == text.replace(" ", "")
    again = build_tokenizer(["a red circle on a blue background"] * 4, vocab_size=700, max_length=16)
    assert tokenizer.get_vocab() == again.get_vocab()


def test_the_same_seed_builds_the_same_weights():
    from tests.tiny import tiny_sd_pipeline

    one, two, other = tiny_sd_pipeline(1), tiny_sd_pipeline(1), tiny_sd_pipeline(2)
    assert torch.equal(one.unet.conv_in.weight, two.unet.conv_in.weight)
    assert not torch.equal(one.unet.conv_in.weight, other.unet.conv_in.weight)


@pytest.mark.parametrize("family, folder", [(StableDiffusion, "sd_folder"), (StableDiffusionXL, "sdxl_folder")])
def test_networks_without_values_have_the_layers_of_the_model(family, folder, request):
    seen = {}
    torch.manual_seed(0)
    before = torch.get_rng_state()
    parts = family().load(request.getfixturevalue(folder), check=seen.update)
    assert torch.equal(before, torch.get_rng_state())  # what is drawn afterwards does not depend on the check
    assert set(seen) == set(family().component_names)
    for name, network in seen.items():
        assert {key: value.shape for key, value in network.named_parameters()} == \
            {key: value.shape for key, value in parts[name].named_parameters()}
        assert {value.device.type for value in network.parameters()} == {"meta"}
        assert [key for key, _ in network.named_modules()] == [key for key, _ in parts[name].named_modules()]


def test_what_the_check_raises_ends_the_loading_before_weights_are_read(sd_folder, tmp_path):
    shutil.copytree(sd_folder, tmp_path / "sd")
    for file in (tmp_path / "sd").rglob("*.safetensors"):
        save_file({}, file)  # no weights at all

    def refuse(networks):
        raise ValueError("not these")

    with pytest.raises(ValueError, match="not these"):
        StableDiffusion().load(tmp_path / "sd", check=refuse)
    with pytest.raises(PretrainedError, match=r"sd' cannot be right: its vae lacks 124 tensors"):
        StableDiffusion().load(tmp_path / "sd")
