"""What the framework costs: a step beside the barest loop that computes the same, and the writing of checkpoints."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from torch.nn.functional import mse_loss
from transformers import CLIPTextModel, CLIPTokenizer

from benchmarks.methods import METHODS, PROMPT, Setting
from benchmarks.programs import diffkit_options
from benchmarks.stepping import stepped, stepped_config
from diffkit.apis.measure.interleaved import interleaved, one_thread, ratios
from diffkit.models.tuners.lora import DEFAULT_TARGETS

Say = Callable[[str], None]


def bare_lora_step(at: Setting) -> Callable[[], None]:
    """A LoRA step without a framework: latents and text computed once, then noise, UNet, AdamW, and nothing else."""
    torch.manual_seed(at.seed)
    unet = UNet2DConditionModel.from_pretrained(at.pipeline, subfolder="unet").requires_grad_(False).train()
    unet.add_adapter(LoraConfig(r=at.rank, lora_alpha=at.rank, target_modules=list(DEFAULT_TARGETS["unet"])))
    noise_scheduler = DDPMScheduler.from_pretrained(at.pipeline, subfolder="scheduler")
    mean, std, factor = _latents(at)
    text = _text(at).expand(at.batch, -1, -1)
    trained = [value for value in unet.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=1e-2)

    def step() -> None:
        rows = torch.randint(len(mean), (at.batch,))
        latents = (mean[rows] + std[rows] * torch.randn_like(mean[rows])) * factor
        noise = torch.randn_like(latents)
        timesteps = torch.randint(noise_scheduler.config["num_train_timesteps"], (at.batch,))
        noisy = noise_scheduler.add_noise(latents, noise, timesteps)  # type: ignore[arg-type]
        loss = mse_loss(unet(noisy, timesteps, text).sample, noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


@torch.no_grad()
def _latents(at: Setting) -> tuple[torch.Tensor, torch.Tensor, float]:
    vae: Any = AutoencoderKL.from_pretrained(at.pipeline, subfolder="vae")
    pixels = [torch.from_numpy(_pixels(file)) for file in sorted(at.instances.glob("*.png"))]
    found = [vae.encode(each[None]).latent_dist for each in pixels]
    return torch.cat([each.mean for each in found]), torch.cat([each.std for each in found]), vae.config.scaling_factor


def _pixels(file: Path) -> Any:
    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(file).convert("RGB"), dtype=np.float32).transpose(2, 0, 1) / 127.5 - 1


@torch.no_grad()
def _text(at: Setting) -> torch.Tensor:
    tokenizer: Any = CLIPTokenizer.from_pretrained(at.pipeline, subfolder="tokenizer")
    encoder: Any = CLIPTextModel.from_pretrained(at.pipeline, subfolder="text_encoder")
    ids = tokenizer(PROMPT, padding="max_length", truncation=True, return_tensors="pt").input_ids
    return encoder(ids)[0]  # type: ignore[no-any-return]


def training(name: str, at: Setting, work_dir: Path, more: Mapping[str, Any] | None = None) -> Any:
    """The runner of a method of the comparison, ready to be stepped."""
    method = METHODS[name]
    return stepped(stepped_config(method.config, work_dir, {**diffkit_options(method, at, 10**6), **(more or {})}))


def measure_overhead(at: Setting, work_dir: Path, rounds: int, say: Say) -> dict[str, Any]:
    """Times steps of both in turn, once all pictures have been seen.

    Returns:
        ``ratio`` of diffkit's step to the bare one, and the medians of both in ``seconds``.
    """
    with one_thread():
        step, bare = training("lora", at, work_dir).train_loop.step, bare_lora_step(at)
        for _ in range(at.count):
            step()
        times = interleaved({"diffkit": step, "bare": bare}, rounds)
    found = {"ratio": ratios(times, "diffkit", "bare"),
             "seconds": {name: median(values["cpu_seconds"]) for name, values in times.items()}}
    say(f"  a step {found['seconds']['diffkit']:.3f} s, bare {found['seconds']['bare']:.3f} s")
    return found


def measure_checkpoint(name: str, at: Setting, work_dir: Path, rounds: int, say: Say,
                       interval: int = 100) -> dict[str, Any]:
    """What a checkpoint adds to the steps of an interval, in processor time and by the clock.

    Returns:
        ``cpu`` and ``clock``: the share of the interval's steps that a checkpoint takes, as median, least and most;
        ``seconds``: medians of a step and of a checkpoint.
    """
    with one_thread():
        runner = training(name, at, work_dir)
        step = runner.train_loop.step
        for _ in range(at.count + 1):
            step()
        steps, saves = [], []
        for _ in range(rounds):
            steps.append(_timed(step))
            saves.append(_timed(runner.save_step))
    found: dict[str, Any] = {"interval": interval, "rounds": rounds, "seconds": {}}
    for place, clock in enumerate(("cpu", "clock")):
        one = median(each[place] for each in steps)
        shares = [each[place] / (interval * one) for each in saves]
        found[clock] = {"median": median(shares), "least": min(shares), "most": max(shares)}
        found["seconds"][clock] = {"step": one, "checkpoint": median(each[place] for each in saves)}
    say(f"  {name}: a checkpoint takes {100 * found['cpu']['median']:.2f} % of {interval} steps")
    return found


def _timed(run: Callable[[], Any]) -> tuple[float, float]:
    began, worked = time.perf_counter(), time.process_time()
    run()
    return time.process_time() - worked, time.perf_counter() - began
