"""A trained miniature as the small folder that comes with the package."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from diffkit.utils.quiet import no_loading_bars

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline

#: A packaged miniature is not larger, in bytes.
MAX_BYTES = 10_000_000
#: Pictures before and after the rounding of weights agree at least so well, in dB.
LEAST_PSNR = 30.0

_PROMPTS = (
    "a photo of a large red circle on a blue background",
    "a photo of a small white star at the top left on a green background",
    "a photo of a red and white striped heart on a grey background",
    "a photo of a green and yellow checked square on a black background",
)


def package_miniature(
    step: str | Path,
    out: str | Path,
    *,
    name: str = "mini-sd",
    vae: str | Path | None = None,
    provenance: dict[str, Any] | None = None,
    figures: str = "",
) -> dict[str, Any]:
    """Writes a trained pipeline as a diffusers folder with float16 weights and a model card.

    The folder is written aside, checked, and only then takes the place of the old one: it is small enough,
    ``DiffusionPipeline.from_pretrained`` reads it, and its pictures are those of the float32 weights.

    Args:
        step: a step folder that holds a whole pipeline, or another diffusers folder.
        out: the new folder.
        name: what users call it.
        vae: a step folder or packaged name whose decoder takes the place of the pipeline's; its encoder must be the
            same, or the UNet's latents would mean something else.
        provenance: what the card says about the training, a line for each item.
        figures: Markdown with measured figures for the card.

    Returns:
        ``bytes`` of the folder, ``parameters`` and ``psnr``, the mean over a few pictures in dB.

    Raises:
        ValueError: the folder is too large, the VAE does not fit, or its pictures differ too much.
    """
    from diffkit.apis.load_pipeline import load_pipeline

    pipe = load_pipeline(step, device="cpu", dtype="float32")
    if vae is not None:
        _take_decoder(pipe.vae, vae)
    before = _paint(pipe)
    out = Path(out)
    with _aside(out) as folder:
        parameters = _write(pipe, folder)
        facts = {
            "bytes": _size(folder), "parameters": parameters, "psnr": _agreement(before, _paint(_plain(folder)))}
        if facts["psnr"] < LEAST_PSNR:
            raise ValueError(
                f"step: pictures of {step} with float16 weights agree with those of float32 only to "
                f"{facts['psnr']:.1f} dB; at least {LEAST_PSNR:g} dB are asked for")
        kind = "Stable Diffusion XL" if "text_encoder_2" in pipe.components else "Stable Diffusion"
        card = model_card(name, facts, provenance or {}, figures, kind)
        (folder / "README.md").write_text(card, encoding="utf-8")
        facts["bytes"] = _size(folder)
        if facts["bytes"] > MAX_BYTES:
            raise ValueError(
                f"step: {step} takes {facts['bytes']:,} bytes with float16 weights; at most {MAX_BYTES:,} are allowed")
    return facts


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """A new folder beside ``out`` that takes its place at the end, or is removed after an error."""
    folder = out.with_name(f".{out.name}.new")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
        if out.exists():
            shutil.rmtree(out)
        folder.rename(out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _take_decoder(own: Any, other: str | Path) -> None:
    """Gives a VAE the decoder of another step folder, if both encode alike.

    Alike means in float16, which is packaged: the other one may be packaged already. The scaling factor stays: the
    decoder takes latents before they are scaled.
    """
    import torch

    from diffkit.apis.load_pipeline import load_pipeline
    from diffkit.models.pipeline_parts import VAE_ENCODER

    theirs = load_pipeline(other, device="cpu", dtype="float32").vae.state_dict()  # type: ignore[attr-defined]
    for key, value in own.state_dict().items():
        encodes = key.startswith(VAE_ENCODER)
        if encodes and not (key in theirs and torch.equal(value.half(), theirs[key].half())):
            raise ValueError(
                f"vae: the encoder of {other} is not the one that the UNet was trained with ({key} differs)")
    own.load_state_dict(theirs)


def _write(pipe: "DiffusionPipeline", folder: Path) -> int:
    """Saves the pipeline with weights in float16 and returns the number of weights. ``pipe`` is changed."""
    import torch
    from torch import nn

    modules = [part for part in pipe.components.values() if isinstance(part, nn.Module)]
    pipe.to(torch.float16)
    with no_loading_bars():
        pipe.save_pretrained(folder, safe_serialization=True)
    for path in (folder / "model_index.json", *folder.glob("*/config.json")):
        _clean_config(path)
    for path in folder.glob("tokenizer*/tokenizer.json"):
        _write_vocabulary(path)
    for path in folder.glob("*/*.safetensors"):
        path.chmod(0o644)  # safetensors are written for their owner only
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def _clean_config(path: Path) -> None:
    """Removes where a part came from, and lets transformers load it in the number format of the others."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    if "dtype" in config or "torch_dtype" in config:
        config.pop("torch_dtype", None)
        config["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _write_vocabulary(tokenizer: Path) -> None:
    """Writes vocab.json and merges.txt beside tokenizer.json: transformers before version 5 wants them."""
    model = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]
    pairs = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    vocabulary = json.dumps(model["vocab"], ensure_ascii=False)
    tokenizer.with_name("vocab.json").write_text(vocabulary, encoding="utf-8")
    tokenizer.with_name("merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]), encoding="utf-8")


def _plain(folder: Path) -> "DiffusionPipeline":
    """The folder as someone without diffkit reads it."""
    from diffusers import DiffusionPipeline

    with no_loading_bars():
        pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _paint(pipe: Any) -> list[Any]:
    import numpy as np

    from diffkit.models.generation import GenerationSettings, generate

    settings = GenerationSettings(num_inference_steps=25, guidance_scale=4.0)
    return [np.asarray(image) for image in generate(pipe, _PROMPTS, range(len(_PROMPTS)), settings)]


def _agreement(before: list[Any], after: list[Any]) -> float:
    from diffkit.evaluation import psnr

    return mean(psnr(one, other) for one, other in zip(before, after, strict=True))


def model_card(
    name: str, facts: dict[str, Any], provenance: dict[str, Any], figures: str, kind: str = "Stable Diffusion"
) -> str:
    """The text of the README in the folder; ``kind`` says what it is a small one of."""
    lines = "\n".join(f"- {key}: {value}" for key, value in provenance.items())
    return f"""---
license: apache-2.0
pipeline_tag: text-to-image
library_name: diffusers
---
# {name}

A {kind} small enough for a CPU: 64 px, {facts['parameters'] / 1e6:.1f} million weights in float16,
{facts['bytes'] / 1e6:.1f} MB. It paints one object of the shapes world on a plain background and knows no
other words; it is made for tests, demonstrations and experiments with training methods.

```python
from diffusers import DiffusionPipeline

pipe = DiffusionPipeline.from_pretrained("PATH OF THIS FOLDER")
prompt = "{_PROMPTS[0]}"
image = pipe(prompt, num_inference_steps=25, guidance_scale=4.0).images[0]
```

In diffkit its name is `{name}`, wherever a `pretrained` is asked for.

## Training

{lines or "- not recorded"}
- pictures: drawn by code, with captions; for the VAE also crops of four photographs that come with
  scikit-image (astronaut, NASA, public domain; chelsea and coffee, CC0; rocket, SpaceX, public domain)
- weights were rounded to float16; pictures agree with those of float32 to {facts['psnr']:.1f} dB

## Figures

{figures.strip() or f"Not measured yet: `diffkit measure {name}`."}

## Licence

Apache-2.0, as diffkit itself. The tokenizer, too, was trained on captions that code wrote.
"""
