"""Tar shards: patterns, what belongs together, what is refused, and that a draw depends on seed and number alone."""

import gzip
import io
import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from diffkit.datasets import Draw, DrawSampler, ImageTextDataset, ShardSampler, TarImageText, collate_samples
from diffkit.utils.shard_patterns import expand_braces, find_shards
from tests.datasets.pictures import noise
from tests.utils.config_check_kit import faults_of, only_fault


def png(seed):
    file = io.BytesIO()
    noise(seed).save(file, "PNG")
    return file.getvalue()


def pack(path, files):
    """Writes a tar file of names and bytes."""
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.fixture
def shards(tmp_path):
    """Three shards of four captioned pictures each."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for shard in range(3):
        files = []
        for i in range(4):
            number = 4 * shard + i
            files += [(f"{number:05d}.png", png(number)), (f"{number:05d}.txt", f"picture {number}".encode()),
                      (f"{number:05d}.json", json.dumps({"caption": f"json {number}"}).encode())]
        pack(folder / f"{shard:03d}.tar", files)
    return folder


def opened(root, **options):
    return TarImageText(root, **{"resolution": 8, "hflip": 0.0, **options})


# --- patterns


def test_braces_and_globs(shards, monkeypatch):
    assert list(expand_braces("a{08..11}b{x,y}")) == [f"a{n}b{c}" for n in ("08", "09", "10", "11") for c in "xy"]
    assert list(expand_braces("{8..11}")) == ["8", "9", "10", "11"]
    every = [shards / f"{i:03d}.tar" for i in range(3)]
    for pattern in (f"{shards}/{{000..002}}.tar", f"{shards}/*.tar", str(shards), every, f"{shards}/00{{0,1,2}}.tar"):
        assert find_shards(pattern) == every
    for pattern, message in (
            (f"{shards}/{{000..003}}.tar", r"1 of 4 shards are not there: .*003\.tar"),
            (f"{shards}/x*.tar", "nothing is named like"), (f"{shards}/{{3..1}}.tar", "must go upwards"),
            (f"{shards}/{{a}}.tar", r"neither \{first\.\.last\} nor"), ([every[0], every[0]], "more than once"),
            ("https://host/0.tar", "is no path"), ("pipe:cat x", "is no path"), ([], "is empty"),
            ("{0..99999}{0..99999}", "more than 100000 files")):
        with pytest.raises(ValueError, match=message):
            find_shards(pattern)


# --- samples


def test_samples_are_those_of_the_files(shards, tmp_path):
    dataset = opened(f"{shards}/{{000..002}}.tar")
    assert len(dataset) == 12 and dataset.shard_sizes() == [4, 4, 4]
    plain = tmp_path / "plain"
    plain.mkdir()
    for i in range(12):
        (plain / f"{i:05d}.png").write_bytes(png(i))
        (plain / f"{i:05d}.txt").write_text(f"picture {i}")
    beside = ImageTextDataset(plain, resolution=8, hflip=0.0)
    for i in range(12):
        for name in ("prompt", "key", "original_size", "crop_top_left"):
            assert dataset[i][name] == beside[i][name]
        assert torch.equal(dataset[i]["pixel_values"], beside[i]["pixel_values"])
    assert dataset.name_at(5) == "001.tar:00005" and dataset.name_of(dataset[5]["key"]) == "001.tar:00005"
    assert opened(shards, captions="json")[2]["prompt"] == "json 2"


def test_flips_crops_and_captions_follow_the_seed_of_the_draw(shards):
    dataset = opened(shards, hflip=0.5, center_crop=False, caption_dropout=0.5)
    again = opened(shards, hflip=0.5, center_crop=False, caption_dropout=0.5)
    seen = set()
    for seed in range(12):
        one, other = dataset[Draw(3, seed)], again[Draw(3, seed)]
        assert torch.equal(one["pixel_values"], other["pixel_values"]) and one["prompt"] == other["prompt"]
        seen.add((one["prompt"], one["pixel_values"].numpy().tobytes()))
    assert {prompt for prompt, _ in seen} == {"", "picture 3"} and len(seen) > 4


def test_names_are_split_at_the_first_dot(tmp_path):
    shard = pack(tmp_path / "a.tar", [
        ("dir.v1/x.png", png(0)), ("dir.v1/x.seg.png", png(1)), ("dir.v1/x.txt", b"one"), ("._x.png", b"of macOS"),
        ("dir/x.jpg", png(2)), ("dir/x.json", b'{"words": ["two", "2"]}'), ("README", b"no suffix")])
    dataset = opened(shard, caption_column="words")
    assert len(dataset) == 2 and dataset[0]["prompt"] == "one" and dataset[1]["prompt"] in ("two", "2")


BAD = [("00.png", png(0)), ("00.txt", b"good"), ("01.txt", b"no picture"), ("02.png", b"damaged"), ("02.txt", b"x"),
       ("03.png", png(3)), ("04.png", png(4)), ("04.txt", b" "), ("05.png", png(5)), ("05.txt", b"\xff"),
       ("06.png", png(6)), ("06.jpg", png(6)), ("06.txt", b"two"), ("07.png", b""), ("07.txt", b"x"),
       ("08.png", png(8)), ("08.json", b"[1]")]


@pytest.mark.parametrize("when", ["start", "drawn"])
def test_bad_samples_stop_or_are_left_out(tmp_path, when):
    shard = pack(tmp_path / "bad.tar", BAD)
    if when == "start":
        with pytest.raises(ValueError, match="8 of 9 samples cannot be used") as error:
            opened(shard)
        for line in ("01: it has no picture, only .txt", "03: it has no caption (.txt or .json)",
                     "05: its .txt cannot be read", "06: it has 2 pictures", "07: it has 0 bytes",
                     "08: its .json has no key 'caption'"):
            assert f"bad.tar:{line}" in str(error.value)
        dataset = opened(shard, bad_images="skip")
        assert len(dataset) == 1 and "8 cannot be used" in dataset.summary()
    else:
        dataset = opened(shard, check_images="drawn")
        assert dataset[0]["prompt"] == "good" and len(dataset) == 9
        with pytest.raises(ValueError, match=r"bad\.tar:02 cannot be used: not a picture of a known format"):
            dataset[2]
        assert opened(shard, check_images="drawn", bad_images="skip")[4]["prompt"] == "good"  # the next that is good


def test_links_and_devices_in_a_shard_are_not_read(tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("0.png", tarfile.SYMTYPE), ("1.png", tarfile.LNKTYPE), ("2.png", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    with pytest.raises(ValueError, match="hold no files"):
        opened(path)


def test_damaged_and_compressed_shards(shards, tmp_path):
    whole = (shards / "001.tar").read_bytes()
    (shards / "001.tar").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(ValueError, match=r"1 of 3 shards cannot be used:\n  001\.tar: "):
        opened(shards)
    assert 8 <= len(opened(shards, bad_images="skip")) < 12
    (shards / "001.tar").write_bytes(b"no tar file at all" * 100)
    assert len(opened(shards, bad_images="skip")) == 8
    (shards / "001.tar").write_bytes(gzip.compress(whole))
    with pytest.raises(ValueError, match="is compressed with gzip: unpack it"):
        opened(shards)


def test_a_shard_that_changes_is_found_out(shards):
    dataset = opened(shards)
    shutil.copy(shards / "002.tar", shards / "000.tar")
    with pytest.raises(ValueError, match=r"000\.tar:00001 of .* changed while it was in use"):
        dataset[1]


# --- the order


def test_ranks_and_workers_share_the_draws_of_one(shards):
    dataset = opened(shards)

    def keys(rank, world, workers, start=0, steps=6, batch=2):
        sampler = DrawSampler(dataset, seed=7, rank=rank, world_size=world)
        sampler.start_at(start)
        loader = DataLoader(dataset, batch, sampler=sampler, num_workers=workers, collate_fn=collate_samples)
        batches = iter(loader)
        return [next(batches)["prompt"] for _ in range(steps)]

    alone = [prompt for step in keys(0, 1, 0, batch=4) for prompt in step]
    assert sorted(alone[:12]) == sorted(f"picture {i}" for i in range(12))
    split = [keys(rank, 2, workers, batch=2) for rank, workers in ((0, 0), (1, 2))]
    assert [a for step in zip(*split, strict=True) for a in np.ravel(list(zip(*step, strict=True)))] == alone
    assert keys(0, 1, 2, start=8, steps=4, batch=4) == keys(0, 1, 0, batch=4)[2:]


def test_the_shard_sampler_stays_in_few_shards_and_resumes(shards):
    dataset = opened(shards, bad_images="skip")
    sampler = ShardSampler(dataset, window=2, seed=3)
    draws = [sampler.draw(p) for p in range(24)]
    for epoch in (draws[:12], draws[12:]):
        assert sorted(draw.index for draw in epoch) == list(range(12))
        assert len({draw.index // 4 for draw in epoch[:8]}) == 2 and len({draw.index // 4 for draw in epoch[8:]}) == 1
    assert draws[:12] != draws[12:]
    fresh = ShardSampler(dataset, window=2, seed=3)
    assert [fresh.draw(p) for p in range(20, 24)] == draws[20:]
    with pytest.raises(TypeError, match="list has none"):
        ShardSampler([1, 2], seed=0)
    with pytest.raises(ValueError, match="window must be at least 1"):
        ShardSampler(dataset, window=0)


def test_the_config_check_knows_shards(shards, tmp_path):
    shutil.copytree(Path(__file__).parents[2] / "configs/_base_", tmp_path / "_base_")
    config = tmp_path / "run.py"
    config.write_text(CONFIG)
    key = "train_dataloader.dataset.data_root"
    for right in (str(shards), f"{shards}/{{000..002}}.tar", f"{shards}/*.tar", [f"{shards}/000.tar"]):
        assert faults_of(config, **{key: right}) == []
    for wrong, message in ((f"{shards}/{{000..009}}.tar", "7 of 10 shards are not there"),
                           ([f"{shards}/nothing.tar"], "nothing.tar")):
        fault = only_fault(config, **{key: wrong})
        assert fault.key == key and message in str(fault)
    assert "allowed: drawn, start" in str(only_fault(
        config, **{key: str(shards), "train_dataloader.dataset.check_images": "sometimes"}))


CONFIG = '''"""Shards."""
from mmengine.config import read_base

with read_base():
    from ._base_.datasets.tar_shards import *
    from ._base_.default_runtime import *
    from ._base_.models.mini_sd import *
    from ._base_.schedules.adamw import *

from diffkit.models import LoRATuner

model.update(tuners=dict(unet=dict(type=LoRATuner, component="unet", rank=4)))
'''


@pytest.mark.parametrize(("options", "message"), [
    ({"captions": "csv"}, "captions must be one of auto, txt, json"),
    ({"check_images": "never"}, "check_images must be"),
    ({"bad_images": "keep"}, "bad_images must be one of"), ({"resolution": 0}, "resolution must be")])
def test_mistakes_are_named(shards, options, message):
    with pytest.raises(ValueError, match=message):
        opened(shards, **options)
