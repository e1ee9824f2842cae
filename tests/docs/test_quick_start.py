"""The table that the quick start shows is the one that its training prints."""

from pathlib import Path

import pytest

from diffkit.apis.train import train
from tests.configs.test_configs_train import ROOT as CONFIGS
from tests.docs.pages import ROOT, blocks

#: As little work as gives the same lines; the number of iterations and of prior pictures is not compared.
QUICK = {"train_cfg.max_iters": 1, "train_dataloader.dataset.num_class_images": 2,
         "model.generation.num_inference_steps": 2}
SAME = ("trained", "  unet", "  text_encoder", "latents", "text states", "batch", "learning rate", "precision")


def table(text: str) -> dict[str, str]:
    """The lines of a table by name; names begin at the same place, and two blanks or more end them."""
    rows = text.split("Training:\n")[1].splitlines()
    found = {}
    for row in rows:
        if not row.startswith("  "):
            break
        depth = "  " if row.startswith("    ") else ""
        name, _, value = row.strip().partition("  ")
        found[depth + name] = value.strip()
    return found


@pytest.mark.slow
def test_the_table_before_a_training(tmp_path: Path) -> None:
    (shown,) = (table(block.text) for block in blocks(ROOT / "docs/quick_start.md") if "Training:" in block.text)
    config = CONFIGS / "dreambooth/mini_sd_dreambooth_lora.py"
    train(config, work_dir=tmp_path / "mini_sd_dreambooth_lora", cfg_options=QUICK)
    (log,) = tmp_path.rglob("*.log")
    printed = table(log.read_text(encoding="utf-8"))
    assert list(shown) == list(printed)
    for name in SAME:
        assert shown[name] == printed[name]
    assert shown["data"].split(";")[0] == printed["data"].split(";")[0]
