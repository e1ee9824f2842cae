"""Captioned pictures in tar shards, as img2dataset writes them: 00000.tar, 00001.tar …"""

from diffkit.datasets import ShardSampler, TarImageText, collate_samples

train_dataloader = dict(
    batch_size=4,
    num_workers=2,
    persistent_workers=True,
    dataset=dict(type=TarImageText, data_root="data/laion_art/*.tar", hflip=0.5),
    sampler=dict(type=ShardSampler, window=4),
    collate_fn=dict(type=collate_samples))
