"""A bank that is filled beforehand: the training asks the teacher for nothing more."""

import pytest

from diffkit.apis import train
from diffkit.apis.bank_building import build_bank
from diffkit.apis.configs import load_config
from diffkit.cli import main
from diffkit.models.distillers.teacher import FrozenTeacher

CONFIG = "mini_sd_distill_small"


@pytest.fixture
def options(sd_folder, tmp_path):
    return {
        "model.pretrained": str(sd_folder), "model.distiller.bank": str(tmp_path / "bank"),
        "model.distiller.objectives.loss_feature.weight": 0.0,
        "model.objective": {"type": "Denoising", "fixed_draws": 2}, "train_cfg.max_iters": 3,
        "train_dataloader.batch_size": 2, "train_dataloader.dataset.length": 3,
        "train_dataloader.dataset.resolution": 32, "param_scheduler": [], "custom_hooks": []}


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
def test_the_training_after_it_never_loads_the_teacher(options, tmp_path, monkeypatch, dtype):
    options["optim_wrapper.dtype"] = dtype
    made = build_bank(CONFIG, cfg_options=options)
    assert made["there"] == 0 and 0 < made["made"] <= 6
    assert build_bank(CONFIG, cfg_options=options) == {"there": made["made"], "made": 0}

    def refused(*args, **kwargs):
        raise AssertionError("the teacher was loaded")

    monkeypatch.setattr(FrozenTeacher, "from_pretrained", refused)
    monkeypatch.setattr(FrozenTeacher, "copy_of", refused)
    cfg = load_config(CONFIG, work_dir=tmp_path / "run", cfg_options=options)
    train(cfg, work_dir=cfg.work_dir)
    assert (tmp_path / "run" / "step2" / "model_index.json").is_file()


def test_what_has_no_bank_is_told(options, capsys):
    del options["model.distiller.bank"]
    with pytest.raises(ValueError, match=r"it has no model\.distiller\.bank"):
        build_bank(CONFIG, cfg_options=options)
    with pytest.raises(ValueError, match="processes must be at least 1"):
        build_bank(CONFIG, processes=0)
    assert main(["build_bank", "mini_sd_text_to_image"]) == 1
    assert "error: config: it has no model.distiller.bank" in capsys.readouterr().err
