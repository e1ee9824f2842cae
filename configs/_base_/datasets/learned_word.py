"""A folder with a few pictures of one thing, in sentences with a new word for it (textual inversion)."""

from diffkit.datasets import ConceptDataset, DrawSampler, collate_samples

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(
        type=ConceptDataset, data_root="data/cat_toy", placeholder="<cat-toy>", learnable_property="object",
        hflip=0.5),
    sampler=dict(type=DrawSampler),
    collate_fn=dict(type=collate_samples))
