"""Weights of the UNet at 4 bits and inputs at 8; the first and the last convolution keep 8 bits of weight.

The inputs of the shortcuts stay floats: they are sums and joined maps without a norm before them, with far outliers.
Names begin with ``_``, as those of every helper variable: mim gridsearch writes out all names.
"""

from diffkit.engine.hooks import CalibrationHook, QuantizationHook
from diffkit.models import QATQuantizer

_quantizer = dict(
    type=QATQuantizer, weight_bits=4, activation_bits=8,
    rules={r"^conv_(in|out)$": dict(weight_bits=8), r"conv_shortcut$": dict(activation_bits=None)})
_quantization_hooks = [dict(type=CalibrationHook), dict(type=QuantizationHook)]
