"""neural-compressor's weight-only algorithms, asked for one linear layer at a time.

The library knows language models: GPTQ walks through a stack of blocks, HQQ casts every other layer to float16. So each
layer is shown to it as a model of its own.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.models.quantizers.compressor_library import asked_of_library, library, library_config


@dataclass(frozen=True)
class RoundedWeight:
    """What became of a weight: either codes with scales, or floats.

    Attributes:
        codes: int8 [out, in], or None.
        scale: float32 [out], or None.
        floats: float32 [out, in], or None.
    """

    codes: Tensor | None = None
    scale: Tensor | None = None
    floats: Tensor | None = None


class _Block(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class _Stack(nn.Module):
    """A layer in the form of a language model: a list of one block."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_Block(layer)])

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks[0](x)


def code_bits(algorithm: str, options: Mapping[str, Any], inputs: int) -> int | None:
    """How many bits the codes have, where one scale for each output channel and no zero point stand for the weight.

    Args:
        algorithm: ``rtn``, ``gptq`` or ``hqq``.
        options: the library's.
        inputs: of the layer: one group, if a group is as large.

    Returns:
        2 to 8; None where the weight is kept as floats.
    """
    kind, group = options.get("dtype", "int"), options.get("group_size", 32)
    bits = {"int8": 8, "int4": 4}.get(kind, options.get("bits", 4))
    plain = algorithm in ("rtn", "gptq") and kind in ("int", "int8", "int4") and bits in range(2, 9)
    symmetric = options.get("use_sym", True) and not options.get("use_full_range")  # which has negative scales
    extra = options.get("use_double_quant") or options.get("fp8_aware") or options.get("group_dim", 1) != 1
    return bits if plain and symmetric and not extra and (group == -1 or group >= inputs) else None


def round_weight(name: str, layer: nn.Linear, algorithm: str, options: Mapping[str, Any],
                 inputs: Tensor | None) -> RoundedWeight:
    """Lets the library quantise the weight of a layer, which itself stays as it is.

    Args:
        name: of the layer, for messages.
        layer: with a float weight.
        algorithm: ``rtn``, ``gptq`` or ``hqq``.
        options: the library's.
        inputs: float32 [n, in], what the layer sees, for ``gptq``.

    Raises:
        ValueError: the library failed, or gave something else than its options say.
    """
    plain = nn.Linear(layer.in_features, layer.out_features, bias=False, device=layer.weight.device)
    plain.weight = nn.Parameter(layer.weight.detach().float().clone(), requires_grad=False)
    made = asked_of_library(f"layer {name!r} ({algorithm}, {dict(options)})",
                            lambda: _quantized(plain, algorithm, options, inputs))
    device, bits = layer.weight.device, code_bits(algorithm, options, layer.in_features)
    if bits is None:
        with _full_precision():
            return RoundedWeight(floats=_floats(made).to(device))
    found = made.unpack()
    codes, scale = found["int_weight"].int(), found["scales"].float()
    if found["zp"] is not None:
        codes = codes - found["zp"].int()
    if scale.shape[1] != 1 or codes.min() < -(2 ** (bits - 1)) or codes.max() >= 2 ** (bits - 1):
        raise ValueError(f"NeuralCompressorQuantizer: {algorithm} with {dict(options)} gave layer {name!r} other codes "
                         f"than of {bits} bits with one scale for each channel: please report it.")
    return RoundedWeight(codes.to(device, torch.int8), scale[:, 0].to(device))


def _quantized(layer: nn.Linear, algorithm: str, options: Mapping[str, Any], inputs: Tensor | None) -> Any:
    calls = library()
    with _full_precision():
        model = calls.prepare(_Stack(deepcopy(layer)), library_config(algorithm, options))
        if inputs is not None:
            model(inputs)
        exact = {"use_optimum_format": False} if algorithm == "rtn" else {}  # scales stay float32
        return calls.convert(model, **exact).blocks[0].layer


@torch.no_grad()
def _floats(made: Any) -> Tensor:
    """The weight of one of the library's layers as floats."""
    if hasattr(made, "recover"):
        return made.recover().float()
    if hasattr(made, "dequantize_weight"):
        return made.dequantize_weight().float()
    return made.weight.detach().float()  # formats like fp8 are rounded in place


@contextmanager
def _full_precision() -> Iterator[None]:
    """What the library's variable ``HQQ_NOT_USE_HALF`` does: HQQ does not cast to float16."""
    from neural_compressor.torch.algorithms.weight_only.hqq.config import hqq_global_option

    before, hqq_global_option.use_half = hqq_global_option.use_half, False
    try:
        yield
    finally:
        hqq_global_option.use_half = before


class InputRows:
    """Some rows of what a linear layer sees, from each call.

    Args:
        count: rows of each call.
        seed: of the choice.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.rows = count, list[Tensor]()
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, layer: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Looks at one input; a forward pre-hook."""
        rows = args[0].detach().flatten(0, -2)
        chosen = torch.randint(len(rows), (self.count,), generator=self._generator)
        self.rows.append(rows[chosen.to(rows.device)].float())

    def all(self) -> Tensor:
        """All of them, float32 [n, in]."""
        return torch.cat(self.rows)
