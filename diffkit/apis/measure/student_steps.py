"""What a LoRA step on a student costs, beside the same step on Stable Diffusion 1.5, at their real sizes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from diffkit.apis.measure import report
from diffkit.apis.measure.int8_models import unet_inputs
from diffkit.apis.measure.int8_speed import train_step
from diffkit.apis.measure.interleaved import interleaved, one_thread, ratios
from diffkit.apis.measure.pictures import Say, quiet
from diffkit.evaluation import count_parameters, unet_macs
from diffkit.models.families.unet_configs import SD15
from diffkit.models.pruners.student import prune
from diffkit.models.pruners.variants import VARIANTS
from diffkit.models.tuners.lora import DEFAULT_TARGETS

#: Students, and the most that their step shall take of the teacher's.
GOALS = {"sd_small": 0.68, "sd_tiny": 0.64}
TEACHER = "Stable Diffusion 1.5"


def measure_student_steps(
    *,
    side: int = 32,
    batch_size: int = 1,
    rank: int = 8,
    rounds: int = 5,
    out: str | Path = "docs/results/student_steps",
    command: str = "diffkit measure student-steps",
    say: Say = print,
) -> str:
    """Times LoRA steps on UNets with random weights, writes ``<out>.json`` and ``<out>.md``, and returns the table.

    Args:
        side: of the latents; 64 is that of pictures of 512 px.
        batch_size: pictures of a step.
        rank: of the adapters, which are beside the attention layers.
        rounds: in which all take turns; 5 or more for a claim.
        out: path of the results without suffix.
        command: what the results say they were made by.
        say: called with lines of progress.
    """
    with one_thread():
        found = step_times(SD15, tuple(GOALS), side, batch_size, rank, rounds, say)
        found["about"] = report.about(command)
    file = Path(out).with_suffix(".json")
    report.write_results(file, found)
    text = steps_table(found)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


def step_times(config: dict[str, Any], variants: Sequence[str], side: int, batch_size: int, rank: int, rounds: int,
               say: Say = quiet) -> dict[str, Any]:
    """Times of a step of each UNet (forward, backward, AdamW on the adapters), and what a call of it multiplies."""
    torch.manual_seed(0)
    teacher = UNet2DConditionModel(**config).requires_grad_(False).train()
    unets = {TEACHER: teacher, **{name: prune(teacher, VARIANTS[name], share=True) for name in variants}}
    models: dict[str, dict[str, Any]] = {
        name: {"parameters": count_parameters(unet), "macs": unet_macs(unet.config, (side, side)).total}
        for name, unet in unets.items()}
    say(f"LoRA steps of {', '.join(unets)}")
    runs = {name: _lora_step(unet, config, side, batch_size, rank) for name, unet in unets.items()}
    times = interleaved(runs, rounds, say)
    for name in unets:
        models[name].update(times[name], of_the_teachers=ratios(times, name, TEACHER))
    return {"side": side, "batch_size": batch_size, "rank": rank, "rounds": rounds, "models": models}


def _lora_step(unet: nn.Module, config: dict[str, Any], side: int, batch_size: int, rank: int) -> Callable[[], None]:
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=list(DEFAULT_TARGETS["unet"])), unet)
    inputs = unet_inputs(config, side, batch_size)
    target = torch.randn(inputs["sample"].shape, generator=torch.Generator().manual_seed(2))
    optimizer = torch.optim.AdamW([value for value in unet.parameters() if value.requires_grad], lr=1e-6)
    return lambda: train_step(unet, optimizer, inputs, target)


def steps_table(found: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    rows = []
    teacher = found["models"][TEACHER]
    for name, model in found["models"].items():
        least, most = min(model["cpu_seconds"]), max(model["cpu_seconds"])
        ratio, goal = model["of_the_teachers"], GOALS.get(name)
        rows.append((name, f"{model['parameters'] / 1e6:,.0f}", f"{model['macs'] / teacher['macs']:.3f}",
                     f"{least:.2f}–{most:.2f}",
                     "1" if name == TEACHER else f"{ratio['median']:.3f} ({ratio['least']:.3f}–{ratio['most']:.3f})",
                     *(("", "") if goal is None else (f"≤ {goal:g}", report.yes(ratio["median"] <= goal)))))
    return (report.table(("UNet", "million weights", "MACs, of the teacher's", "s of one thread", "of the teacher's",
                          "asked", "reached"), rows)
            + f"\nA training step (forward, backward, AdamW) of LoRA of rank {found['rank']} beside the attention "
            f"layers of UNets of real size with random weights: batch {found['batch_size']}, latents of "
            f"{found['side']} x {found['side']}. Median of {found['rounds']} rounds in which all take turns, with the "
            "least and the most; processor time of one thread. MACs are those of a call, attention included.\n\n"
            + report.footer(found["about"]))
