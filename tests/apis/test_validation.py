"""The config on the page about evaluation: a training that is validated, and keeps the best checkpoint."""

import json

from diffkit import cli
from diffkit.apis import copy_config
from diffkit.apis.report.run import read_runs
from diffkit.utils.config_check import check_config
from tests.docs.pages import ROOT, blocks

SMALL = ["train_cfg.max_iters=3", "train_cfg.val_interval=1", "train_dataloader.batch_size=1", "param_scheduler=None",
         "train_dataloader.dataset.num_class_images=1", "train_dataloader.dataset.resolution=32",
         "val_dataloader.dataset.n=2", "model.generation.num_inference_steps=1", "custom_hooks.1.interval=100",
         "default_hooks.checkpoint.interval=1", "default_hooks.checkpoint.max_keep_ckpts=1"]


def test_a_training_is_validated_as_the_page_says(sd_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copy_config("mini_sd_dreambooth_lora", tmp_path)
    shown = next(block.text for block in blocks(ROOT / "docs/evaluation.md") if "val_evaluator" in block.text)
    (tmp_path / "my_validated.py").write_text(shown, encoding="utf-8")
    assert check_config(tmp_path / "my_validated.py").train_cfg.val_interval == 100
    line = ["train", "my_validated.py", "--work-dir", "run", "--cfg-options", f"model.pretrained={sd_folder}", *SMALL]
    assert cli.main(line) == 0
    (run,) = read_runs([tmp_path / "run"])
    curve = run.curves["concept/hit"]
    assert [step for step, _ in curve] == [1, 2, 3] and all(0 <= value <= 1 for _, value in curve)
    best = json.loads((tmp_path / "run/best.json").read_text())
    highest = max(value for _, value in curve)
    first = next(step for step, value in curve if value == highest)
    assert best == {"metric": "concept/hit", "rule": "greater", "step": first - 1, "value": highest}
    assert {each.step for each in run.checkpoints} == {first - 1, 2}, "the best and the newest"
