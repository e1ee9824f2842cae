"""Quantisation-aware training: layers compute with rounded values, and learn to live with them."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import all_reduce
from torch import Tensor, nn

from diffkit.export.artifacts import QuantizedArtifact
from diffkit.export.quantized.network import weights_sha256
from diffkit.export.quantized.proof import Proof
from diffkit.models.quantizers.adapters import adapter_fault, quantized_adapter_class
from diffkit.models.quantizers.base import Quantizer, sample_floats
from diffkit.models.quantizers.fake_quant import InputQuantizer
from diffkit.models.quantizers.layers import QATConv2d, QATLayer, QATLinear
from diffkit.models.quantizers.ranges import INPUT_RANGES, WEIGHT_RANGES, InputRecord
from diffkit.models.quantizers.rules import Bits, assign_bits, sensitive_layers, with_bits
from diffkit.registry import QUANTIZERS

if TYPE_CHECKING:
    from diffkit.models.latent_diffusion import LatentDiffusion
    from diffkit.models.tuners.base import Tuner


@QUANTIZERS.register_module()
class QATQuantizer(Quantizer):
    """Fake-quantises every linear layer and convolution of a component.

    Weights have a scale for each output channel, codes with a sign, and zero as code 0; inputs have one scale and zero
    point for the whole tensor. Ranges are found by calibration (``CalibrationHook``) and stay, unless
    ``learned_scales`` or ``track_iters`` says otherwise. A layer with an adapter is quantised as the one layer that it
    becomes when the adapter is merged. The output is ``<component>_int8`` in the step folder, and no float component.

    Args:
        component: what is quantised.
        weight_bits: 2 to 8. Weights of up to 4 bits are kept two in a byte.
        activation_bits: of the layers' inputs, 2 to 8; None quantises weights alone.
        weight_range: ``minmax`` (which follows the weights while they are trained), ``percentile`` or ``mse``.
        activation_range: ``minmax``, ``moving_average``, ``percentile`` or ``mse``.
        percentile: for the ranges of that kind, above 50 and up to 100.
        rules: other bits for some layers: ``{r"^conv_(in|out)$": dict(weight_bits=8)}``. A regular expression is
            searched for in the layer's name inside the component; a later rule wins.
        skip: regular expressions of layers that stay as they are.
        ranking_file: what ``diffkit sensitivity --what quantization`` has written.
        sensitive: how many layers, of those that it says matter most, get ``sensitive_bits``, whatever rules say.
        sensitive_bits: their bits: ``dict(weight_bits=8)``, ``dict(activation_bits=None)``.
        learned_scales: scales are trained too (LSQ, Esser et al. 2020).
        track_iters: in so many first iterations the ranges of inputs move by ``momentum`` towards those of the batch.
        momentum: of moving averages, above 0 and up to 1.
    """

    def __init__(self, component: str = "unet", weight_bits: int = 8, activation_bits: int | None = 8,
                 weight_range: str = "mse", activation_range: str = "mse", percentile: float = 99.9,
                 rules: dict[str, dict] | None = None, skip: Sequence[str] = (),
                 ranking_file: str | None = None, sensitive: int = 0, sensitive_bits: dict | None = None,
                 learned_scales: bool = False, track_iters: int = 0, momentum: float = 0.01) -> None:
        if weight_range not in WEIGHT_RANGES:
            raise ValueError(f"QATQuantizer: weight_range is {weight_range!r}; allowed: {', '.join(WEIGHT_RANGES)}.")
        if activation_range not in INPUT_RANGES:
            raise ValueError(
                f"QATQuantizer: activation_range is {activation_range!r}; allowed: {', '.join(INPUT_RANGES)}.")
        if not 50 < percentile <= 100:
            raise ValueError(f"QATQuantizer: percentile is {percentile}; it must be above 50 and up to 100.")
        if track_iters < 0:
            raise ValueError(f"QATQuantizer: track_iters is {track_iters}; it must be 0 or more.")
        if not 0 < momentum <= 1:
            raise ValueError(f"QATQuantizer: momentum is {momentum}; it must be above 0 and up to 1.")
        if track_iters and learned_scales:
            raise ValueError("QATQuantizer: track_iters moves scales that learned_scales trains; give one of them.")
        if isinstance(skip, str):
            raise ValueError(f"QATQuantizer: skip is {skip!r}; it must be a list of regular expressions.")
        if len({ranking_file is None, not sensitive, not sensitive_bits}) > 1:
            raise ValueError("QATQuantizer: ranking_file, sensitive and sensitive_bits belong together: give all or "
                             "none.")
        self.component = component
        self.sensitive = (ranking_file, sensitive, dict(sensitive_bits or {}))
        self.default = Bits(weight_bits, activation_bits)
        self.weight_range, self.activation_range, self.percentile = weight_range, activation_range, percentile
        self.rules, self.skip = dict(rules or {}), tuple(skip)
        self.learned_scales, self.track_iters, self.momentum = learned_scales, track_iters, momentum
        self.source_sha256 = ""
        self.proof: Proof | None = None

    # --- the change of the layers

    def apply(self, model: "LatentDiffusion") -> None:
        if self.component not in model.components:
            raise ValueError(f"QATQuantizer: component is {self.component!r}, which this family lacks; it has "
                             f"{', '.join(model.components)}.")
        module = model.get_submodule(self.component)
        self.source_sha256 = weights_sha256(module)
        self.swap(module)

    def swap(self, module: nn.Module) -> None:
        """Lets the layers of a network compute as their quantised forms.

        Raises:
            ValueError: a rule matches no layer, or a layer with an adapter cannot be quantised.
        """
        layers = quantizable_layers(module)
        try:
            bits = assign_bits(list(layers), self.default, self.rules, self.skip)
            file, count, changes = self.sensitive
            if file is not None:
                bits = with_bits(bits, sensitive_layers(file, count), changes, layers)
            for name, layer in layers.items():
                adapted = hasattr(layer, "base_layer")
                fault = adapter_fault(layer) if adapted else ""
                if adapted and name not in bits:
                    fault = "has an adapter: it cannot be skipped"
                if fault:
                    raise ValueError(f"layer {name!r} {fault}.")
        except ValueError as error:
            raise ValueError(f"QATQuantizer: {error}") from None
        for name, chosen in bits.items():
            self._change(layers[name], chosen)

    def _change(self, layer: Any, bits: Bits) -> None:
        if hasattr(layer, "base_layer"):
            layer.__class__ = quantized_adapter_class(type(layer))
        else:
            layer.__class__ = QATLinear if isinstance(layer, nn.Linear) else QATConv2d
        weight = layer.plain_layer.weight
        layer.weight_bits, layer.quantizing = bits.weight_bits, True
        layer.follows_weight = self.weight_range == "minmax" and not self.learned_scales
        layer.input_quantizer = None
        if bits.activation_bits is not None:
            layer.input_quantizer = InputQuantizer(bits.activation_bits, self.learned_scales).to(weight.device)
            layer.input_quantizer.tracks = self.track_iters > 0
        scale = torch.ones(len(weight), device=weight.device)
        layer.register_buffer("weight_scale", scale, persistent=False)
        layer.log_weight_scale = nn.Parameter(torch.zeros_like(scale)) if self.learned_scales else None
        if not weight.is_meta:
            layer.set_weight_range("minmax", 100.0)
        layer.train(layer.training)

    def layers(self, model: "LatentDiffusion") -> dict[str, QATLayer]:
        """The quantised layers by their names in the component."""
        return {name: layer for name, layer in model.get_submodule(self.component).named_modules()
                if isinstance(layer, QATLayer)}

    # --- ranges

    def calibrate(self, model: "LatentDiffusion", prompts: Sequence[str], seed: int = 0, batch_size: int = 4,
                  **settings: Any) -> None:
        layers = self.layers(model)
        records = {}
        for number, (name, layer) in enumerate(layers.items()):
            if layer.input_quantizer is not None:
                records[name] = layer.input_quantizer.record = InputRecord(momentum=self.momentum, seed=number)
        try:
            sample_floats(self, model, prompts, seed, batch_size, **settings)
        finally:
            for layer in layers.values():
                if layer.input_quantizer is not None:
                    layer.input_quantizer.record = None
        for name, layer in layers.items():
            layer.set_weight_range(self.weight_range, self.percentile)
            if layer.input_quantizer is not None and records[name].values:
                bits = layer.input_quantizer.bits
                layer.input_quantizer.set_range(*records[name].range(self.activation_range, bits, self.percentile))

    def after_step(self, model: "LatentDiffusion", iteration: int) -> None:
        if not self.track_iters:
            return
        inputs = [layer.input_quantizer for layer in self.layers(model).values() if layer.input_quantizer is not None]
        if iteration < self.track_iters:
            # a layer that saw nothing keeps its range
            lows = torch.stack([each.low if each.seen is None else each.seen[0] for each in inputs])
            highs = torch.stack([each.high if each.seen is None else each.seen[1] for each in inputs])
            all_reduce(lows, "min")
            all_reduce(highs, "max")
            for each, low, high in zip(inputs, lows, highs, strict=True):
                each.follow(low, high, self.momentum)
        if iteration + 1 >= self.track_iters:
            for each in inputs:
                each.tracks, each.seen = False, None

    # --- checkpoints

    def state(self, model: "LatentDiffusion") -> dict[str, Tensor]:
        found = {}
        for name, layer in self.layers(model).items():
            prefix = f"{self.component}.{name}"
            found[f"{prefix}.weight_scale"] = layer.weight_scale
            if layer.input_quantizer is not None:
                inputs = layer.input_quantizer
                found[f"{prefix}.input_range"] = torch.stack([inputs.low, inputs.high])
        return found

    def load_state(self, model: "LatentDiffusion", state: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, layer in self.layers(model).items():
                prefix = f"{self.component}.{name}"
                layer.weight_scale.copy_(state[f"{prefix}.weight_scale"])
                inputs = layer.input_quantizer
                if inputs is not None:
                    low, high = state[f"{prefix}.input_range"]
                    inputs.low.copy_(low)
                    inputs.high.copy_(high)
                    inputs.is_set = bool(high > low)

    def scale_parameters(self, model: "LatentDiffusion") -> dict[str, nn.Parameter]:
        """The trained scales, by full name; none without ``learned_scales``."""
        ends = (".log_weight_scale", ".log_scale")
        return {name: value for name, value in model.named_parameters()
                if name.startswith(f"{self.component}.") and name.endswith(ends)}

    def holds(self, tuner: "Tuner") -> bool:
        return tuner.component == self.component

    def artifact(self, model: "LatentDiffusion") -> QuantizedArtifact:
        details = {"weights": self.weight_range, "activations": self.activation_range, "percentile": self.percentile,
                   "learned_scales": self.learned_scales}
        return QuantizedArtifact(
            component=self.component, module=model.get_submodule(self.component), base=model.pretrained,
            source_sha256=self.source_sha256, details=details, proof=self.proof)

    def describe(self) -> str:
        """One line for the table that is printed before training."""
        bits = self.default
        inputs = "floats" if bits.activation_bits is None else f"{bits.activation_bits} bits"
        rules = f", {len(self.rules)} rules" if self.rules else ""
        return f"{self.component}: weights {bits.weight_bits} bits, inputs {inputs}{rules}"


def quantizable_layers(module: nn.Module) -> Mapping[str, nn.Module]:
    """Linear layers and convolutions by name; of a layer with an adapter that layer as a whole, not its parts."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    adapted = {name: layer for name, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)}
    inside = tuple(f"{name}." for name in adapted)
    plain = {name: layer for name, layer in module.named_modules()
             if type(layer) in (nn.Linear, nn.Conv2d) and not name.startswith(inside)}
    order = [name for name, _ in module.named_modules()]
    return {name: {**plain, **adapted}[name] for name in order if name in plain or name in adapted}
