"""Reads a config file, and turns what goes wrong on the way into faults."""

import copy
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config, ConfigDict

from diffkit.utils.config_check.faults import ConfigError, Fault, shown_path
from diffkit.utils.config_check.places import base_files, read_config_files
from diffkit.utils.config_check.source import parse_file
from diffkit.utils.near import did_you_mean, nearest


@contextmanager
def lazy_types() -> Iterator[None]:
    """Inside, a ConfigDict hands out the imported names of a config without importing them."""
    before = ConfigDict.lazy
    ConfigDict.lazy = True
    try:
        yield
    finally:
        ConfigDict.lazy = before


def load_config(config: str | Path | Config) -> Config:
    """Returns the config of a file, or a copy of one that is given.

    Raises:
        ConfigError: the file is missing or cannot be read.
    """
    with lazy_types():
        if isinstance(config, Config):
            return copy.deepcopy(config)
        path = Path(config)
        if not path.is_file():
            raise ConfigError([_missing_file(path)], shown_path(path))
        try:
            loaded = Config.fromfile(path, import_custom_modules=False)
        except Exception as error:  # a config is a program: anything can go wrong in it
            raise ConfigError([_load_fault(path, error)], shown_path(path)) from error
        return loaded


def _missing_file(path: Path) -> Fault:
    if path.is_dir():
        return Fault("", f'"{path}" is a folder; name a config file in it', kind="load")
    folder = path.parent
    names = [p.name for p in folder.glob("*.py")] if folder.is_dir() else []
    near = nearest(path.name, names)
    hint = f"; did you mean {' or '.join(str(folder / n) for n in near)}?" if near else ""
    return Fault("", f'there is no config file "{path}" (tried {path.absolute()}){hint}', kind="load")


def _load_fault(path: Path, error: Exception) -> Fault:
    if isinstance(error, SyntaxError):
        return _syntax_fault(path, error)
    file, line = _where(path, error)
    message = f"{type(error).__name__}: {error}"
    key = ""
    if "is reserved for config file" in str(error):
        key = str(error.args[0]).split()[0]
        place = read_config_files(path).find(key)
        line = place.line if place else None
        message = "MMEngine keeps this name for itself; call the variable differently"
    elif isinstance(error, NameError) and error.name:
        key, message = error.name, f'nothing is called "{error.name}" here: neither imported nor set'
    elif isinstance(error, AttributeError | KeyError):
        key, message = _missing_key(error, message)
    return Fault(key, message, file, line, kind="load")


def _syntax_fault(path: Path, error: SyntaxError) -> Fault:
    """MMEngine does not say which file it parsed: it is the config, or the first base that is no Python."""
    try:
        parse_file(path)
        for base in base_files(path):
            if base.is_file():
                parse_file(base)
    except SyntaxError as again:
        error = again
    file = error.filename if error.filename and Path(error.filename).is_file() else path
    return Fault("", f"this is no valid Python: {error.msg}", shown_path(file), error.lineno, kind="load")


def _missing_key(error: AttributeError | KeyError, message: str) -> tuple[str, str]:
    if isinstance(error, KeyError):
        return str(error.args[0]), f'there is no key "{error.args[0]}" to read or change'
    if error.name and isinstance(error.obj, dict):
        keys = [str(k) for k in dict.keys(error.obj)]
        return error.name, f'there is no key "{error.name}" to change{did_you_mean(error.name, keys)}'
    return error.name or "", message


def _where(path: Path, error: Exception) -> tuple[str, int | None]:
    """Returns the file and line of the config, or of the base, that was running."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.name == "<module>" and frame.filename.endswith(".py"):
            return shown_path(frame.filename), frame.lineno
    return shown_path(path), None
