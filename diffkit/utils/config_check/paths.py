"""Files, folders and models that a config names: are they there?"""

import ast
from pathlib import Path
from typing import Any

from diffkit.utils.config_check.source import find_source
from diffkit.utils.near import did_you_mean, nearest
from diffkit.utils.pretrained import resolve_pretrained
from diffkit.utils.shard_patterns import find_shards

_MODELS = {"pretrained", "teacher"}  # arguments that take a packaged name, a folder, or a hub id
_DRAWN = "shapes:"  # a data_root that starts so is drawn by code
_CONCEPTS = "diffkit.datasets.shapes.concepts"


def missing_path(name: str, value: str, annotation: ast.expr | None, arguments: dict[str, Any]) -> str:
    """Returns what is wrong with an argument that names a file, a folder or a model; else an empty text.

    Args:
        name: the argument. ``data_root``, ``*_data_root``, ``file`` and ``*_file`` are paths where the
        annotation
            allows a ``Path``.
        value: what it is set to.
        annotation: its type as written.
        arguments: all arguments of the same object.
    """
    if name in _MODELS or name == "vae":
        return "" if name == "vae" and (Path(value).expanduser() / "config.json").is_file() else _missing_model(value)
    if name in ("data_root", "file") or name.endswith(("_data_root", "_file")):
        kind = "" if annotation is None else ast.unparse(annotation)
        if "Sequence" in kind and "Path" in kind:  # several files, perhaps by a pattern
            return _missing_shards(value)
        return _missing_file(value) if "Path" in kind and not _is_made_later(name, arguments) else ""
    return ""


def _missing_shards(value: str) -> str:
    try:
        find_shards(value)
    except ValueError as error:
        return str(error).removeprefix("data_root").removeprefix(": ")
    return ""


def _is_made_later(name: str, arguments: dict[str, Any]) -> bool:
    """The folder of the class images is filled by the training when a number of them is asked for."""
    return name == "class_data_root" and bool(arguments.get("num_class_images"))


def _missing_model(value: str) -> str:
    try:
        resolve_pretrained(value)
    except ValueError as error:
        return str(error)
    return ""


def _missing_file(value: str) -> str:
    if value.startswith(_DRAWN):
        return _missing_drawing(value)
    path = Path(value).expanduser()
    if value and path.exists():
        return ""
    near = nearest(path.name, (p.name for p in path.parent.iterdir())) if path.parent.is_dir() else []
    hint = f"; did you mean {' or '.join(str(Path(value).parent / n) for n in near)}?" if near else ""
    return f'"{value}" is not there (tried {path.absolute()}){hint}'


def _missing_drawing(value: str) -> str:
    source = find_source(_CONCEPTS)
    binding = source.bindings.get("CONCEPTS") if source else None
    if not isinstance(binding, ast.expr):
        return ""
    names = [*_concept_names(binding), "scenes"]
    name = value.removeprefix(_DRAWN)
    return "" if name in names else f'"{value}" names nothing that can be drawn{did_you_mean(name, names)}'


def _concept_names(concepts: ast.expr) -> list[str]:
    """Returns the names in ``CONCEPTS``, the first argument of each ``Concept(…)``."""
    return [
        call.args[0].value
        for call in ast.walk(concepts)
        if isinstance(call, ast.Call)
        and ast.unparse(call.func) == "Concept"
        and call.args
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    ]
