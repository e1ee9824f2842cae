"""The float UNet of the form of Stable Diffusion 1 teaches its quantised copy by 47 layers, each weighed 1/47.

The layers are those of the textual-inversion example of Intel's extension for transformers.
"""

from diffkit.models import DenoiserDistiller

_taught = [
    "conv_in", "time_embedding",
    *[f"down_blocks.{i}.{layer}" for i in range(3)
      for layer in ("attentions.0", "attentions.1", "resnets.0", "resnets.1", "downsamplers.0")],
    "down_blocks.3.resnets.0", "down_blocks.3.resnets.1",
    "mid_block.attentions.0", "mid_block.resnets.0", "mid_block.resnets.1",
    *[f"up_blocks.{i}.resnets.{j}" for i in range(4) for j in range(3)],
    *[f"up_blocks.{i}.attentions.{j}" for i in range(1, 4) for j in range(3)],
    *[f"up_blocks.{i}.upsamplers.0" for i in range(3)],
    "conv_out"]
_qat_distiller = dict(
    type=DenoiserDistiller,
    objectives=dict(loss_layers=dict(weight=1 / 47, pairs=[(name, name) for name in _taught])))
