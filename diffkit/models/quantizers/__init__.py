"""The number format of weights and activations: the slot, which stands after the tuners."""

from diffkit.models.quantizers.base import Quantizer

__all__ = ["Quantizer"]
