"""Trained weights of cross-attention: a file in the format of diffusers' Custom Diffusion, and the way back.

diffusers writes such a file and cannot read it: it wants an entry for each layer of self-attention too. Here they are
empty tensors, which safetensors can hold. A compressed file has two factors of the change in place of each matrix.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from diffkit.export.artifacts import DeltaArtifact, EmbeddingArtifact
from diffkit.export.low_rank import low_rank
from diffkit.export.reload import check_fits
from diffkit.export.signature import base_tensors
from diffkit.export.tensors import read_tensors, save_tensors
from diffkit.utils.step_folder import COMPRESSED_DELTA_FILE, DELTA_FILE, StepFolder

_OWN = re.compile(r"(.*\.attn2)\.to_(q|k|v|out)((?:\.0)?\.(?:weight|bias))")
_FILE = re.compile(r"(.*\.attn2)\.processor\.to_(q|k|v|out)_custom_diffusion((?:\.0)?\.(?:weight|bias))")
_FACTOR = re.compile(r"(.*)\.(u|v)")


@dataclass(frozen=True)
class Delta:
    """What a file holds, by the names of the parameters.

    Attributes:
        whole: the weights themselves.
        factors: of a matrix's change: ``u`` [m, r] and ``v`` [r, n]; the matrix is the base's plus ``u v``.
    """

    whole: dict[str, Tensor] = field(default_factory=dict)
    factors: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def shapes(self) -> dict[str, list[int]]:
        """The shape of each parameter."""
        return {**{name: list(value.shape) for name, value in self.whole.items()},
                **{name: [len(u), v.shape[1]] for name, (u, v) in self.factors.items()}}


def delta_of(artifact: DeltaArtifact) -> Delta:
    """What is to be written: weights whole, or with a compression keys and values as factors."""
    trained = artifact.trained()
    if artifact.compression is None:
        return Delta(trained)
    before = artifact.initial()
    small = {name for name in trained if re.search(r"attn2\.to_[kv]\.weight$", name)}
    factors = {name: low_rank(trained[name] - before[name].to(trained[name]), artifact.compression) for name in small}
    return Delta({name: value for name, value in trained.items() if name not in small}, factors)


def delta_file(artifact: DeltaArtifact) -> str:
    """Name of the file of an artifact."""
    return DELTA_FILE if artifact.compression is None else COMPRESSED_DELTA_FILE


def file_tensors(delta: Delta) -> dict[str, Tensor]:
    """The tensors of the file, by their names in it.

    Raises:
        ValueError: a parameter belongs to no cross-attention.
    """
    tensors = {}
    for name, value in delta.whole.items():
        match = _OWN.fullmatch(name)
        if match is None:
            raise ValueError(f"{name} is no weight of cross-attention: this format has no place for it.")
        tensors[f"{match[1]}.processor.to_{match[2]}_custom_diffusion{match[3]}"] = value
        if not delta.factors:
            tensors[f"{match[1].removesuffix('attn2')}attn1.processor"] = torch.zeros(0)
    for name, (u, v) in delta.factors.items():
        tensors |= {f"{name}.u": u, f"{name}.v": v}
    return dict(sorted(tensors.items()))


def write_delta(artifact: DeltaArtifact, folder: Path, embeddings: list[EmbeddingArtifact] | None = None) -> list[Path]:
    """Writes the trained weights, and as pickles too where the artifact says so.

    Args:
        artifact: the trained weights.
        folder: the step folder.
        embeddings: the words that were learned beside them; the authors' file holds them too.
    """
    delta = delta_of(artifact)
    path = folder / delta_file(artifact)
    stated = {} if artifact.compression is None else {"compression": str(artifact.compression)}
    save_tensors(file_tensors(delta), path, stated)
    return [path, *(_write_pickles(delta, folder, embeddings or []) if artifact.pickled else [])]


def _write_pickles(delta: Delta, folder: Path, embeddings: list[EmbeddingArtifact]) -> list[Path]:
    """The ``.bin`` files of diffusers (whole weights only) and of the authors' program."""
    unet: dict[str, Any] = {name: _plain(value) for name, value in delta.whole.items()}
    unet |= {name: {"u": _plain(u), "v": _plain(v)} for name, (u, v) in delta.factors.items()}
    words: dict[str, Any] = {}
    for artifact in embeddings:
        vectors = [_plain(rows()) for _, rows in artifact.rows]
        for i in range(len(vectors[0])):  # their program knows one vector a word; of several each is a word
            own = [rows[i].clone() for rows in vectors]
            words[artifact.token + (f"_{i}" if i else "")] = own if len(own) > 1 else own[0]
    original = folder / ("compressed_delta.bin" if delta.factors else "delta.bin")
    torch.save({"unet": unet, "modifier_token": words}, original)
    if delta.factors:
        return [original]
    own_format: dict[str, Any] = {
        name: _plain(value) if len(value) else {} for name, value in file_tensors(delta).items()}
    torch.save(own_format, (folder / DELTA_FILE).with_suffix(".bin"))
    return [original, (folder / DELTA_FILE).with_suffix(".bin")]


