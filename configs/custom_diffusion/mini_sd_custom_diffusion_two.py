"""Custom Diffusion of two concepts on the packaged miniature: two words, keys and values that they share."""

from mmengine.config import read_base

with read_base():
    from .mini_sd_custom_diffusion import *

from diffkit.datasets import ConceptListDataset, ConceptPrompts, NamedGroups
from diffkit.engine.hooks import PriorImagesHook, SampleHook, StatisticsHook
from diffkit.evaluation import ConceptAccuracy
from diffkit.models import CrossAttentionTuner, TextualInversion

model.tuners = dict(
    heart=dict(type=TextualInversion, placeholder_token="<new1>", initializer_token="sks"),
    triangle=dict(type=TextualInversion, placeholder_token="<new2>", initializer_token="toy"),
    attention=dict(type=CrossAttentionTuner))
train_dataloader.dataset = dict(
    type=ConceptListDataset, resolution=64, num_class_images=32, prior_caption_dropout=0.15, concepts=[
        dict(data_root="shapes:striped_heart", instance_prompt="a photo of a {} heart", placeholder="<new1>",
             class_prompt=_prior_prompts),
        dict(data_root="shapes:cyan_triangle", instance_prompt="a photo of a {} triangle", placeholder="<new2>",
             class_prompt=_prior_prompts)])
custom_hooks = [dict(type=PriorImagesHook, batch_size=32, guidance_scale=3.0), dict(type=StatisticsHook),
                dict(type=SampleHook, interval=100, prompts=[
                    "a photo of a <new1> heart on a green background",
                    "a photo of a <new2> triangle on a red background",
                    "a photo of a red circle", "a photo of a blue and white striped square"])]
test_dataloader.dataset = dict(type=NamedGroups, groups=dict(
    heart=dict(type=ConceptPrompts, concept="striped_heart", n=64, subject="<new1> heart"),
    triangle=dict(type=ConceptPrompts, concept="cyan_triangle", n=64, subject="<new2> triangle")))
test_evaluator = [dict(type=ConceptAccuracy, concept="striped_heart", group="heart", prefix="heart"),
                  dict(type=ConceptAccuracy, concept="cyan_triangle", group="triangle", prefix="triangle")]
