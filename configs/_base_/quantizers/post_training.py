"""The UNet is calibrated and not trained: the quantizer of another base, hooks that calibrate, and a loop of no steps.

Names begin with ``_``, as those of every helper variable: mim gridsearch writes out all names.
"""

from diffkit.engine import PostTraining
from diffkit.models import FullTuner

_post_training = dict(type=PostTraining, max_iters=1)
_untrained = dict(unet=dict(type=FullTuner, component="unet"))  # a model needs a tuner; it trains nothing here
