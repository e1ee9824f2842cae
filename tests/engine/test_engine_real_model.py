"""The engine with the real model on a tiny pipeline: DreamBooth with prior, adapters and averages."""

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file

from diffkit.datasets import collate_samples
from diffkit.engine import Runner
from tests.engine.test_engine_resume import assert_same_checkpoint, logged

STOP = {"default_hooks.stop": {"type": "StopAfter", "iterations": 3}}
LORA = {
    "unet": {"type": "LoRATuner", "component": "unet", "rank": 2, "dropout": 0.1},
    "text_encoder": {"type": "LoRATuner", "component": "text_encoder", "rank": 2},
}
CASES = {
    "adapters": {},
    "only the UNet, bfloat16, workers": {
        "model.tuners": {"_delete_": True, "unet": LORA["unet"]},
        "optim_wrapper.dtype": "bfloat16",
        "train_dataloader.num_workers": 2,
    },
    "accumulation, whole UNet": {
        "model.tuners": {"_delete_": True, "unet": {"type": "FullTuner", "component": "unet", "pattern": "attn2"}},
        "optim_wrapper.accumulative_counts": 2,
    },
}


def run(sd_folder, work_dir, changes):
    cfg = Config(
        {
            "work_dir": str(work_dir),
            "model": {
                "type": "LatentDiffusion",
                "family": {"type": "StableDiffusion"},
                "pretrained": str(sd_folder),
                "tuners": LORA,
                "generation": {"num_inference_steps": 1},
            },
            "train_dataloader": {
                "batch_size": 2,
                "num_workers": 0,
                "dataset": {
                    "type": "ConceptDataset",
                    "data_root": "shapes:striped_heart",
                    "instance_prompt": "a photo of a sks dog",
                    "class_prompt": "a photo of a dog",
                    "num_class_images": 3,
                    "resolution": 32,
                    "hflip": 0.5,
                    "caption_dropout": 0.2,
                },
                "sampler": {"type": "DrawSampler"},
                "collate_fn": {"type": collate_samples},
            },
            "train_cfg": {"max_iters": 6},
            "optim_wrapper": {
                "type": "OptimWrapper",
                "optimizer": {"type": "AdamW", "lr": 1e-2},
                "clip_grad": {"max_norm": 1.0},
            },
            "param_scheduler": [{"type": "LinearLR", "start_factor": 0.1, "end": 4}],
            "default_hooks": {"checkpoint": {"interval": -1}, "logger": {"interval": 1}},
            "custom_hooks": [
                {"type": "PriorImagesHook", "num_inference_steps": 1},
                {"type": "EMAHook"},
                {"type": "SampleHook", "prompts": ["a dog"], "interval": 2},
            ],
        }
    )
    cfg.merge_from_dict(changes)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_resumed_equals_uninterrupted(sd_folder, tmp_path, case):
    changes = CASES[case]
    run(sd_folder, tmp_path / "whole", changes)
    run(sd_folder, tmp_path / "parts", changes | STOP)
    run(sd_folder, tmp_path / "parts", changes | {"resume": True})
    assert_same_checkpoint(tmp_path / "whole/step5", tmp_path / "parts/step5")
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")


def test_the_exported_adapter_has_the_averaged_weights(sd_folder, tmp_path):
    runner = run(sd_folder, tmp_path, {})
    exported = load_file(tmp_path / "step5/unet/adapter_model.safetensors")
    hook = next(hook for hook in runner.hooks if hasattr(hook, "shadow"))
    averaged = sorted(float(v.abs().sum()) for n, v in hook.shadow.items() if n.startswith("unet"))
    written = sorted(float(v.abs().sum()) for v in exported.values())
    torch.testing.assert_close(torch.tensor(written), torch.tensor(averaged))
    assert (tmp_path / "step5/pytorch_lora_weights.safetensors").exists()
    assert (tmp_path / "samples/step000006.png").exists()
