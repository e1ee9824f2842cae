"""Python on the pages compiles, names what there is, and does what the page says."""

import ast
import importlib
from pathlib import Path

import pytest

from diffkit.apis import copy_config
from diffkit.utils.config_check import check_config
from tests.docs.pages import ROOT, Block, blocks, blocks_of

PYTHON = blocks_of("python", "py")


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_python_compiles_and_its_imports_exist(block: Block) -> None:
    tree = ast.parse(block.text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "diffkit":
            module = importlib.import_module(str(node.module))
            missing = [alias.name for alias in node.names if not hasattr(module, alias.name)]
            assert not missing, block.place


def test_the_config_of_the_readme_has_no_faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/my_dog").mkdir(parents=True)
    copy_config("stable_diffusion_v15_dreambooth_lora_dog", "my_dog.py")
    text = next(block.text for block in blocks(ROOT / "README.md") if "read_base" in block.text)
    (tmp_path / "my_dog.py").write_text(text, encoding="utf-8")
    cfg = check_config(tmp_path / "my_dog.py")
    assert cfg.train_cfg.max_iters == 1000
    assert len(text.splitlines()) <= 20


def test_the_config_shown_in_full_is_the_one_of_the_repository() -> None:
    text = next(block.text for block in blocks(ROOT / "docs/configs.md") if "read_base" in block.text)
    assert text == (ROOT / "configs/dreambooth/stable_diffusion_v15_dreambooth_lora_dog.py").read_text(encoding="utf-8")


#: Page -> the config that its pieces change, where it is not DreamBooth with LoRA.
BASES = {"text_to_image": "stable_diffusion_v15_text_to_image_lora", "evaluation": "mini_sd_dreambooth_lora"}


def changes_a_config(block: Block) -> bool:
    """Whether a block is a piece of a config, to stand behind its bases."""
    return "read_base" not in block.text and any(
        line.startswith(("model.", "train_dataloader.", "visualizer.", "custom_hooks = ", "default_hooks.",
                         "test_cfg = ", "_quantizer."))
        for line in block.text.splitlines())


@pytest.mark.parametrize("block", [block for block in PYTHON if changes_a_config(block)], ids=lambda block: block.place)
def test_pieces_of_configs_have_no_faults(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("diffkit.utils.config_check.rules.is_installed", lambda name: True)  # as the pages say
    for folder in ("data/dog", "data/my_dog", "data/my_pictures", "data/text_image"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "data/laion").mkdir()
    for number in range(20):
        (tmp_path / f"data/laion/{number:05}.tar").touch()
    (tmp_path / "layers.json").write_text('{"what": "quantization", "units": []}')
    base = BASES.get(block.page.stem, "stable_diffusion_v15_dreambooth_lora_dog")
    if "_quantizer" in block.text:
        base = "mini_sd_qat_w4a8"
    copy_config(base, tmp_path)
    head = ["from mmengine.config import read_base", "with read_base():", f"    from .{base} import *",
            "from diffkit.models import FullTuner"]
    path = tmp_path / "piece.py"
    path.write_text("\n".join([*head, block.text]), encoding="utf-8")
    check_config(path)
