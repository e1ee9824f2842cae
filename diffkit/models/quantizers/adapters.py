"""Layers with a PEFT adapter, quantised as the one layer that they will be when the adapter is merged."""

from typing import Any

from torch import Tensor, nn

from diffkit.models.quantizers.layers import QATLayer

_CLASSES: dict[type, type] = {}


class QATAdapter(QATLayer):
    """An adapted layer whose weight is the base layer's plus what the adapter adds."""

    @property
    def plain_layer(self) -> Any:
        adapted: Any = self
        return adapted.get_base_layer()

    def float_weight(self) -> Tensor:
        adapted: Any = self
        weight = self.plain_layer.weight.float()
        if adapted.disable_adapters:
            return weight
        for name in adapted.active_adapters:
            if name in adapted.scaling:
                weight = weight + adapted.get_delta_weight(name).float().view_as(weight)
        return weight


def quantized_adapter_class(kind: type) -> type:
    """The class of PEFT's layers of class ``kind`` under quantisation."""
    if kind not in _CLASSES:
        _CLASSES[kind] = type(f"QAT{kind.__name__}", (QATAdapter, kind), {})
    return _CLASSES[kind]


def adapter_fault(layer: Any) -> str:
    """Why an adapted layer cannot be quantised, in words that follow its name; an empty text where it can."""
    from peft.tuners.lora.layer import LoraLayer
    from peft.tuners.lycoris_utils import LycorisLayer

    if not isinstance(layer, (LoraLayer, LycorisLayer)) or not isinstance(
            layer.get_base_layer(), (nn.Linear, nn.Conv2d)):
        return f"has an adapter of the kind {type(layer).__module__.split('.')[2]}, which is not added to a weight"
    if getattr(layer, "lora_variant", None) or any(getattr(layer, "lora_bias", {}).values()):
        return "has a variant of LoRA (DoRA and its kin, or one with a bias) that is more than a sum of weights"
    dropout = [*getattr(layer, "lora_dropout", {}).values(), *getattr(layer, "module_dropout", {}).values()]
    if any(getattr(part, "p", part) and not isinstance(part, nn.Identity) for part in dropout):
        return "has an adapter with dropout, which a merged weight cannot have: set dropout=0"
    return ""
