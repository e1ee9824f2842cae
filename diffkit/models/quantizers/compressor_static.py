"""neural-compressor's static quantisation on an exported graph (PT2E), read back layer by layer.

The library makes a graph whose layers round their weights and inputs, and which rounds the operands of some sums,
products and joined maps too. Of that graph the roundings of the layers are taken, which integer layers can keep; the
others are counted, and what they cost is measured.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.quantized.frozen import PlainCall
from diffkit.models.quantizers.compressor_library import asked_of_library, library, library_config

_LAYERS = ("aten.conv2d.default", "aten.linear.default")
_INPUTS = ("sample", "timestep", "encoder_hidden_states")
_ADDED = ("text_embeds", "time_ids")


@dataclass(frozen=True)
class StaticLayer:
    """What the graph rounds a layer's values with.

    Attributes:
        codes: int8, of the weight's shape.
        scale: float32 [out].
        input_scale: float32 [].
        input_zero_point: int32 [], a code of 8 bits without a sign.
    """

    codes: Tensor
    scale: Tensor
    input_scale: Tensor
    input_zero_point: Tensor


@dataclass(frozen=True)
class StaticGraph:
    """What was read of a graph.

    Attributes:
        layers: by name in the network.
        others: how many roundings belong to no layer.
        outputs: what the graph gives for some of the calls.
    """

    layers: dict[str, StaticLayer]
    others: int
    outputs: list[Tensor]


class RecordedCalls:
    """What a UNet is called with while it samples, as tensors in the order of :class:`PlainCall`."""

    def __init__(self) -> None:
        self.calls: list[tuple[Tensor, ...]] = []

    def __call__(self, network: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Notes one call; a forward pre-hook with keywords."""
        given = {**dict(zip(_INPUTS, args, strict=False)), **kwargs}
        added = given.get("added_cond_kwargs") or {}
        values = [given[name] for name in _INPUTS] + [added[name] for name in _ADDED if name in added]
        found = tuple(torch.as_tensor(value, device=values[0].device).detach().clone() for value in values)
        if not self.calls or _shapes(found) == _shapes(self.calls[0]):  # a graph has the shapes of one call
            self.calls.append(found)


def static_graph(network: nn.Module, calls: Sequence[tuple[Tensor, ...]], options: Mapping[str, Any],
                 compared: Sequence[tuple[Tensor, ...]]) -> StaticGraph:
    """Lets the library export, calibrate and convert a UNet, which itself stays as it is, and reads the graph.

    Args:
        network: of diffusers, in evaluation mode.
        calls: what it is calibrated on, all of the same shapes.
        options: the library's.
        compared: calls that the graph answers in the end.

    Raises:
        ValueError: the library failed, or its graph is not what can be read.
    """
    config = library_config("static", options)
    with torch.no_grad():
        graph = asked_of_library("the export of the UNet", lambda: _exported(network, calls[0]))
        graph = asked_of_library("the preparation of the graph", lambda: library().prepare(graph, config))
        for call in calls:
            graph(*call)
        graph = asked_of_library("the conversion of the graph", lambda: library().convert(graph))
        layers = dict(_layers_of(graph))
        rounded = sum("dequantize_per_tensor" in str(node.target) for node in graph.graph.nodes)
        inputs = {node.args[0] for node in graph.graph.nodes if str(node.target) in _LAYERS}
        return StaticGraph(layers, rounded - len(inputs), [graph(*call) for call in compared])


def _exported(network: nn.Module, call: tuple[Tensor, ...]) -> Any:
    from neural_compressor.torch.export import export

    return export(PlainCall(network), call)


def _layers_of(graph: Any) -> Iterator[tuple[str, StaticLayer]]:
    """Name and roundings of each layer."""
    for node in graph.graph.nodes:
        if str(node.target) not in _LAYERS:
            continue
        x, weight = node.args[:2]
        if "dequantize_per_tensor" not in str(x.target) or "dequantize_per_" not in str(weight.target):
            raise ValueError(f"NeuralCompressorQuantizer: the library's graph leaves {weight} or its input as it is; "
                             "such a graph cannot be read.")
        name = str(weight.args[0].args[0].target).removeprefix("unet.").removesuffix(".weight")
        rounding = [_value(graph, each) for each in weight.args[0].args]
        yield name, _layer(weight.args[0].target(*rounding), rounding[1:3], x.args[1:])


def _layer(codes: Tensor, rounding: Sequence[Any], inputs: Sequence[Any]) -> StaticLayer:
    scale, zero = (torch.as_tensor(value, device=codes.device).reshape(-1) for value in rounding)
    if codes.dtype != torch.int8 or zero.any():
        raise ValueError("NeuralCompressorQuantizer: codes of weights without a sign, or with zero points, cannot be "
                         "kept.")
    scale = scale.float().expand(len(codes)).contiguous()
    input_scale, input_zero, input_least = inputs[:3]
    return StaticLayer(codes, scale, torch.tensor(float(input_scale), device=codes.device),
                       torch.tensor(int(input_zero) - int(input_least), dtype=torch.int32, device=codes.device))


def _value(graph: Any, node: Any) -> Any:
    """The value of an argument: a number, or what a node fetches."""
    if not isinstance(node, torch.fx.Node):
        return node
    value = graph
    for part in str(node.target).split("."):
        value = getattr(value, part)
    return value.detach()


def _shapes(call: Sequence[Tensor]) -> list[torch.Size]:
    return [value.shape for value in call]
