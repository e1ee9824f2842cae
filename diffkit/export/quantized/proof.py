"""What a quantised network gave when it was saved, so that any later one can be held against it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffkit.export.tensors import read_tensors, save_tensors

PROOF_FILE = "proof.safetensors"


@dataclass(frozen=True)
class Proof:
    """Inputs and outputs of a network, and pictures that a pipeline made with it.

    Attributes:
        inputs: tensors by the names of the UNet's arguments; those of ``added_cond_kwargs`` begin with ``added.``.
        output: the network's output for them.
        prompts: of the pictures.
        seeds: of the pictures, one each.
        pictures: uint8 [n, height, width, 3].
        settings: of :class:`~diffkit.models.generation.GenerationSettings`.
        device: kind of the device that computed them.
        threads: threads of the CPU that computed them: sums depend on their number in the last bits.
    """

    inputs: dict[str, Tensor]
    output: Tensor
    prompts: list[str]
    seeds: list[int]
    pictures: Tensor
    settings: dict[str, Any]
    device: str
    threads: int


def write_proof(proof: Proof, folder: Path) -> Path:
    """Writes ``proof.safetensors``."""
    tensors = {f"input.{name}": value for name, value in proof.inputs.items()}
    tensors |= {"output": proof.output, "pictures": proof.pictures}
    about = {"prompts": proof.prompts, "seeds": proof.seeds, "settings": proof.settings, "device": proof.device,
             "threads": proof.threads, "torch": torch.__version__}
    save_tensors(tensors, folder / PROOF_FILE, {"proof": json.dumps(about)})
    return folder / PROOF_FILE


def read_proof(folder: Path) -> Proof:
    """Reads the proof beside a quantised network.

    Raises:
        ValueError: there is none, or it is damaged.
    """
    from safetensors import safe_open

    path = folder / PROOF_FILE
    if not path.is_file():
        raise ValueError(f"{folder} has no {PROOF_FILE}: there is nothing to compare with. QuantizationHook writes one "
                         "into the last checkpoint of a training.")
    tensors = read_tensors(path)
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads(file.metadata()["proof"])
        # Copied, for in the file they begin anywhere, and the last bits of products depend on where values begin.
        inputs = {name.removeprefix("input."): value.clone() for name, value in tensors.items()
                  if name.startswith("input.")}
        return Proof(inputs, tensors["output"], about["prompts"], about["seeds"], tensors["pictures"],
                     about["settings"], about["device"], about["threads"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error!r}.") from None


def proof_output(network: Any, inputs: dict[str, Tensor], device: torch.device) -> Tensor:
    """The network's output for the inputs of a proof."""
    plain = {name: value.to(device) for name, value in inputs.items() if not name.startswith("added.")}
    added = {name.removeprefix("added."): value.to(device) for name, value in inputs.items()
             if name.startswith("added.")}
    with torch.no_grad():
        return network(**plain, **({"added_cond_kwargs": added} if added else {})).sample
