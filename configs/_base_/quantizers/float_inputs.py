"""Layers of the miniatures whose inputs stay floats: no norm stands before them, and they have far outliers.

``conv_shortcut`` sees joined maps, ``ff.net.2`` products of two, ``proj_out`` a sum of several. Guidance multiplies the
rounding errors of inputs, for the prompt's prediction and the empty prompt's have each their own.
Names begin with ``_``, as those of every helper variable: mim gridsearch writes out all names.
"""

_float_inputs = {r"(conv_shortcut|ff\.net\.2|proj_out)$": dict(activation_bits=None)}

# weights of 4 bits: the last level's sums make most of the error (diffkit sensitivity --what quantization)
_wide_sums = {r"^up_blocks\.3\..*(conv_shortcut|proj_out)$": dict(weight_bits=8, activation_bits=None)}
