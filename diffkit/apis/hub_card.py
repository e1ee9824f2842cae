"""The model card of a step folder on the Hugging Face hub, made from what the training left beside it."""

import ast
import html
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from diffkit.utils.step_folder import StepFolder, read_json
from diffkit.version import __version__

#: Licences of well-known models, which those of what is made from them have to keep.
LICENSES = {
    "mini-sd": "apache-2.0", "mini-sdxl": "apache-2.0",
    "CompVis/stable-diffusion-v1-4": "creativeml-openrail-m",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "creativeml-openrail-m",
    "stabilityai/stable-diffusion-xl-base-1.0": "openrail++",
}
#: ``owner/name``, as the hub names models.
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_LONG = 120


def hub_card(step: StepFolder, repo: str, *, base: str | None, license: str | None,
             metrics: Sequence[Mapping[str, Any]] = (), pictures: Mapping[str, str] | None = None) -> str:
    """Markdown with the header that the hub reads. Folders of this machine are named without what lies above them.

    Args:
        step: what is shown.
        repo: the name that it will have, ``owner/name``.
        base: what it was trained on, as others can name it.
        license: its identifier on the hub; None takes that of a well-known ``base``.
        metrics: results such as those of ``diffkit test``; each is a dict of numbers.
        pictures: prompts by the files' paths in the repository.
    """
    config = run_config(step.path)
    license = license or LICENSES.get(base or "")
    parts = [_header(step, base, license), f"# {step.path.resolve().parent.name}\n",
             f"{_what(step)}, made with diffkit {__version__}" + (f" on `{base}`" if base else "") + ".\n",
             _gallery(pictures or {}), "## Loading it\n", _loading(step, repo, base), _section("Data", _data(config)),
             _section("Settings", _settings(step, config)), _section("Metrics", _figures(step, metrics)),
             "## Licence\n", _about_license(base, license)]
    return "\n".join(part for part in parts if part)


def run_config(folder: Path) -> dict[str, Any]:
    """The config that a checkpoint was trained with, read as data; empty where there is none that can be read."""
    path = folder / "state" / "config.py"
    if not path.is_file():
        return {}
    try:
        lines = ast.parse(path.read_text(encoding="utf-8")).body
        return {line.targets[0].id: _value(line.value) for line in lines
                if isinstance(line, ast.Assign) and isinstance(line.targets[0], ast.Name)}
    except (SyntaxError, ValueError):
        return {}


