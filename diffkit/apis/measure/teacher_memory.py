"""What a teacher costs in memory, and what each way to save it saves: bytes of tensors, counted."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from diffkit.apis.measure import report
from diffkit.apis.measure.pictures import Say

CONFIG = "mini_sd_distill_small"
_OUTPUT_ONLY = {"model.distiller.objectives.loss_feature.weight": 0.0}
_BANK = {**_OUTPUT_ONLY, "model.objective": {"type": "Denoising", "fixed_draws": 2}}

#: What is measured: name -> (label, values that replace those of the config). ``bank`` is given a folder.
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "task": ("no teacher", {"model.distiller": None}),
    "float32": ("outputs and features, a copy in float32", {}),
    "bfloat16": ("… the copy in bfloat16", {"model.distiller.dtype": "bfloat16"}),
    "disk": ("… weights on the disk", {"model.distiller.offload": "disk"}),
    "checkpointing": ("… gradient checkpointing of the student", {"model.gradient_checkpointing": True}),
    "all": ("… bfloat16, on the disk, and checkpointing", {
        "model.distiller.dtype": "bfloat16", "model.distiller.offload": "disk", "model.gradient_checkpointing": True}),
    "output": ("outputs alone, a copy in float32", _OUTPUT_ONLY),
    "bank": ("outputs alone, from a bank", _BANK)}


def measure_teacher_memory(
    *,
    variants: Sequence[str] = tuple(VARIANTS),
    config: str | Path = CONFIG,
    batch_size: int = 4,
    cfg_options: dict[str, Any] | None = None,
    out: str | Path = "docs/results/teacher_memory",
    command: str = "diffkit measure teacher-memory",
    say: Say = print,
) -> str:
    """Counts the bytes of tensors in a training step of a student, for each way to keep its teacher.

    Args:
        variants: of ``VARIANTS``.
        config: of a distillation with ``loss_output`` and ``loss_feature``.
        batch_size: pictures of a step.
        cfg_options: values that replace those of the config, by dotted key.
        out: path of the results without suffix.
        command: what the results say they were made by.
        say: called with lines of progress.

    Returns:
        The table, as Markdown.

    Raises:
        ValueError: a variant is unknown.
    """
    report.check_names("variants", variants, VARIANTS)
    given = {**(cfg_options or {}), "train_dataloader.batch_size": batch_size}
    results: dict[str, Any] = {"about": report.about(command, config=str(config), options=given), "variants": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in variants:
            say(VARIANTS[name][0])
            bank = {"model.distiller.bank": folder} if name == "bank" else {}
            results["variants"][name] = step_bytes(config, {**given, **VARIANTS[name][1], **bank})
    results["real_sizes"] = real_sizes()
    file = Path(out).with_suffix(".json")
    report.write_results(file, results)
    text = memory_table(results)
    file.with_suffix(".md").write_text(text, encoding="utf-8")
    return text


def step_bytes(config: str | Path, options: dict[str, Any]) -> dict[str, int]:
    """The bytes of a config's training step.

    Returns:
        ``weights`` of the model, ``teacher``: of its weights that are in memory at once, ``step``: the most of all
        other tensors at once (activations, gradients, the optimizer's), in the second step, and ``total``.
    """
    from diffkit.apis.configs import load_config
    from diffkit.engine import Runner
    from diffkit.engine.seeding import seed_everything
    from diffkit.evaluation.memory import PeakBytes
    from diffkit.registry import MODELS

    cfg = load_config(config, cfg_options=options)
    seed_everything(0)
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    model: Any = MODELS.build(cfg.model).to("cpu")
    batch = model.data_preprocessor(batch)
    if getattr(model.distiller, "bank", None) is not None:
        _fill(model, batch)
    optimizer = torch.optim.AdamW(model.trainable_parameters().values(), lr=1e-4, foreach=False)
    with PeakBytes() as memory:
        for number in range(2):
            memory.peak = memory.alive
            seed_everything(number)
            losses = model(mode="loss", **batch)
            sum(value for name, value in losses.items() if name.startswith("loss")).backward()
            optimizer.step()
            optimizer.zero_grad()
            del losses
    weights = sum(parameter.nbytes for part in model.components.values() for parameter in part.parameters())
    teacher = 0 if model.distiller is None else model.distiller.resident_bytes
    return {"weights": weights, "teacher": teacher, "step": memory.peak, "total": weights + teacher + memory.peak}


def _fill(model: Any, batch: dict[str, Any]) -> None:
    """Asks the teacher for what the two steps need, and lets it go."""
    from diffkit.engine.seeding import seed_everything

    with torch.no_grad():
        for number in range(2):
            seed_everything(number)
            model.distiller.bank.ask(model.objective.prepare(model, batch))
    model.distiller.bank.release()


def real_sizes() -> dict[str, dict[str, int]]:
    """Bytes of a teacher's weights that are in memory at once, of UNets of full size without values."""
    from diffkit.models.families.unet_configs import SD15, SDXL
    from diffkit.models.twin import empty_unet

    found = {}
    for name, config in (("Stable Diffusion 1.5", SD15), ("SDXL", SDXL)):
        layers = [sum(parameter.numel() for parameter in layer.parameters(recurse=False))
                  for layer in empty_unet(config).modules()]
        found[name] = {"float32": 4 * sum(layers), "bfloat16": 2 * sum(layers), "disk": 4 * max(layers),
                       "bfloat16 on the disk": 2 * max(layers)}
    return found


def memory_table(results: Mapping[str, Any]) -> str:
    """The results as Markdown."""
    found = results["variants"]
    rows = []
    for name, (label, _) in VARIANTS.items():
        if name in found:
            values = found[name]
            beside = found.get("output" if name == "bank" else "float32")
            ratio = f"{values['total'] / beside['total']:.2f}" if beside else "-"
            rows.append((label, *(f"{values[key]:,}" for key in ("weights", "teacher", "step", "total")), ratio))
    text = report.table(("teacher", "the model's weights", "the teacher's weights in memory", "the rest of a step",
                         "together", "of the copy in float32"), rows)
    text += "\n" + report.table(
        ("teacher's weights in memory", "float32", "bfloat16", "on the disk", "bfloat16 on the disk", "bank"),
        [(name, *(f"{value:,}" for value in sizes.values()), "0") for name, sizes in results["real_sizes"].items()])
    facts = results["about"]
    return (f"{text}\nBytes of tensors that are alive at once in the second step of `{facts['config']}`, batch "
            f"{facts['options']['train_dataloader.batch_size']}, on a CPU, counted by operation: gradients, AdamW's "
            "averages, activations and the teacher's own activations. The line of the bank is compared with outputs "
            "alone. The second table is counted on UNets of full size without values.\n\n" + report.footer(facts))
