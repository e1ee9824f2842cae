"""A folder of pictures with captions (.txt beside each, metadata.csv or metadata.jsonl)."""

from diffkit.datasets import DrawSampler, ImageTextDataset, collate_samples

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(type=ImageTextDataset, data_root="data/text_image", hflip=0.5),
    sampler=dict(type=DrawSampler),
    collate_fn=dict(type=collate_samples))
