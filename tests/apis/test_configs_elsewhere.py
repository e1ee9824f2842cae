"""The shipped configs in a folder of the user's: what copy-cfg makes works there, and the way to it is shown."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BASE = """from mmengine.config import read_base

with read_base():
    from {base} import *
"""
OWN = (
    BASE
    + """
model.tuners.unet.update(rank=2)
train_cfg.update(max_iters=3)
"""
)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder with the package as a wheel leaves it: the configs lie in ``.mim``."""
    site = tmp_path_factory.mktemp("site")
    unwanted = shutil.ignore_patterns("__pycache__", ".mim", "*.safetensors")
    shutil.copytree(ROOT / "diffkit", site / "diffkit", ignore=unwanted)
    shutil.copytree(ROOT / "configs", site / "diffkit/.mim/configs", ignore=unwanted)
    return site


@pytest.fixture
def diffkit(installed, tmp_path):
    """Calls the installed command in an empty folder."""

    def call(*arguments: str, status: int = 0) -> str:
        env = {**os.environ, "PYTHONPATH": str(installed)}
        command = [sys.executable, "-m", "diffkit", *arguments]
        result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
        assert result.returncode == status, result.stderr
        return result.stdout + result.stderr

    return call


def test_a_copy_and_a_config_that_starts_from_it(diffkit, tmp_path):
    written = diffkit("copy-cfg", "mini_sd_dreambooth_lora", "my_heart.py")
    assert "train it: diffkit train my_heart.py" in written
    assert "my_heart.py: no faults" in diffkit("check", "my_heart.py")
    (tmp_path / "smaller.py").write_text(OWN.format(base=".my_heart"))
    assert "smaller.py: no faults" in diffkit("check", "smaller.py")
    text = BASE.format(base="._base_.models.mini_sd") + "\nmodel.tuners = dict(unet=dict(type='LoRATuner'))\n"
    (tmp_path / "from_base.py").write_text(text)
    assert "from_base.py: no faults" in diffkit("check", "from_base.py")


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("diffkit.configs._base_.models.mini_sd", ["copy-cfg NAME", "from ._base_.models.mini_sd import *"]),
        ("diffkit.configs.dreambooth.mini_sd_dreambooth", ["copy-cfg mini_sd_dreambooth ", ".mini_sd_dreambooth "]),
        ("configs._base_.models.mini_sd", ["copy-cfg NAME", "from ._base_.models.mini_sd import *"]),
        (".._base_.models.mini_sd", ["copy-cfg NAME", "_base_/models/mini_sd.py"]),
        ("._base_.models.mini_sd", ["copy-cfg NAME", "(looked for _base_/models/mini_sd.py)"]),
    ],
)
def test_a_base_that_is_not_there_shows_the_way(diffkit, tmp_path, base, words):
    (tmp_path / "mine.py").write_text(BASE.format(base=base))
    message = diffkit("check", "mine.py", status=1)
    for part in (f"mine.py:4: there is no base {base}", "diffkit list-cfg shows the names", *words):
        assert part in message


def test_a_base_that_is_not_ours_gets_no_advice(diffkit, tmp_path):
    (tmp_path / "mine.py").write_text(BASE.format(base=".my_base"))
    message = diffkit("check", "mine.py", status=1)
    assert "mine.py:4: there is no base .my_base (looked for my_base.py)" in message
    assert "copy-cfg" not in message


def test_bases_named_in_the_old_style_get_the_advice_too(diffkit, tmp_path):
    (tmp_path / "mine.py").write_text('_base_ = ["diffkit::dreambooth/mini_sd_dreambooth.py"]\n')
    assert "diffkit copy-cfg NAME" in diffkit("check", "mine.py", status=1)
