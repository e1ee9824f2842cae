"""Textual inversion on the packaged miniature: a cyan triangle as a word of four vectors, on a CPU."""

from mmengine.config import read_base

with read_base():
    from .._base_.datasets.concept_prompts import *
    from .._base_.datasets.learned_word import *
    from .._base_.default_runtime import *
    from .._base_.models.mini_sd import *
    from .._base_.schedules.adamw import *

from diffkit.engine.hooks import SampleHook, StatisticsHook
from diffkit.models import TextualInversion

model.update(tuners=dict(word=dict(type=TextualInversion, placeholder_token="<thing>", num_vectors=4)))
train_dataloader.update(batch_size=8, num_workers=0, persistent_workers=False)
train_dataloader.dataset.update(
    data_root="shapes:cyan_triangle", placeholder="<thing>", learnable_property=None, captions="none",
    instance_prompt=["a photo of a {}", "a picture of a {}", "an image of a {}"], resolution=64, hflip=0.0)
train_cfg.update(max_iters=300)
optim_wrapper.optimizer.update(lr=5e-3, weight_decay=0.0)
custom_hooks = [
    dict(type=StatisticsHook),
    dict(type=SampleHook, interval=100, prompts=[
        "a photo of a <thing>", "a photo of a <thing> on a red background", "a photo of a red circle"])]
test_dataloader.dataset.update(concept="cyan_triangle", subject="<thing>")
test_evaluator.update(concept="cyan_triangle")
