"""Trainings on pictures of all shapes: resumed bit for bit, with the right sizes, latents and warnings."""

from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from diffkit.datasets import BucketSampler, ConceptDataset, Draw, ItemShape, as_draw, collate_samples
from diffkit.datasets.bucket_sampler import fill_batches
from tests.datasets.pictures import folder_of_shapes, noise
from tests.engine.test_engine_distributed import finish, pair  # noqa: F401
from tests.engine.test_engine_real_model import STOP, run
from tests.engine.test_engine_resume import assert_same_checkpoint, logged
from tests.models.test_latent_diffusion import build

SHAPES = [(60, 30), (30, 60), (40, 40), (48, 36), (36, 48), (50, 50), (60, 31)]


@pytest.fixture
def photos(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))
    return folder_of_shapes(tmp_path / "photos", SHAPES)


def in_buckets(photos, **dataset):
    return {"train_dataloader.dataset.data_root": str(photos),
            "train_dataloader.dataset.buckets": {"step": 8},
            "train_dataloader.sampler": {"type": "BucketSampler"},
            **{f"train_dataloader.dataset.{name}": value for name, value in dataset.items()}}


def log_of(work_dir):
    return "".join(path.read_text() for path in Path(work_dir).glob("*/*.log"))


class NotKeptError(Exception):
    pass


def refuse(pixels):
    raise NotKeptError


def assert_kept_by_bucket(cache, dataset):
    """Latents are half as wide as pictures, and those that are kept have the size of the item's bucket."""
    found = set()
    for index, shape in enumerate(dataset.item_shapes()):
        for seed in range(4):
            for sample in dataset[Draw(index, seed)]:
                with suppress(NotKeptError):
                    mean = cache.posterior(sample["pixel_values"][None], [sample["key"]], refuse).mean
                    assert tuple(mean.shape[-2:]) == (shape.size[0] // 2, shape.size[1] // 2)
                    found.add(shape.size)
    assert len(found) > 1


def test_a_training_with_prior_at_two_resolutions_resumes_bit_for_bit(sd_folder, photos, tmp_path):
    changes = in_buckets(photos, resolution=[32, 48])
    runner = run(sd_folder, tmp_path / "whole", changes)
    run(sd_folder, tmp_path / "parts", changes | STOP)
    run(sd_folder, tmp_path / "parts", changes | {"resume": True})
    assert_same_checkpoint(tmp_path / "whole/step5", tmp_path / "parts/step5")
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")
    sizes = {shape.size for shape in runner.train_dataloader.dataset.item_shapes()}
    assert_kept_by_bucket(runner.bare_model.latent_cache, runner.train_dataloader.dataset)
    text = log_of(tmp_path / "whole")
    assert f"{len(sizes)}, height x width; " in text and "by squares it would be" in text
    assert "buckets have fewer pictures than a batch of 2" in text
    assert "other buckets" not in text and "48 x 48 px" in text, "a resolution that the model was not made for"


def test_other_pictures_are_told_when_resuming(sd_folder, photos, tmp_path):
    from diffkit.engine.errors import ResumeError

    changes = in_buckets(photos, class_prompt=None, num_class_images=0)
    run(sd_folder, tmp_path / "run", changes | STOP)
    noise(0, 40, 40).save(photos / "0.png")
    with pytest.raises(ResumeError, match="training data, buckets: "):
        run(sd_folder, tmp_path / "run", changes | {"resume": True})


def test_sdxl_is_told_size_crop_and_bucket_of_each_picture(sdxl_folder, photos):
    dataset = ConceptDataset(photos, "a dog", resolution=32, buckets={"step": 8}, hflip=0.0)
    model = build(sdxl_folder)
    sampler = BucketSampler(dataset, seed=0, rank=0, world_size=1)
    loader = DataLoader(dataset, 2, sampler=sampler, collate_fn=collate_samples)
    fill_batches(loader)
    batches = iter(loader)
    seen = set()
    for _ in range(12):
        batch = next(batches)
        size = tuple(batch["pixel_values"].shape[-2:])
        time_ids = model.encode_prompts(batch).time_ids.tolist()
        for row, key in zip(time_ids, batch["key"], strict=True):
            original = SHAPES[int(dataset.name_of(key).removesuffix(".png"))][::-1]
            scale = max(size[0] / original[0], size[1] / original[1])
            margins = [round(scale * side) - short for side, short in zip(original, size, strict=True)]
            assert row == [*original, *(round(margin / 2) for margin in margins), *size]
            seen.add(size)
    assert len(seen) == len({shape.size for shape in dataset.item_shapes()}) > 1


class ShapedFakeData(Dataset):
    """Items for the fake model, of two shapes."""

    def __len__(self):
        return 7

    def item_shapes(self):
        return [ItemShape((9, 9), (8, 8 + 8 * (index % 3 == 0))) for index in range(7)]

    def __getitem__(self, item):
        index, seed = as_draw(item)
        x = torch.full((4,), index / 7) + torch.randn(4, generator=torch.Generator().manual_seed(seed % 2**31))
        return {"x": x, "index": index}


@pytest.mark.slow
def test_two_processes_resume_bit_for_bit(tmp_path, pair):  # noqa: F811
    changes = {"train_dataloader.dataset": {"_delete_": True, "type": ShapedFakeData},
               "train_dataloader.sampler": {"type": "BucketSampler"}}
    finish(tmp_path, "whole", pair("whole", **changes))
    finish(tmp_path, "parts", pair("parts", **changes, **STOP))
    finish(tmp_path, "parts", pair("parts", **changes, resume=True))
    assert_same_checkpoint(tmp_path / "whole/step5", tmp_path / "parts/step5")


def test_a_mixing_sampler_is_refused_before_the_model_is_loaded(photos, tmp_path):
    changes = in_buckets(photos) | {"train_dataloader.sampler": {"type": "DrawSampler"}}
    with pytest.raises(ValueError, match=r"sampler=DrawSampler mixes pictures of all buckets"):
        run(tmp_path / "no model", tmp_path / "run", changes)
