"""Programs on the pages run, with tiny models in the place of those of the hub and of trained step folders.

What a page says is left as it is. What is put in its place: hub names lead to tiny pipelines, pictures take two steps,
and nothing goes to CUDA or to float16. Configs are in ``test_code.py``, parts in ``test_extending.py``.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from PIL import Image

from diffkit.apis.train import train
from tests.configs.test_configs_train import ROOT as CONFIGS
from tests.configs.test_configs_train import options, prior_of
from tests.docs.pages import ROOT, Block
from tests.docs.test_code import PYTHON, changes_a_config
from tests.tiny import tiny_sd, tiny_sdxl

HUB = {
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "StableDiffusion",
    "CompVis/stable-diffusion-v1-4": "StableDiffusion",
    "segmind/small-sd": "StableDiffusion",
    "stabilityai/stable-diffusion-xl-base-1.0": "StableDiffusionXL"}
#: Step folder that pages speak of -> the config that it is trained with here.
STEPS = {
    "my_dog/step999": "dreambooth/stable_diffusion_v15_dreambooth_lora_dog",
    "stable_diffusion_v14_custom_diffusion_cat/step249": "custom_diffusion/stable_diffusion_v14_custom_diffusion_cat",
    "stable_diffusion_xl_textual_inversion_cat_toy/step2999":
        "textual_inversion/stable_diffusion_xl_textual_inversion_cat_toy",
    "mini_sd_dreambooth_lora/step299": "dreambooth/mini_sd_dreambooth_lora"}
COPIES = {"my_style/step999": "my_dog/step999", "small_sd_dreambooth_lora_dog/step999": "my_dog/step999",
          "mini_sd_lcm_lora/step199": "mini_sd_dreambooth_lora/step299"}
#: What a block says that needs an optional package and a UNet that ``diffkit export --to openvino`` has converted.
OPENVINO = "OpenVINOUNet("


def is_a_config(block: Block) -> bool:
    """Whether a block is tested as a config, or as a part of the page on extending."""
    return "read_base" in block.text or changes_a_config(block) or block.text.startswith("# my_")


PROGRAMS = [block for block in PYTHON if not is_a_config(block) and OPENVINO not in block.text]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``hub/`` and ``work_dirs/`` as the pages speak of them."""
    folder = tmp_path_factory.mktemp("pages")
    models = {"StableDiffusion": tiny_sd(folder / "hub/StableDiffusion"),
              "StableDiffusionXL": tiny_sdxl(folder / "hub/StableDiffusionXL")}
    photographs = folder / "photographs"
    photographs.mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 255, (3, 40, 48, 3), dtype=np.uint8)):
        Image.fromarray(pixels).save(photographs / f"{number}.png")
        (photographs / f"{number}.txt").write_text("a photo of a dog")
    shutil.copytree(photographs, prior_of(photographs))
    for step, name in STEPS.items():
        small = options(CONFIGS / f"{name}.py", photographs, models) | {"train_cfg.max_iters": 1}
        if "mini" in name:
            small |= {"model.pretrained": "mini-sd", "train_dataloader.dataset.resolution": 64}
        target = folder / "work_dirs" / step
        shutil.move(train(CONFIGS / f"{name}.py", work_dir=target.parent, cfg_options=small) / "step0", target)
    for step, source in COPIES.items():
        shutil.copytree(folder / "work_dirs" / source, folder / "work_dirs" / step)
    return folder


@pytest.fixture
def no_hub(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hub names lead to tiny folders; pictures take two steps; what wants a GPU stays on the CPU in float32."""
    load, move = DiffusionPipeline.from_pretrained.__func__, DiffusionPipeline.to

    def from_pretrained(cls: Any, name: Any, **given: Any) -> Any:
        given.pop("dtype", None)
        return load(cls, workplace / "hub" / HUB[name] if name in HUB else name, **given)

    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", classmethod(from_pretrained))
    monkeypatch.setattr(DiffusionPipeline, "to", lambda self, *where, **named: (
        self if "cuda" in where else move(self, *where, **named)))
    for kind in (StableDiffusionPipeline, StableDiffusionXLPipeline):
        paint = kind.__call__
        monkeypatch.setattr(kind, "__call__", lambda self, *given, paint=paint, **named: paint(
            self, *given, **named | {"num_inference_steps": 2}))
    monkeypatch.chdir(workplace)


@pytest.mark.slow
@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.place)
def test_a_program_runs(block: Block, workplace: Path, no_hub: None) -> None:
    found: dict[str, Any] = {}
    exec(compile(block.text, block.place, "exec"), found)
    for name in ("demo.png", "cat.png", "backpack.png"):
        if f'"{name}"' in block.text:
            assert Image.open(name).size[0] >= 32
            Path(name).unlink()


@pytest.mark.slow
def test_the_program_with_openvino_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    from diffkit.apis import load_pipeline
    from diffkit.export.openvino import write_openvino

    monkeypatch.chdir(tmp_path)
    write_openvino(load_pipeline("mini-sd", device="cpu").unet, tmp_path / "unet_openvino")
    (block,) = (block for block in PYTHON if OPENVINO in block.text)
    found: dict[str, Any] = {}
    exec(compile(block.text, block.place, "exec"), found)
    picture = found["pipe"]("a photo of a red circle on a blue background", num_inference_steps=8, guidance_scale=4.0,
                            generator=torch.Generator().manual_seed(0)).images[0]
    red, _, blue = np.asarray(picture, dtype=float)[[32, 2], [32, 2]].T  # the middle and a corner
    assert red[0] > 2 * blue[0] and blue[1] > 2 * red[1]


def test_programs_of_all_pages_are_run() -> None:
    assert {block.page.relative_to(ROOT).as_posix() for block in PROGRAMS} >= {
        "README.md", "docs/adapters.md", "docs/custom_diffusion.md", "docs/data.md", "docs/dreambooth.md",
        "docs/sampling.md", "docs/shapes_world.md", "docs/textual_inversion.md"}
