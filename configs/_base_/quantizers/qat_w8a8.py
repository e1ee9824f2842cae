"""Every linear layer and convolution of the UNet at 8 bits; ranges of least squared error, calibrated at step 0.

Names begin with ``_``, as those of every helper variable: mim gridsearch writes out all names.
"""

from diffkit.engine.hooks import CalibrationHook, QuantizationHook
from diffkit.models import QATQuantizer

_quantizer = dict(type=QATQuantizer, weight_bits=8, activation_bits=8)
_quantization_hooks = [dict(type=CalibrationHook), dict(type=QuantizationHook)]
