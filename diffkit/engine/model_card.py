"""The README of a whole pipeline that a training leaves: what it is, and how it was made."""

import json
from pathlib import Path
from typing import Any

from diffkit.engine.hooks.preflight import PreflightHook
from diffkit.engine.resume_checks import once
from diffkit.version import __version__

#: Rows of the table before the training that say where it ran, or are said otherwise here.
_LEFT_OUT = ("device", "output", "iterations", "disk")
_HUB_PARTS = 2  # owner/name


def model_card(runner: Any) -> str:
    """Markdown with the header of a model card on the Hugging Face hub.

    Args:
        runner: at a checkpoint.
    """
    model = runner.bare_model
    pipeline = type(model.pipeline()).__name__
    facts = [("pipeline", pipeline), ("began as", str(model.pretrained or "random weights")),
             ("UNet", f"{_count(model.get_submodule('unet')):,} parameters"), *_costs(runner)]
    facts += [(name.strip(), text) for name, text in PreflightHook().rows(runner) if name.strip() not in _LEFT_OUT]
    facts += [("data set", _data(runner)), ("iterations", f"{runner.iter + 1} of {runner.max_iters}"),
              ("optimizer", type(runner.optim_wrapper.optimizer).__name__), ("seed", str(runner.seed))]
    table = "\n".join(f"| {name} | {_cell(text)} |" for name, text in facts)
    return f"""{_header(model)}
# {Path(runner.work_dir).name}, step {runner.iter}

A `{pipeline}` made with diffkit {__version__}. The config of the training is `state/config.py`.

| | |
|---|---|
{table}

```python
from diffusers import {pipeline}

pipe = {pipeline}.from_pretrained("{Path(runner.work_dir).name}/step{runner.iter}")
```
"""


def _costs(runner: Any) -> list[tuple[str, str]]:
    """Multiplications of the UNet, where its structure is not that of the model it began as."""
    model = runner.bare_model
    if getattr(model, "pruner", None) is None:
        return []
    from diffkit.evaluation.cost import unet_macs

    unet = model.get_submodule("unet")
    tokens = next(part.model_max_length for name, part in model.parts.items() if name.startswith("tokenizer"))
    macs = once(runner, "macs", lambda: unet_macs(unet.config, tokens=tokens))
    side = unet.config.sample_size
    return [("multiplications", f"{macs.layers / 1e9:,.4g} G of convolutions and linear layers, "
             f"{macs.total / 1e9:,.4g} G with attention, for a call on {side} x {side} latents and {tokens} tokens")]


def _data(runner: Any) -> str:
    """The kind of the data set, and where it lies, if the config says so."""
    dataset = (runner.cfg.get("train_dataloader") or {}).get("dataset") or {}
    place = f", {dataset['data_root']}" if dataset.get("data_root") else ""
    return type(runner.train_dataloader.dataset).__name__ + place


def _header(model: Any) -> str:
    """The metadata that the hub reads."""
    named = str(model.pretrained or "")
    on_the_hub = len(Path(named).parts) == _HUB_PARTS and not Path(named).exists() and named[:1].isalnum()
    taught = getattr(model, "distiller", None) is not None
    lines = ["---", "library_name: diffusers", "pipeline_tag: text-to-image",
             *([f"base_model: {json.dumps(named)}"] if on_the_hub else []),
             "tags:", "- diffkit", "- text-to-image", *(["- knowledge-distillation"] if taught else []), "---"]
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _count(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())
