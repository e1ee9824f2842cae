"""A folder with a few photographs of one subject (DreamBooth)."""

from diffkit.datasets import ConceptDataset, DrawSampler, collate_samples

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(type=ConceptDataset, data_root="data/dog", instance_prompt="a photo of sks dog", hflip=0.5),
    sampler=dict(type=DrawSampler),
    collate_fn=dict(type=collate_samples))
