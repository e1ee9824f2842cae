"""A few photographs of one cat with a new word, and real photographs of cats beside them (Custom Diffusion)."""

from diffkit.datasets import ConceptDataset, DrawSampler, collate_samples

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(
        type=ConceptDataset, data_root="data/cat", instance_prompt="photo of a {} cat", placeholder="<new1>",
        captions="none", class_prompt="cat", class_data_root="data/real_reg/samples_cat", hflip=0.5, size_augment=True),
    sampler=dict(type=DrawSampler),
    collate_fn=dict(type=collate_samples))
