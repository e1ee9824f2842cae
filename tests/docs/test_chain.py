"""The page on the chain: three configs, each of which takes what the one before has left."""

from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from diffkit.apis import load_pipeline
from diffkit.apis.train import train
from tests.configs.test_configs_train import ROOT, options
from tests.tiny import tiny_sd

CHAIN = ("distill_sd/mini_sd_distill_small", "distill_sd/mini_sd_small_dreambooth_lora",
         "quantization/mini_sd_small_dreambooth_lora_qat_kd")


def test_each_config_begins_where_the_one_before_ends() -> None:
    configs = [Config.fromfile(ROOT / f"{name}.py") for name in CHAIN]
    for name, config, following in zip(CHAIN, configs, configs[1:], strict=False):
        last = config.train_cfg.max_iters - 1
        assert following.model.pretrained == f"work_dirs/{Path(name).name}/step{last}"


@pytest.mark.slow
def test_the_chain(tmp_path: Path) -> None:
    models = {"StableDiffusion": tiny_sd(tmp_path / "sd")}
    whole = sum(weight.numel() for weight in load_pipeline(str(models["StableDiffusion"])).unet.parameters())
    step, runs = models["StableDiffusion"], []
    for name in CHAIN:
        path = ROOT / f"{name}.py"
        small = options(path, tmp_path, models) | {"model.pretrained": str(step)}
        if name == CHAIN[1]:
            small["optim_wrapper.optimizer.lr"] = 0.1  # the two steps of its warm-up shall be seen
        step = train(path, work_dir=tmp_path / path.stem, cfg_options=small) / "step1"
        runs.append(step)
    student, personal, quantized = (load_pipeline(steps=[step]) for step in runs)
    assert sum(weight.numel() for weight in student.unet.parameters()) < whole
    assert (runs[2] / "unet_int8/quantization.json").is_file()
    assert personal.unet.config.layers_per_block == quantized.unet.config.layers_per_block == 1
    tokens = [pipe.text_encoder(torch.arange(5)[None])[0] for pipe in (student, personal, quantized)]
    learned, rounded = ((tokens[1] - other).abs().max().item() for other in (tokens[0], tokens[2]))
    assert learned > 1e-3
    assert rounded < 1e-5, "the quantised model has the text encoder that was personalised, with its LoRA merged"
