"""The number format of weights and activations: the slot, which stands after the tuners."""

from diffkit.models.quantizers.base import Quantizer
from diffkit.models.quantizers.compressor import NeuralCompressorQuantizer
from diffkit.models.quantizers.qat import QATQuantizer

__all__ = ["NeuralCompressorQuantizer", "QATQuantizer", "Quantizer"]