def _plain(value: Tensor) -> Tensor:
    return value.detach().cpu().contiguous().clone()


def read_delta(path: Path) -> Delta:
    """Reads a file that :func:`write_delta` or diffusers wrote.

    Raises:
        ValueError: it is damaged, or holds something else.
    """
    delta = Delta()
    halves: dict[str, dict[str, Tensor]] = {}
    for name, value in read_tensors(path).items():
        if match := _FILE.fullmatch(name):
            delta.whole[f"{match[1]}.to_{match[2]}{match[3]}"] = value
        elif match := _FACTOR.fullmatch(name):
            halves.setdefault(match[1], {})[match[2]] = value
        elif len(value):
            raise ValueError(f"{path} holds {name!r}, which is no weight of cross-attention.")
    for name, pair in halves.items():
        if pair.keys() != {"u", "v"} or any(half.dim() != 2 for half in pair.values()) \
                or pair["u"].shape[1] != len(pair["v"]):
            raise ValueError(f"{path} holds no two factors of {name!r} that belong together.")
        delta.factors[name] = (pair["u"], pair["v"])
    if not delta.shapes:
        raise ValueError(f"{path} holds no weights of cross-attention.")
    return delta


def whole_weights(delta: Delta, base: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """The weights that a delta stands for, float32.

    Args:
        delta: what :func:`read_delta` gives.
        base: the weights of the network that it was trained on, by name.
        source: where it comes from, for messages.

    Raises:
        ValueError: it does not fit.
    """
    lost = [name for name, shape in delta.shapes.items() if name not in base or list(base[name].shape) != shape]
    if lost:
        raise ValueError(f"{source} does not fit the model: {lost[0]} has no counterpart of its shape.")
    factors = {name: (base[name].double() + u.double() @ v.double()).float() for name, (u, v) in delta.factors.items()}
    return {**{name: value.float() for name, value in delta.whole.items()}, **factors}


def apply_delta(components: Mapping[str, Any], step: StepFolder, target: str) -> None:
    """Puts the trained weights of a step folder into the UNet, in place.

    Args:
        components: the networks of the pipeline, by name; their weights are those that the folder was trained on.
        step: a step folder; one without trained weights changes nothing.
        target: name of the pipeline, for messages.

    Raises:
        ValueError: it does not fit; nothing has been changed then.
    """
    if step.delta is None:
        return
    check_fits(components, step, target)
    delta = read_delta(step.delta)
    weights = dict(base_tensors(components["unet"]))
    wrong = [name for name, shape in delta.shapes.items() if name not in weights or list(weights[name].shape) != shape]
    if wrong:
        raise ValueError(f"{step.delta} does not fit {target!r}: {len(wrong)} of {len(delta.shapes)} weights have no "
                         f"counterpart of their shape, such as {wrong[0]}. It was trained on another model.")
    with torch.no_grad():
        for name, value in delta.whole.items():
            weights[name].copy_(value)
        for name, (u, v) in delta.factors.items():
            weights[name] += (u.double() @ v.double()).to(weights[name])
