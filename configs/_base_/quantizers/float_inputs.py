"""Layers of the miniatures whose inputs stay floats: no norm stands before them, and they have far outliers.

``conv_shortcut`` sees joined maps, ``ff.net.2`` products of two, ``proj_out`` a sum of several. Guidance multiplies the
rounding errors of inputs, for the prompt's prediction and the empty prompt's have each their own.
Names begin with ``_``, as those of every helper variable: mim gridsearch writes out all names.
"""

_float_inputs = {r"(conv_shortcut|ff\.net\.2|proj_out)$": dict(activation_bits=None)}
