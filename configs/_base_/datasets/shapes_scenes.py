"""What a VAE of the shapes world is measured on: 512 drawn pictures, half of them with patterns."""

from mmengine.dataset import DefaultSampler
from mmengine.runner import TestLoop

from diffkit.datasets import ShapesScenes, collate_samples
from diffkit.evaluation import ReconstructionAccuracy

test_dataloader = dict(
    batch_size=32,
    num_workers=0,
    dataset=dict(type=ShapesScenes, n=512, textured=0.5),
    sampler=dict(type=DefaultSampler, shuffle=False),
    collate_fn=dict(type=collate_samples))
test_cfg = dict(type=TestLoop)
test_evaluator = dict(type=ReconstructionAccuracy)
