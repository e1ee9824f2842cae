"""Captioned pictures of the shapes world, drawn when they are asked for."""

from diffkit.datasets import DrawSampler, ShapesDataset, collate_samples

train_dataloader = dict(
    batch_size=32,
    num_workers=0,
    dataset=dict(type=ShapesDataset, length=20000, textured=0.4),
    sampler=dict(type=DrawSampler),
    collate_fn=dict(type=collate_samples))
