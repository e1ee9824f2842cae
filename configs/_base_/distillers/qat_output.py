"""The float UNet teaches its quantised copy by its output."""

from diffkit.models import DenoiserDistiller

_qat_distiller = dict(type=DenoiserDistiller, objectives=dict(loss_output=dict(weight=1.0)))