def _value(node: ast.expr) -> Any:
    """A literal, or a call of ``dict`` with names."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "dict" and not node.args:
        return {word.arg: _value(word.value) for word in node.keywords}
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {ast.literal_eval(key): _value(item) for key, item in zip(node.keys, node.values, strict=True)
                if key is not None}
    return ast.literal_eval(node)


def is_hub_id(name: str | None) -> bool:
    """Whether a name has the form ``owner/name`` and no folder here has it."""
    return bool(name and HUB_ID.fullmatch(name) and not Path(name).exists())


def _header(step: StepFolder, base: str | None, license: str | None) -> str:
    relation = "quantized" if step.quantized else "finetune" if step.is_pipeline else "adapter"
    kinds = ["diffkit", "text-to-image", *(["lora"] if step.lora_file else []),
             *(["textual_inversion"] if step.embeddings else []), *(["quantized"] if step.quantized else [])]
    lines = ["---", "library_name: diffusers", "pipeline_tag: text-to-image",
             *([f"license: {license}"] if license else []),
             *([f"base_model: {json.dumps(base)}", f"base_model_relation: {relation}"] if is_hub_id(base) else []),
             "tags:", *(f"- {kind}" for kind in kinds), "---", ""]
    return "\n".join(lines)


def _what(step: StepFolder) -> str:
    words = step.describe().partition(": ")[2].partition("; trained on")[0]
    return words[:1].upper() + words[1:]


def _gallery(pictures: Mapping[str, str]) -> str:
    return "\n".join(f"![{_cell(prompt)}]({path})" for path, prompt in pictures.items()) + "\n" if pictures else ""


def _loading(step: StepFolder, repo: str, base: str | None) -> str:
    pipeline = str(step.info.get("pipeline_class", "DiffusionPipeline"))
    name = repo.rpartition("/")[2]
    if not re.fullmatch(r"\w+", pipeline):
        pipeline = "DiffusionPipeline"
    lines = [f"from diffusers import {pipeline}", ""]
    where = json.dumps(repo if step.is_pipeline else base)
    lines.append(f"pipe = {pipeline}.from_pretrained({where})")
    if not step.is_pipeline:
        if step.lora_file is not None:
            lines.append(f'pipe.load_lora_weights("{repo}")')
        lines += [f'pipe.load_textual_inversion("{repo}", weight_name="{file.name}")'
                  for file in step.embeddings.get("text_encoder", ())]
    readable = is_hub_id(base) and (step.lora_file is not None or step.embeddings) and step.delta is None \
        and "text_encoder_2" not in step.embeddings
    by_diffusers = not step.quantized and (step.is_pipeline or readable)
    blocks = ["```python\n" + "\n".join(lines) + "\n```\n"] if by_diffusers else []
    guidance = "--quantized" if step.quantized else "--pretrained" if step.is_pipeline else "--step"
    prompt = next((" ".join(str(each).split()) for each in step.info.get("prompts", ())), "a photo")
    blocks.append("With diffkit:\n\n```bash\n" f"hf download {repo} --local-dir {name}\n"
                  f"diffkit text2images {guidance} {name} --caption {shlex.quote(prompt)}\n```\n")
    return "\n".join(blocks)


def _data(config: Mapping[str, Any]) -> dict[str, Any]:
    dataset = (config.get("train_dataloader") or {}).get("dataset") or {}
    return {name: value for name, value in dataset.items() if value not in (None, {}, [])}


def _settings(step: StepFolder, config: Mapping[str, Any]) -> dict[str, Any]:
    optim = config.get("optim_wrapper") or {}
    model = config.get("model") or {}
    rows = {"iterations": f"{step.info['step'] + 1} of {(config.get('train_cfg') or {}).get('max_iters', '?')}"
            if isinstance(step.info.get("step"), int) else None,
            "batch size": (config.get("train_dataloader") or {}).get("batch_size"),
            "accumulated batches": optim.get("accumulative_counts"), "optimizer": optim.get("optimizer"),
            "number format": optim.get("dtype"), "seed": (config.get("randomness") or {}).get("seed"),
            **{f"tuner {name}": value for name, value in (model.get("tuners") or {}).items()},
            **{slot: model.get(slot) for slot in ("objective", "pruner", "quantizer", "distiller")},
            "sampling": model.get("generation"),
            "versions": step.info.get("versions")}
    return {name: value for name, value in rows.items() if value not in (None, {}, [])}


def _figures(step: StepFolder, metrics: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Results that were given, and how near a quantised model is to its float one."""
    rows: dict[str, Any] = {}
    for found in metrics:
        for name, value in found.items():
            if isinstance(value, int | float) and not name.endswith(("_se", "_n")):
                more = f" ± {found[f'{name}_se']:.3g}" if f"{name}_se" in found else ""
                count = f" (n = {found[f'{name}_n']})" if f"{name}_n" in found else ""
                rows[name] = f"{value:.4g}{more}{count}"
    closeness = step.path.resolve().parent / "quantization.json"
    if step.quantized and closeness.is_file():
        found = read_json(closeness)
        kept = found.get(str(found.get("kept")), {})
        for name, words in (("error", "squared error of predictions, relative to the float model"),
                            ("psnr", "PSNR of pictures to the float model's, dB")):
            if name in kept:
                rows[words] = f"{kept[name]:.4g} ± {kept.get(f'{name}_se', 0):.2g}"
    return rows


def _section(title: str, rows: Mapping[str, Any]) -> str:
    if not rows:
        return ""
    lines = [f"| {_cell(name)} | {_cell(_plain(value))} |" for name, value in rows.items()]
    return f"## {title}\n\n| | |\n|---|---|\n" + "\n".join(lines) + "\n"


def _plain(value: Any) -> str:
    """A value of a config as text: classes without their modules, folders without what lies above them."""
    if isinstance(value, Mapping):
        kind = str(value.get("type", "")).rpartition(".")[2]
        rest = ", ".join(f"{key}={_plain(item)}" for key, item in value.items() if key != "type")
        return f"{kind}({rest})" if kind else rest
    if isinstance(value, list | tuple):
        return ("; " if any(isinstance(item, Mapping) for item in value) else ", ").join(map(_plain, value))
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if Path(text).is_absolute() or text.startswith(("~", "..")):
        return Path(text).name
    return text.rpartition(".")[2] if re.fullmatch(r"[a-z_]+(\.\w+)*\.[A-Z]\w+", text) else text[:_LONG]


def _about_license(base: str | None, license: str | None) -> str:
    if license is None:
        return "None was given. What is trained on a model is bound by that model's licence.\n"
    return f"`{license}`" + (f", as that of `{base}` asks for" if LICENSES.get(base or "") == license else "") + ".\n"


def _cell(text: str) -> str:
    return html.escape(" ".join(text.split()), quote=False).replace("|", "\\|")  # a word such as <dog> is no tag
