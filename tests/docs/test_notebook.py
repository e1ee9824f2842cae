"""The notebook of the first experiment: its cells run in their order, with few iterations, and it holds no outputs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from diffusers import StableDiffusionPipeline
from PIL import Image

from tests.docs.pages import ROOT

NOTEBOOK = ROOT / "docs/notebooks/first_experiment.ipynb"
SMALL = "iterations, prior_pictures, pictures = 2, 4, 8"


def cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_it_is_committed_without_outputs() -> None:
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("page", ["README.md", "docs/quick_start.md"])
def test_it_is_linked(page: str) -> None:
    links = re.findall(r"\]\(([^)]*first_experiment\.ipynb)\)", (ROOT / page).read_text(encoding="utf-8"))
    assert [((ROOT / page).parent / link).resolve() for link in links] == [NOTEBOOK]


@pytest.mark.slow
def test_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    paint = StableDiffusionPipeline.__call__
    monkeypatch.setattr(StableDiffusionPipeline, "__call__", lambda *given, **named: paint(
        *given, **named | {"num_inference_steps": 2}))
    text = "\n\n".join("".join(cell["source"]) for cell in cells() if cell["cell_type"] == "code")
    small, changed = re.subn(r"^iterations, prior_pictures, pictures = [\d, ]+", SMALL + "  ", text, flags=re.MULTILINE)
    assert changed == 1
    found: dict[str, Any] = {}
    exec(compile(small, str(NOTEBOOK), "exec"), found)
    assert (tmp_path / "work_dirs/first_experiment/step1/pytorch_lora_weights.safetensors").is_file()
    assert len(list((tmp_path / "work_dirs/first_experiment/heart").glob("*.png"))) == 5
    assert isinstance(found["both"], Image.Image) and found["both"].size == (640, 320)
    assert [image.tobytes() for image in found["before"]] != [image.tobytes() for image in found["after"]]
    assert "after: shows the heart 0." in capsys.readouterr().out
    assert found["score_after"]["concept/hit_n"] == 8
