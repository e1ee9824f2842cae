"""What a text-to-image model of the shapes world is measured on: 256 prompts of each kind, and what is right."""

from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop

from diffkit.datasets import NamedGroups, ShapesPrompts, collate_samples
from diffkit.evaluation import PromptAccuracy

test_dataloader = dict(
    batch_size=16,
    num_workers=0,
    dataset=dict(
        type=NamedGroups,
        groups=dict(
            plain=dict(type=ShapesPrompts, n=256, split="train", kind="plain"),
            textured=dict(type=ShapesPrompts, n=256, split="train", kind="textured"),
            heldout=dict(type=ShapesPrompts, n=256, split="heldout", kind="plain"))),
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=collate_samples))
test_cfg = dict(type=TestLoop)
test_evaluator = dict(type=PromptAccuracy)
