"""Networks are loaded whole or not at all; older names of their tensors are no fault."""

import shutil

import torch
from diffusers import AutoencoderKL
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from diffkit.models.families.networks import load_network, load_networks
from diffkit.utils.pretrained_files import find_model

VAE, TEXT = "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"
#: Names of the attention layers in a VAE before diffusers 0.17: those of Stable Diffusion 1.5 on the hub.
OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def renamed(path, rename):
    tensors = load_file(path)
    save_file({rename(name): value for name, value in tensors.items()}, path, metadata={"format": "pt"})


def old_attention(name):
    for new, old in OLD.items():
        name = name.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
    return name


def same(one, two):
    return all(torch.equal(value, two.state_dict()[name]) for name, value in one.state_dict().items())


def test_a_vae_with_the_names_of_stable_diffusion_1_5(sd_folder, tmp_path):
    shutil.copytree(sd_folder, tmp_path / "sd")
    renamed(tmp_path / "sd" / VAE, old_attention)
    assert any(".query." in name for name in load_file(tmp_path / "sd" / VAE))
    known = load_network(AutoencoderKL, find_model(sd_folder), "vae")
    assert same(load_network(AutoencoderKL, find_model(tmp_path / "sd"), "vae"), known)


def test_a_text_encoder_with_the_names_of_transformers_4(sd_folder, tmp_path):
    shutil.copytree(sd_folder, tmp_path / "sd")
    path = tmp_path / "sd" / TEXT
    renamed(path, lambda name: f"text_model.{name.removeprefix('text_model.')}")
    tensors = load_file(path)
    tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]  # older files have it, nobody reads it
    save_file(tensors, path, metadata={"format": "pt"})
    known = load_network(CLIPTextModel, find_model(sd_folder), "text_encoder")
    assert same(load_network(CLIPTextModel, find_model(tmp_path / "sd"), "text_encoder"), known)


def test_networks_of_a_pipeline(sdxl_folder):
    found = load_networks(find_model(sdxl_folder), ["unet", "vae", "text_encoder_2", "image_encoder", "gone"],
                          torch.float16)
    assert list(found) == ["unet", "vae", "text_encoder_2"]
    assert {value.dtype for network in found.values() for value in network.parameters()} == {torch.float16}
    assert not any(network.training for network in found.values())
