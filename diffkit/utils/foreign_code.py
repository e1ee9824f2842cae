"""Where the files of a model ask for code to be run: a custom pipeline, classes of a repository, other packages.

diffkit never runs it. The libraries would not either as long as ``trust_remote_code`` is off; what asks for it is
refused all the same, before anything is loaded, because a model that needs its own code is not the model that it
seems without.
"""

import importlib.util
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

INDEX = "model_index.json"
#: Packages that the parts of a pipeline may come from.
LIBRARIES = ("diffusers", "transformers")
#: A config is a few kilobytes.
MAX_CONFIG = 5_000_000

_KEYS = ("auto_map", "custom_pipeline", "custom_pipelines", "megatron_config")


def code_wanted(files: Iterable[str], read: Callable[[str], Path]) -> str:
    """What in the configs of a model asks for code; an empty text where nothing does.

    Args:
        files: paths of the model's files, with ``/``.
        read: gives the place of such a file on this machine.

    Returns:
        The rest of a sentence that begins with the model's name. A config that is no JSON counts too.
    """
    for file in sorted(files):
        if not is_config(file):
            continue
        try:
            config = read_config(read(file))
        except ValueError as error:
            return f"has a damaged {file}: {error}"
        faults = [*_common(config), *(_index(config) if file == INDEX else ())]
        if faults:
            return f"asks for code of its own in {file}: {faults[0]}. Code that comes with a model is never run"
    return ""


def is_config(file: str) -> bool:
    """Whether a file of that name tells a library what to build."""
    return file.rpartition("/")[2] in (INDEX, "config.json") or file.endswith("_config.json")


def read_config(path: Path) -> dict[str, Any]:
    """Reads a JSON object.

    Raises:
        ValueError: it is none, or too large.
    """
    try:
        if path.stat().st_size > MAX_CONFIG:
            raise ValueError(f"it has {path.stat().st_size} bytes, allowed are {MAX_CONFIG}")
        config = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror or error})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(config, dict):
        raise ValueError(f"a JSON object is expected, not {type(config).__name__}")
    return config


def _common(config: dict[str, Any]) -> Iterator[str]:
    """What no config of any part may ask for."""
    for key in _KEYS:
        if config.get(key):
            yield f"{key} is {_short(config[key])}"
    name = config.get("_class_name")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        yield f"_class_name is {_short(name)}"


def _index(config: dict[str, Any]) -> Iterator[str]:
    """What the index of a pipeline may not ask for."""
    import diffusers

    name = config.get("_class_name")
    if isinstance(name, str) and name not in dir(diffusers):
        yield f"_class_name is {_short(name)}, which diffusers does not have"
    for part, origin in config.items():
        if isinstance(origin, list) and any(isinstance(item, str) for item in origin):
            yield from _part(part, origin)


def _part(part: str, origin: list[Any]) -> Iterator[str]:
    library, kind = (*origin, None, None)[:2]
    if len(origin) != 2 or not isinstance(library, str) or not isinstance(kind, str) or not kind.isidentifier():
        yield f"{part} is {_short(origin)}"
    elif library not in LIBRARIES and not _is_pipeline_module(library):
        yield f"{part} comes from the package {_short(library)}, allowed are {' and '.join(LIBRARIES)}"


def _is_pipeline_module(name: str) -> bool:
    """Whether a name is that of a part of diffusers, such as ``stable_diffusion`` (of its safety checker)."""
    return name.isidentifier() and importlib.util.find_spec(f"diffusers.pipelines.{name}") is not None


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}…"
