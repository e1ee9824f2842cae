"""Every linear layer and convolution of the UNet at 8 bits; ranges of least squared error, calibrated at step 0.

The inputs of the shortcuts stay floats: they are sums and joined maps without a norm before them, with far outliers.
Names begin with ``_``, as those of every helper variable: mim gridsearch writes out all names.
"""

from diffkit.engine.hooks import CalibrationHook, QuantizationHook
from diffkit.models import QATQuantizer

_quantizer = dict(
    type=QATQuantizer, weight_bits=8, activation_bits=8,
    rules={r"conv_shortcut$": dict(activation_bits=None)})
_quantization_hooks = [dict(type=CalibrationHook), dict(type=QuantizationHook)]
