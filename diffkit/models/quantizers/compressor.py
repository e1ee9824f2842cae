"""Post-training quantisation by neural-compressor's algorithms, in the form that diffkit keeps and measures."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from diffkit.export.artifacts import QuantizedArtifact
from diffkit.export.quantized.frozen import PlainCall
from diffkit.export.quantized.layers import replace_layer
from diffkit.export.quantized.network import weights_sha256
from diffkit.models.quantizers.base import Quantizer, sample_floats
from diffkit.models.quantizers.compressor_layers import CompressedLayer, compress
from diffkit.models.quantizers.compressor_library import (
    OPTIONS,
    check_options,
    library_config,
    library_version,
    short_collections,
)
from diffkit.models.quantizers.compressor_static import RecordedCalls, static_graph
from diffkit.models.quantizers.compressor_weights import InputRows, code_bits, round_weight
from diffkit.models.quantizers.rules import matching
from diffkit.registry import QUANTIZERS
from diffkit.utils.near import did_you_mean

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion
    from diffkit.models.tuners.base import Tuner

#: Calls that the graph of ``static`` is compared with the float network on.
_COMPARED = 4


@QUANTIZERS.register_module()
class NeuralCompressorQuantizer(Quantizer):
    """Quantises a trained component once, with an algorithm of the optional package neural-compressor.

    ``rtn``, ``gptq`` and ``hqq`` round the weights of linear layers and nothing else: convolutions and inputs stay
    floats. ``static`` (PT2E) rounds weights and inputs of linear layers and convolutions to 8 bits. The output is
    ``<component>_int8`` in the step folder. Weights are integers there where codes with one scale for each output
    channel stand for them; others, such as those with groups or zero points, are rounded floats, and the log and the
    description say so. Meant for the loop ``PostTraining`` with ``CalibrationHook``.

    Args:
        algorithm: ``rtn``, ``gptq``, ``hqq`` or ``static``.
        options: of the library's config of that algorithm, by name; what is not given has the library's default.
        component: what is quantised; ``static`` knows UNets alone.
        skip: regular expressions of layers that stay as they are; not for ``static``.
        rows: how many rows of a layer's input ``gptq`` takes of each call while the float model samples.
    """

    def __init__(self, algorithm: str = "rtn", options: dict[str, Any] | None = None, component: str = "unet",
                 skip: Sequence[str] = (), rows: int = 16) -> None:
        if algorithm not in OPTIONS:
            raise ValueError(f"NeuralCompressorQuantizer: algorithm is {algorithm!r}"
                             f"{did_you_mean(algorithm, OPTIONS)}")
        if isinstance(skip, str):
            raise ValueError(f"NeuralCompressorQuantizer: skip is {skip!r}; it must be a list of regular expressions.")
        if skip and algorithm == "static":
            raise ValueError("NeuralCompressorQuantizer: skip is not for static, whose graph has all layers.")
        if rows < 1:
            raise ValueError(f"NeuralCompressorQuantizer: rows is {rows}; it must be 1 or more.")
        self.algorithm, self.options, self.component = algorithm, dict(options or {}), component
        check_options(algorithm, self.options)
        self.skip, self.rows = tuple(skip), rows
        self.source_sha256 = ""
        self._remarks: list[str] = []

    # --- the change of the layers

    def apply(self, model: "LatentDiffusion") -> None:
        if self.component not in model.components:
            raise ValueError(f"NeuralCompressorQuantizer: component is {self.component!r}, which this family lacks; it "
                             f"has {', '.join(model.components)}.")
        library_config(self.algorithm, self.options)
        network = model.get_submodule(self.component)
        self.source_sha256 = weights_sha256(network)
        static = self.algorithm == "static"
        kinds = (nn.Linear, nn.Conv2d) if static else (nn.Linear,)
        layers = {name: layer for name, layer in network.named_modules() if type(layer) in kinds}
        if any(hasattr(layer, "base_layer") for layer in network.modules()):
            raise ValueError("NeuralCompressorQuantizer: layers with adapters cannot be quantised; merge them first.")
        left = {name for pattern in self.skip for name in matching(pattern, list(layers), "skip")}
        for name, layer in layers.items():
            if name not in left:
                bits = 8 if static else code_bits(self.algorithm, self.options, layer.in_features)
                compress(layer, bits or 8, bits is not None, 8 if static else None)

    def layers(self, model: "LatentDiffusion") -> dict[str, Any]:
        """The rounded layers by their names in the component."""
        return {name: layer for name, layer in model.get_submodule(self.component).named_modules()
                if isinstance(layer, CompressedLayer)}

    # --- the algorithms

    def calibrate(self, model: "LatentDiffusion", prompts: Sequence[str], seed: int = 0, batch_size: int = 4,
                  **settings: Any) -> None:
        def sample() -> None:
            sample_floats(self, model, prompts, seed, batch_size, **settings)

        with model.sampling(), short_collections():
            if self.algorithm == "static":
                self._fill_static(model, sample)
            else:
                self._fill_weights(model, sample)

    def _fill_weights(self, model: "LatentDiffusion", sample: Callable[[], None]) -> None:
        layers = self.layers(model)
        seen = {name: InputRows(self.rows, number) for number, name in enumerate(layers)}
        if self.algorithm == "gptq":
            with _watched({name: (layers[name], seen[name]) for name in layers}):
                sample()
        for name, layer in layers.items():
            inputs = seen[name].all() if seen[name].rows else None
            found = round_weight(name, layer, self.algorithm, self.options, inputs)
            seen[name].rows.clear()
            scale = torch.ones_like(layer.weight_scale) if found.scale is None else found.scale
            layer.fill({"codes": found.codes, "rounded": found.floats, "weight_scale": scale})
        floats = sum(layer.codes is None for layer in layers.values())
        network = model.get_submodule(self.component)
        others = sum(type(layer) in (nn.Linear, nn.Conv2d) for layer in network.modules())
        self._remarks = [
            f"{library_version()}, {self.algorithm}: weights of {len(layers)} linear layers are rounded; {others} "
            "other layers, convolutions above all, and all inputs are floats."]
        if floats:
            self._remarks.append(
                f"{floats} of the rounded weights are kept as float32: codes with one scale for each output channel "
                "cannot stand for them. They take as many bytes as before.")

    def _fill_static(self, model: "LatentDiffusion", sample: Callable[[], None]) -> None:
        network, recorded = model.get_submodule(self.component), RecordedCalls()
        with self.disabled(model):
            handle = network.register_forward_pre_hook(recorded, with_kwargs=True)
            try:
                sample()
            finally:
                handle.remove()
            calls = recorded.calls
            compared = calls[::max(1, len(calls) // _COMPARED)][:_COMPARED]
            graph = static_graph(network, calls, self.options, compared)
            floats = _answers(network, compared)
        layers = self.layers(model)
        if graph.layers.keys() != layers.keys():
            missing = sorted(layers.keys() ^ graph.layers.keys())
            raise ValueError(f"NeuralCompressorQuantizer: the library's graph has other layers than the network: "
                             f"{', '.join(missing[:5])}.")
        for name, found in graph.layers.items():
            layers[name].fill({"codes": found.codes, "weight_scale": found.scale, "input_scale": found.input_scale,
                               "input_zero_point": found.input_zero_point})
        own = _answers(network, compared)
        self._remarks = [
            f"{library_version()}, static: {len(layers)} layers have the codes and ranges of the library's graph, "
            f"found on {len(calls)} calls of the UNet. {graph.others} further roundings of that graph, of sums, "
            "products and joined maps, are not kept. "
            f"Error of predictions: {_error(graph.outputs, floats):.2e} of the float output's square with the graph, "
            f"{_error(own, floats):.2e} with what is kept ({len(compared)} calls)."]

    def calibration_report(self, model: "LatentDiffusion", prompts: int) -> list[str]:
        return self._remarks

    # --- checkpoints

    def state(self, model: "LatentDiffusion") -> dict[str, Tensor]:
        return {f"{self.component}.{name}.{key}": value for name, layer in self.layers(model).items()
                for key, value in layer.tensors().items()}

    def load_state(self, model: "LatentDiffusion", state: dict[str, Tensor]) -> None:
        for name, layer in self.layers(model).items():
            prefix = f"{self.component}.{name}"
            layer.fill({key: state[f"{prefix}.{key}"] for key in layer.tensors()})

    def holds(self, tuner: "Tuner") -> bool:
        return tuner.component == self.component

    def artifact(self, model: "LatentDiffusion") -> QuantizedArtifact:
        layers = self.layers(model)
        floats = [name for name, layer in layers.items() if layer.codes is None]
        details: Mapping[str, Any] = {
            "library": library_version(), "algorithm": self.algorithm, "options": self.options,
            "integer_weights": len(layers) - len(floats), "rounded_float_weights": floats, "remarks": self._remarks}
        return QuantizedArtifact(
            component=self.component, module=_with_rounded(model.get_submodule(self.component), floats),
            base=model.pretrained, source_sha256=self.source_sha256, details=dict(details), proof=self.proof)

    def describe(self) -> str:
        """One line for the table that is printed before training."""
        options = "".join(f", {name} {value}" for name, value in self.options.items())
        return f"{self.component}: neural-compressor {self.algorithm}{options}"


def _with_rounded(network: nn.Module, names: Sequence[str]) -> nn.Module:
    """The network, with plain layers of the rounded weights for some; all other tensors are shared."""
    if not names:
        return network
    shared = {id(value): value for value in [*network.parameters(), *network.buffers()]}
    copy = deepcopy(network, shared)
    for name in names:
        layer: Any = network.get_submodule(name)
        replace_layer(copy, name, layer.plain())
    return copy


@contextmanager
def _watched(pairs: Mapping[str, tuple[nn.Module, Any]]) -> Iterator[None]:
    """Lets each second of a pair look at the inputs of the first, inside ``with``."""
    handles = [layer.register_forward_pre_hook(look) for layer, look in pairs.values()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def _answers(network: nn.Module, calls: Sequence[tuple[Tensor, ...]]) -> list[Tensor]:
    call = PlainCall(network)
    return [call(*each) for each in calls]


def _error(found: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """Squared error, as a share of the reference's square."""
    errors = sum(float((a - b).square().sum()) for a, b in zip(found, reference, strict=True))
    return errors / sum(float(each.square().sum()) for each in reference)
