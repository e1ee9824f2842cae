"""An algorithm of neural-compressor, after the training: weights of 4 bits, one scale for each output channel.

Names begin with ``_``, as those of every helper variable: mim gridsearch writes out all names.
"""

from diffkit.engine.hooks import CalibrationHook, QuantizationHook
from diffkit.models import NeuralCompressorQuantizer

_quantizer = dict(
    type=NeuralCompressorQuantizer, algorithm="rtn", options=dict(bits=4, group_size=-1))
_quantization_hooks = [dict(type=CalibrationHook), dict(type=QuantizationHook)]
