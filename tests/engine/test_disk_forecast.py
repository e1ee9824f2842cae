"""What the table says about the disk is what is written, whatever is trained."""

import pytest
from mmengine.config import Config

from diffkit.engine import Runner
from diffkit.engine.files import folder_size
from diffkit.engine.hooks import checkpoint
from tests.engine.fakes import make_config

LORA = {"type": "LoRATuner", "component": "unet", "rank": 4}
TUNERS = {
    "LoRA": {"unet": LORA},
    "LoRA of two components": {"unet": LORA, "text": LORA | {"component": "text_encoder"}},
    "LoHa, for kohya's programs too": {"unet": LORA | {"kind": "loha", "export_kohya": True}},
    "full with a pattern": {"unet": {"type": "FullTuner", "pattern": r"attn2\.to_[kv]\."}},
    "full": {"unet": {"type": "FullTuner"}},
    "full, LoRA on text": {"unet": {"type": "FullTuner"}, "text": LORA | {"component": "text_encoder"}},
}


@pytest.mark.parametrize("case", TUNERS)
def test_the_forecast_is_what_is_written(sd_folder, tmp_path, monkeypatch, case):
    told = []
    original = checkpoint.checkpoint_bytes
    monkeypatch.setattr(checkpoint, "checkpoint_bytes", lambda runner: told.append(original(runner)) or told[-1])
    Runner.from_cfg(training(sd_folder, tmp_path, TUNERS[case])).train()
    written = folder_size(tmp_path / "step0")
    assert told[0] == pytest.approx(written, rel=0.1)


def test_an_average_is_counted(sd_folder, tmp_path, monkeypatch):
    told = []
    original = checkpoint.checkpoint_bytes
    monkeypatch.setattr(checkpoint, "checkpoint_bytes", lambda runner: told.append(original(runner)) or told[-1])
    cfg = training(sd_folder, tmp_path, TUNERS["full with a pattern"])
    cfg.custom_hooks = [{"type": "EMAHook"}]
    Runner.from_cfg(cfg).train()
    assert told[0] == pytest.approx(folder_size(tmp_path / "step0"), rel=0.1)


def training(sd_folder, work_dir, tuners):
    """One step of a tiny model."""
    return Config(
        {
            "work_dir": str(work_dir),
            "model": {
                "type": "LatentDiffusion",
                "family": {"type": "StableDiffusion"},
                "pretrained": str(sd_folder),
                "tuners": tuners,
            },
            "train_dataloader": {
                "batch_size": 1,
                "num_workers": 0,
                "dataset": {"type": "ShapesDataset", "length": 4, "resolution": 32},
                "sampler": {"type": "DrawSampler"},
                "collate_fn": {"type": "diffkit.collate_samples"},
            },
            "train_cfg": {"max_iters": 1},
            "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1e-3}},
        }
    )


def test_what_another_training_left_there_says_nothing(tmp_path, capfd):
    (tmp_path / "step7").mkdir()
    (tmp_path / "step7/model.safetensors").write_bytes(bytes(5_000_000))
    Runner.from_cfg(Config(make_config(tmp_path, 1))).train()
    forecast = next(line for line in capfd.readouterr().out.splitlines() if line.startswith("  disk"))
    assert " kB for 1 checkpoints at once" in forecast
