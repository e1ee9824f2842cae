"""One file for a whole pipeline: what diffusers reads out of it is what was put in."""

import json

import pytest
import torch
from diffusers import StableDiffusionPipeline, StableDiffusionXLPipeline
from safetensors.torch import load_file

from diffkit.export.single_file import single_file_tensors, write_single_file
from diffkit.export.single_file_names import openclip_tensors, unet_names, vae_names
from diffkit.models.families.unet_configs import SD15, SDXL
from tests.tiny import SDXL_SPEC, tiny_sd_pipeline, tiny_sdxl_pipeline


def wider(monkeypatch):
    """An SDXL whose second text encoder has another width than the first, as the real one's has."""
    from tests import tiny

    second = {**SDXL_SPEC["text_encoder_2"], "hidden_size": 48}
    unet = {**SDXL_SPEC["unet"], "cross_attention_dim": 80}
    monkeypatch.setattr(tiny, "SDXL_SPEC", {**SDXL_SPEC, "text_encoder_2": second, "unet": unet})
    return tiny_sdxl_pipeline()


def equal(first, second):
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("family", ["sd", "sd with fewer layers", "sdxl"])
def test_diffusers_reads_what_was_written(family, tmp_path, monkeypatch):
    if family == "sdxl":
        kind, pipe = StableDiffusionXLPipeline, wider(monkeypatch)
    else:
        kind = StableDiffusionPipeline
        pipe = tiny_sd_pipeline(unet={"layers_per_block": 1} if family != "sd" else None)
    pipe.save_pretrained(tmp_path / "folder")
    file = write_single_file(pipe, tmp_path / "one.safetensors")
    assert all(value.is_contiguous() for value in load_file(file).values())
    found = kind.from_single_file(str(file), config=str(tmp_path / "folder"), local_files_only=True)
    names = [name for name, part in pipe.components.items() if isinstance(part, torch.nn.Module)]
    for name in names:
        equal(getattr(pipe, name), getattr(found, name))
    pictures = [made("a dog", num_inference_steps=1, output_type="np", generator=torch.Generator().manual_seed(0),
                     height=32, width=32).images for made in (pipe, found)]
    assert (pictures[0] == pictures[1]).all()


@pytest.mark.parametrize(("config", "known"), [
    (SD15, {"down_blocks.0.resnets.0.conv1.weight": "input_blocks.1.0.in_layers.2.weight",
            "down_blocks.0.downsamplers.0.conv.bias": "input_blocks.3.0.op.bias",
            "down_blocks.3.resnets.1.time_emb_proj.weight": "input_blocks.11.0.emb_layers.1.weight",
            "up_blocks.0.upsamplers.0.conv.weight": "output_blocks.2.1.conv.weight",
            "up_blocks.1.upsamplers.0.conv.weight": "output_blocks.5.2.conv.weight",
            "up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k.weight":
                "output_blocks.11.1.transformer_blocks.0.attn2.to_k.weight",
            "mid_block.resnets.1.norm2.weight": "middle_block.2.out_layers.0.weight",
            "mid_block.attentions.0.proj_in.weight": "middle_block.1.proj_in.weight"}),
    (SDXL, {"add_embedding.linear_2.bias": "label_emb.0.2.bias",
            "down_blocks.1.attentions.0.norm.weight": "input_blocks.4.1.norm.weight",
            "up_blocks.1.upsamplers.0.conv.weight": "output_blocks.5.2.conv.weight"}),
], ids=["sd15", "sdxl"])
def test_names_of_the_real_models(config, known):
    rename = unet_names(config)
    assert {name: rename(name) for name in known} == known


def test_every_name_is_given_once():
    from diffusers import AutoencoderKL, UNet2DConditionModel

    for config, count in ((SD15, 686), (SDXL, 1680)):
        with torch.device("meta"):
            names = UNet2DConditionModel(**config).state_dict()
        assert len(set(map(unet_names(config), names))) == count
    config = {"block_out_channels": [128, 256, 512, 512]}
    with torch.device("meta"):
        vae = AutoencoderKL(down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
                            layers_per_block=2, **config)
    renamed = set(map(vae_names(config), vae.state_dict()))
    assert len(renamed) == 248
    assert {"encoder.down.2.downsample.conv.weight", "decoder.up.3.upsample.conv.bias", "decoder.mid.attn_1.q.weight",
            "encoder.down.1.block.0.nin_shortcut.weight", "decoder.norm_out.bias"} <= renamed


def test_what_has_no_place_is_refused(tmp_path, monkeypatch):
    file = tmp_path / "one.safetensors"
    with pytest.raises(ValueError, match="two text encoders are of one width"):
        write_single_file(tiny_sdxl_pipeline(), file)
    with pytest.raises(ValueError, match="Stable Diffusion 2"):
        write_single_file(tiny_sd_pipeline(unet={"cross_attention_dim": 1024}), file)
    with pytest.raises(ValueError, match="no middle block"):
        write_single_file(tiny_sd_pipeline(unet={"mid_block_type": None}), file)
    uneven = {"layers_per_block": (1, 2), "block_out_channels": (16, 32),
              "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
              "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
    with pytest.raises(ValueError, match=r"levels of the UNet have different numbers of layers \(1, 2\)"):
        write_single_file(tiny_sd_pipeline(unet=uneven), file)
    pipe = tiny_sd_pipeline()
    pipe.tokenizer.add_tokens(["<toy>"])
    with pytest.raises(ValueError, match="learned words <toy> need a tokenizer"):
        write_single_file(pipe, file)
    with pytest.raises(ValueError, match="no place for 'head"):
        openclip_tensors({"head.weight": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"no place for 'down_blocks\.0\.motion"):
        unet_names(SD15)("down_blocks.0.motion.weight")
    assert not file.exists()


def test_adapters_are_merged(tmp_path):
    from peft import LoraConfig

    pipe = tiny_sd_pipeline()
    pipe.unet.add_adapter(LoraConfig(r=2, target_modules=["to_q"], init_lora_weights=False))
    layer = pipe.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1.to_q
    wanted = layer.base_layer.weight + layer.get_delta_weight("default")
    found = single_file_tensors(pipe)
    assert torch.allclose(
        found["model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"], wanted, atol=1e-6)
    assert not json.dumps(list(found)).count("lora")
