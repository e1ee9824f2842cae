"""The teacher's output and features at equal weights; a config names the pairs of its student.

The teacher is a frozen copy of the UNet, taken before it is pruned.
"""

from diffkit.models import DenoiserDistiller, MSELoss

_distiller = dict(
    type=DenoiserDistiller,
    objectives=dict(
        loss_output=dict(loss=dict(type=MSELoss), weight=0.5),
        loss_feature=dict(loss=dict(type=MSELoss), weight=0.5, pairs="blocks")))
