"""Custom Diffusion of two concepts on Stable Diffusion 1.4: data/cat and data/wooden_pot, with generated priors."""

from mmengine.config import read_base

with read_base():
    from .stable_diffusion_v14_custom_diffusion_cat import *

from diffkit.datasets import ConceptListDataset
from diffkit.engine.hooks import PriorImagesHook, SampleHook, StatisticsHook
from diffkit.models import CrossAttentionTuner, TextualInversion

model.tuners = dict(
    cat=dict(type=TextualInversion, placeholder_token="<new1>", initializer_token="ktn"),
    pot=dict(type=TextualInversion, placeholder_token="<new2>", initializer_token="pll"),
    attention=dict(type=CrossAttentionTuner))
train_dataloader.dataset = dict(
    type=ConceptListDataset, num_class_images=200, hflip=0.5, size_augment=True, concepts=[
        dict(data_root="data/cat", instance_prompt="photo of a {} cat", placeholder="<new1>", captions="none",
             class_prompt="cat"),
        dict(data_root="data/wooden_pot", instance_prompt="photo of a {} wooden pot", placeholder="<new2>",
             captions="none", class_prompt="wooden pot")])
train_cfg.update(max_iters=500)
custom_hooks = [
    dict(type=PriorImagesHook),
    dict(type=StatisticsHook),
    dict(type=SampleHook, prompts=["the <new1> cat sculpture in the style of a <new2> wooden pot",
                                   "the <new1> cat sitting inside a <new2> wooden pot"], interval=100)]
