"""Work folders as trainings leave them, written by hand, for the tests of reports."""

import json
from pathlib import Path
from typing import Any

from PIL import Image

from diffkit.utils.images import save_png

PROMPTS = ["a photo of a sks heart on a green background", "a photo of a red circle"]
CONFIG = {"optim_wrapper.optimizer.lr": "0.001", "model.pretrained": "'mini-sd'", "train_cfg.max_iters": "40"}
LOG = """2026/11/21 17:25:11 - mmengine - INFO - Environment:
python 3.11.7 on Linux
device CPU, 2 torch threads of 2 cores
2026/11/21 17:25:15 - mmengine - INFO - something else
"""


def work_dir(folder: Path, *, config: dict[str, str] | None = None, factor: float = 1.0, steps: int = 40,
             prompts: list[str] | None = None) -> Path:
    """A training of some steps, with curves, a validation, pictures, two tests and a step folder."""
    logs = folder / "20261121_172511"
    (logs / "vis_data").mkdir(parents=True)
    (logs / "20261121_172511.log").write_text(LOG)
    rows: list[dict[str, Any]] = [{"loss": factor / step, "lr": 1e-3, "grad_norm": 0.5, "step": step, "iter": step}
                                  for step in range(1, steps + 1)]
    rows += [{"prompt/sc": 0.2 + 0.2 * i, "prompt/sc_se": 0.05, "prompt/sc_n": 64, "step": step}
             for i, step in enumerate((10, 20, 40))]
    (logs / "vis_data" / "scalars.json").write_text("\n".join(map(json.dumps, rows)) + '\n{"loss": 0.')
    for number, step in enumerate((0, 20, 40)):
        for place, prompt in enumerate(prompts or PROMPTS):
            image = Image.new("RGB", (64, 64), (80 * number, 40 + 60 * place, 160))
            save_png(image, folder / "samples" / f"step{step:06d}_{place}_{place}.png",
                     {"prompt": prompt, "seed": place, "num_inference_steps": 25, "guidance_scale": 4.0})
    (folder / "before.json").write_text(json.dumps({"concept/hit": 0.25, "concept/hit_se": 0.1, "concept/hit_n": 20}))
    (folder / "after.json").write_text(json.dumps({"concept/hit": 0.75, "concept/hit_se": 0.09, "concept/hit_n": 20}))
    step_folder(folder / f"step{steps - 1}", CONFIG if config is None else config, prompts or PROMPTS)
    return folder


def step_folder(folder: Path, config: dict[str, str], prompts: list[str]) -> Path:
    """A step folder with an adapter that holds nothing."""
    (folder / "unet").mkdir(parents=True)
    (folder / "state").mkdir()
    (folder / "unet" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "mini-sd"}))
    (folder / "unet" / "adapter_model.safetensors").write_bytes(bytes(1000))
    (folder / "diffkit.json").write_text(json.dumps({"prompts": prompts, "base": "mini-sd"}))
    (folder / "state" / "state.json").write_text(json.dumps({"config": config}))
    return folder
