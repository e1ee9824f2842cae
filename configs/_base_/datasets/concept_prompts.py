"""What a model that was taught the striped heart is measured on: 8 backgrounds, half of them in its pictures."""

from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop

from diffkit.datasets import ConceptPrompts, collate_samples
from diffkit.evaluation import ConceptAccuracy

test_dataloader = dict(
    batch_size=16,
    num_workers=0,
    dataset=dict(type=ConceptPrompts, concept="striped_heart", n=64),
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=collate_samples))
test_cfg = dict(type=TestLoop)
test_evaluator = dict(type=ConceptAccuracy, concept="striped_heart")
