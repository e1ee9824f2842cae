"""Whether a quantised network, read from its files, is the one that was saved: bit for bit, and in its pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from diffkit.export.quantized import Proof, load_quantized, proof_output, read_proof
from diffkit.models.generation import GenerationSettings, generate

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion


def make_proof(model: "LatentDiffusion", component: str, step: tuple[Any, Any, Any], prompts: list[str],
               seeds: list[int], settings: dict[str, Any]) -> Proof:
    """Lets a model whose layers are fake-quantised answer.

    Args:
        model: the model; all of it computes in float32.
        component: the name of the quantised network.
        step: noisy latents, timesteps and conditioning.
        prompts: of pictures.
        seeds: of pictures, one each.
        settings: changes of the model's own settings of sampling.
    """
    latents, timesteps, conditioning = step
    arguments = conditioning.unet_arguments()
    added = {f"added.{name}": value for name, value in arguments.pop("added_cond_kwargs", {}).items()}
    inputs = {name: value.detach().clone(memory_format=torch.contiguous_format)  # as they come back from a file
              for name, value in {"sample": latents, "timestep": timesteps, **arguments, **added}.items()}
    with model.sampling():
        output = proof_output(model.get_submodule(component), inputs, latents.device)
        pictures = np.stack([np.asarray(image) for image in model.generate(prompts, seeds=seeds, **settings)])
    return Proof(
        {name: value.cpu() for name, value in inputs.items()}, output.cpu(), prompts, seeds,
        torch.from_numpy(pictures), vars(model.settings.updated(**settings)).copy(), latents.device.type,
        torch.get_num_threads())


def verify_loading(folder: Path, pipe: Any) -> str:
    """Loads a quantised UNet anew and compares it with its proof: ``torch.equal``, and the pictures made again.

    Args:
        folder: ``step<N>/unet_int8``.
        pipe: a pipeline in float32 with the other parts; its UNet is put back.

    Returns:
        One line of what was compared.

    Raises:
        ValueError: it differs, or there is nothing to compare it with.
    """
    proof = read_proof(folder)
    if pipe.device.type != proof.device:
        raise ValueError(f"{folder} was made on {proof.device}: only there can it be compared bit for bit, not on "
                         f"{pipe.device.type}.")
    own, threads = pipe.unet, torch.get_num_threads()
    network = load_quantized(folder).to(pipe.device)
    torch.set_num_threads(proof.threads)
    try:
        output = proof_output(network, proof.inputs, pipe.device).cpu()
        pipe.unet = network
        settings = GenerationSettings(**proof.settings)
        images = np.stack([np.asarray(image) for image in generate(pipe, proof.prompts, proof.seeds, settings)])
    finally:
        pipe.unet = own
        torch.set_num_threads(threads)
    if not torch.equal(output, proof.output):
        far = float((output - proof.output).abs().max())
        raise ValueError(f"{folder} does not give what the saved model gave: outputs differ by up to {far:.3g}. It is "
                         "damaged, or this is another kind of processor or version of torch.")
    differ = int((images != proof.pictures.numpy()).any(axis=(1, 2, 3)).sum())
    if differ:
        raise ValueError(f"{folder} makes other pictures than the saved model made: {differ} of {len(images)} differ, "
                         "though the UNet's outputs are equal. The text encoder or the VAE is another one.")
    return (f"{folder}: outputs equal bit for bit ({output.numel()} values), {len(images)} pictures made again and "
            "equal.")


def all_float32(modules: dict[str, nn.Module]) -> bool:
    """Whether every parameter is float32: only then are outputs compared bit for bit."""
    return all(value.dtype == torch.float32 for module in modules.values() for value in module.parameters())
