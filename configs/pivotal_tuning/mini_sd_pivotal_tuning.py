"""Pivotal tuning on the packaged miniature: a word of two vectors and LoRA in one run, of a striped heart."""

from mmengine.config import read_base

with read_base():
    from ..dreambooth.mini_sd_dreambooth_lora import *

from diffkit.engine.hooks import PriorImagesHook, SampleHook, StatisticsHook
from diffkit.models import TextualInversion

model.tuners.word = dict(type=TextualInversion, placeholder_token="<thing>", initializer_token="heart", num_vectors=2)
train_dataloader.dataset.update(placeholder="<thing>", instance_prompt="a photo of a {}")
optim_wrapper.update(paramwise_cfg=dict(custom_keys=dict(learned=dict(lr_mult=5.0))))  # the vectors: 5e-3
custom_hooks = [
    dict(type=PriorImagesHook, batch_size=32, guidance_scale=3.0),
    dict(type=StatisticsHook),
    dict(type=SampleHook, interval=100, prompts=[
        "a photo of a <thing> on a green background", "a photo of a <thing> on a red background",
        "a photo of a red circle", "a photo of a blue and white striped square"])]
test_dataloader.dataset.update(subject="<thing>")
