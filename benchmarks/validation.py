"""Pictures during a training: diffkit's beside those of the peer's validation, of the same UNet, in one process."""

import runpy
import types
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel

from benchmarks.launch import stand_in_for_torchvision
from benchmarks.methods import PROMPT, Setting
from benchmarks.overhead import training
from diffkit.apis.measure.interleaved import interleaved, one_thread, ratios

SCRIPT = "examples/dreambooth/train_dreambooth_lora.py"
#: What a pipeline of diffusers takes where nobody says otherwise; so does the script during the training.
PEER_STEPS = 50

Say = Callable[[str], None]


def peer_validation(script: Path, at: Setting, pictures: int, side: int) -> Callable[[], Any]:
    """The peer's own validation during a training: it loads the pipeline around its UNet, and paints one by one."""
    from accelerate import Accelerator

    stand_in_for_torchvision()
    paint = runpy.run_path(str(script), run_name="peer")["log_validation"]
    unet: Any = UNet2DConditionModel.from_pretrained(at.pipeline, subfolder="unet")
    unet.register_to_config(sample_size=side // 8)
    accelerator = Accelerator(cpu=True)
    args = types.SimpleNamespace(num_validation_images=pictures, validation_prompt=PROMPT, seed=at.seed,
                                 validation_images=None)

    def validate() -> Any:
        pipeline = DiffusionPipeline.from_pretrained(at.pipeline, unet=unet, torch_dtype=torch.float32)
        with torch.no_grad():
            return paint(pipeline, args, accelerator, {"prompt": PROMPT}, 0, torch.float32)

    return validate


def own_sampling(at: Setting, work_dir: Path, pictures: int, side: int) -> Callable[[int | None], Any]:
    """diffkit's pictures during a training, with its hook; the argument is the number of steps, None the default."""
    from diffkit.engine.hooks import SampleHook

    runner = training("lora", at, work_dir)  # such a runner has no hook that works now and then: this one is called
    hook = SampleHook([PROMPT] * pictures, height=side, width=side, before_train=False, compare_base=False)

    def sample(steps: int | None) -> Any:
        hook.settings["num_inference_steps"] = steps
        return hook.sample(runner, 1)

    return sample


def measure_sampling(script: Path, at: Setting, work_dir: Path, rounds: int, say: Say, pictures: int = 2,
                     side: int = 128) -> dict[str, Any]:
    """Times both in turn: each with its default number of steps, and diffkit with the peer's too.

    Returns:
        ``default`` and ``equal_steps``: the peer's time / diffkit's; ``seconds``: medians; ``pictures``, ``side``,
        ``steps``: of each.
    """
    from diffkit.models.generation import GenerationSettings

    with one_thread():
        own = own_sampling(at, work_dir, pictures, side)
        runs = {"peer": peer_validation(script, at, pictures, side), "diffkit": lambda: own(None),
                "equal": lambda: own(PEER_STEPS)}
        times = interleaved(runs, rounds, say)
    return {"default": ratios(times, "peer", "diffkit"), "equal_steps": ratios(times, "peer", "equal"),
            "seconds": {name: median(values["cpu_seconds"]) for name, values in times.items()},
            "pictures": pictures, "side": side,
            "steps": {"peer": PEER_STEPS, "diffkit": GenerationSettings().num_inference_steps}}
