"""Every shipped config is built and trained two steps, on a tiny model and tiny pictures."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from diffkit.apis.train import train
from tests.tiny import tiny_sd, tiny_sdxl

ROOT = Path(__file__).parents[2] / "configs"
#: A config whose name ends in _test, and those of evaluation, only measure: test_evaluation_configs.py.
TRAINED = sorted(path for path in ROOT.glob("*/*.py")
                 if path.parent.name not in ("_base_", "evaluation") and "_test" not in path.stem)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> Path:
    """Three pictures with captions."""
    folder = tmp_path_factory.mktemp("photographs")
    pixels = np.random.default_rng(0).integers(0, 255, (3, 40, 48, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a photo of a dog")
    shutil.copytree(folder, prior_of(folder))
    return folder


def prior_of(folder: Path) -> Path:
    """The same pictures as real prior pictures."""
    return folder.with_name(f"{folder.name}_prior")


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {"StableDiffusion": tiny_sd(folder / "sd"), "StableDiffusionXL": tiny_sdxl(folder / "sdxl"),
            "deep": tiny_sdxl(folder / "deep", unet={"transformer_layers_per_block": (1, 2, 10)})}


def options(path: Path, photographs: Path, models: dict[str, Path]) -> dict:
    """What makes a config small; everything else stays as it is shipped."""
    config = Config.fromfile(path)
    small = {"train_cfg.max_iters": 2, "train_dataloader.batch_size": 1, "train_dataloader.num_workers": 0,
             "train_dataloader.persistent_workers": False, "model.generation": {"num_inference_steps": 1},
             "optim_wrapper.accumulative_counts": 1, "env_cfg.num_threads": 1}
    dataset = config.train_dataloader.dataset
    small["train_dataloader.dataset.resolution"] = 32
    if dataset.get("buckets") is not None:
        small["train_dataloader.dataset.buckets.step"] = 8
    if "data_root" in dataset and not str(dataset.data_root).startswith("shapes:"):
        small["train_dataloader.dataset.data_root"] = str(photographs)
    if dataset.get("class_data_root") is not None:
        small["train_dataloader.dataset.class_data_root"] = str(prior_of(photographs))
    for number, concept in enumerate(dataset.get("concepts", [])):
        if not concept.data_root.startswith("shapes:"):
            small[f"train_dataloader.dataset.concepts.{number}.data_root"] = str(photographs)
    if "num_class_images" in dataset:
        small["train_dataloader.dataset.num_class_images"] = 2
    if "length" in dataset:
        small["train_dataloader.dataset.length"] = 8
    if config.model.get("pretrained") is not None:
        of_blocks = (config.model.get("pruner") or {}).get("variant") in ("ssd_1b", "vega")  # which cut ten of them
        small["model.pretrained"] = str(models["deep" if of_blocks else config.model.family.type.__name__])
    for name, tuner in config.model.tuners.items():
        if tuner.get("initializer_token") is not None:
            small[f"model.tuners.{name}.initializer_token"] = "dog"  # a word that the tiny tokenizer has
        if tuner.get("kind") == "oft":
            small[f"model.tuners.{name}.options.oft_block_size"] = 4  # layers of 8 inputs
    for number, hook in enumerate(config.get("custom_hooks", [])):
        if hook["type"].__name__ in ("SampleHook", "PriorImagesHook"):
            small[f"custom_hooks.{number}.num_inference_steps"] = 1
        few = {"CalibrationHook": ["num_prompts"], "QuantizationHook": ["predictions", "pictures"]}
        small |= {f"custom_hooks.{number}.{name}": 2 for name in few.get(hook["type"].__name__, [])}
    return small


@pytest.mark.parametrize("path", TRAINED, ids=lambda path: path.stem)
def test_config_trains(path, photographs, models, tmp_path):
    work_dir = train(path, work_dir=tmp_path / "run", cfg_options=options(path, photographs, models))
    step = work_dir / "step1"
    assert (step / "manifest.json").is_file()
    tuners = Config.fromfile(path).model.tuners.values()
    adapters = [tuner for tuner in tuners if tuner.type.__name__ == "LoRATuner"]
    loras = [tuner for tuner in adapters if tuner.get("kind", "lora") in ("lora", "dora")]
    delta = (step / "pytorch_custom_diffusion_weights.safetensors").is_file()
    assert delta == any(tuner.type.__name__ == "CrossAttentionTuner" for tuner in tuners)
    whole = (step / "model_index.json").is_file()
    word = any(step.glob("learned_embeds*.safetensors"))  # of several words each has its own
    assert word == any(tuner.type.__name__ == "TextualInversion" for tuner in tuners)
    assert (step / "unet/adapter_config.json").is_file() == bool(adapters)
    assert (step / "pytorch_lora_weights.safetensors").is_file() == bool(loras)
    quantized = (step / "unet_int8/quantization.json").is_file()
    assert quantized == (Config.fromfile(path).model.get("quantizer") is not None)
    assert word or quantized or whole != bool(adapters)
