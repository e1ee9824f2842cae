"""A cache that is filled beforehand: the training encodes nothing, and ends with the same weights bit for bit."""

import re

import pytest
from diffusers import AutoencoderKL
from safetensors.torch import load_file
from transformers import CLIPTextModel

from diffkit.apis import train
from diffkit.apis.cache_filling import fill_caches
from diffkit.apis.configs import load_config
from diffkit.cli import main
from diffkit.utils.encoded_stores import find_stores

CONFIG = "mini_sd_dreambooth_lora"


@pytest.fixture
def options(sd_folder, tmp_path):
    return {
        "model.pretrained": str(sd_folder), "train_cfg.max_iters": 3, "train_dataloader.batch_size": 2,
        "train_dataloader.dataset.resolution": 32, "train_dataloader.dataset.hflip": 0.5, "custom_hooks": [],
        "model.tuners": {"_delete_": True, "unet": {"type": "LoRATuner", "component": "unet", "rank": 2}},
        "train_dataloader.dataset.captions": "none", "train_dataloader.dataset.num_class_images": 0,
        "train_dataloader.dataset.class_prompt": None,
        "train_dataloader.num_workers": 0, "train_dataloader.persistent_workers": False, "param_scheduler": []}


def trained(folder, options):
    cfg = load_config(CONFIG, work_dir=folder, cfg_options=options)
    train(cfg, work_dir=cfg.work_dir)
    return {f"{path.relative_to(folder)} {name}": value.numpy().tobytes()
            for path in (folder / "step2").rglob("*.safetensors") for name, value in load_file(path).items()
            if not name.endswith(("time", "memory"))}


def test_the_training_after_it_encodes_nothing_and_ends_the_same(options, tmp_path, monkeypatch):
    wanted = trained(tmp_path / "plain", options)
    options |= {"model.cache_latents": "disk", "model.cache_text": "disk", "model.cache_folder": str(tmp_path / "kept")}
    made = fill_caches(CONFIG, cfg_options=options)
    assert 1 < made["pictures"] <= 6 and made["prompts"] == 1
    assert fill_caches(CONFIG, cfg_options=options) == {"pictures": 0, "prompts": 0}
    assert sorted(len(store.entries()) for store in find_stores(tmp_path / "kept")) == [1, made["pictures"]]

    def refused(*args, **kwargs):
        raise AssertionError("an encoder ran")

    monkeypatch.setattr(AutoencoderKL, "encode", refused)
    monkeypatch.setattr(CLIPTextModel, "forward", refused)
    assert trained(tmp_path / "cached", options) == wanted and wanted
    log = next((tmp_path / "cached").glob("*/*.log")).read_text()
    assert re.search(rf"latents +kept in {tmp_path / 'kept' / 'latents'}\n", log)


def test_what_keeps_nothing_on_disk_is_told(options, capsys):
    with pytest.raises(ValueError, match=r"it keeps nothing on disk: set model\.cache_latents='disk'"):
        fill_caches(CONFIG, cfg_options=options)
    assert main(["cache", "fill", CONFIG]) == 1
    assert "error: config: it keeps nothing on disk" in capsys.readouterr().err
