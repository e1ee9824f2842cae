"""Which key is to blame when a config breaks while it is read.

A base that misspells ``train_dataloader`` breaks the config that inherits from it, far from the mistake. So
the name that is missing is compared with the names that are set, and with the arguments that belong there.
"""

import ast
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from diffkit.utils.config_check.faults import Fault, shown, shown_path
from diffkit.utils.config_check.places import ConfigFiles, base_files, base_imports, read_config_files
from diffkit.utils.config_check.roles import role_of
from diffkit.utils.config_check.source import parse_file
from diffkit.utils.config_check.walk import Walker
from diffkit.utils.near import did_you_mean, nearest


def load_fault(path: Path, error: Exception, keys: set[str]) -> Fault:
    """Returns the fault behind an error that came up while a config was read.

    Args:
        path: the config.
        error: the error.
        keys: the keys of a run.
    """
    if isinstance(error, SyntaxError):
        return _syntax_fault(path, error)
    for file in _all_files(path, ()):
        if isinstance(file, Fault):
            return file
        missing = missing_base(file)
        if missing is not None:
            return missing
    file, line = _where(path, error)
    files = read_config_files(path)
    if "is reserved for config file" in str(error):
        key = str(error.args[0]).split()[0]
        message = "MMEngine keeps this name for itself; call the variable differently"
        return _at(files, key, message, file, line)
    if isinstance(error, NameError) and error.name:
        return _missing_name(files, error.name, keys, file, line)
    if isinstance(error, AttributeError) and error.name:
        return _missing_attribute(files, error.obj, error.name, file, line)
    if isinstance(error, KeyError):
        message = f'there is no key "{error.args[0]}" to read or change'
        return Fault(str(error.args[0]), message, shown_path(file), line, "load")
    old_style = "support to load diffkit config" in str(error)  # _base_ = "diffkit::…"
    hint = f"; {_copy_advice('NAME')}" if old_style else ""
    return Fault("", f"{type(error).__name__}: {error}{hint}", shown_path(file), line, "load")


def _all_files(path: Path, above: tuple[Path, ...]) -> Iterator[Path | Fault]:
    """Yields a config and its bases, and a fault for a base that inherits from itself."""
    yield path
    for node, base in base_imports(path):
        if base is not None and base.resolve() in (*above, path.resolve()):
            yield Fault("", f"the base {shown_path(base)} inherits from itself", shown_path(path), node.lineno, "load")
        elif base is not None and base.is_file():
            yield from _all_files(base, (*above, path.resolve()))


def missing_base(path: Path) -> Fault | None:
    """Returns a fault for the first base of a config that is not there."""
    for node, base in base_imports(path):
        if base is None or not base.is_file():
            name = "." * node.level + (node.module or "")
            looked = f" (looked for {shown_path(base)})" if base is not None else ""
            message = f"there is no base {name}{looked}{_copy_hint(node)}"
            return Fault("", message, shown_path(path), node.lineno, "load")
    return None


def _copy_hint(node: ast.ImportFrom) -> str:
    """What to do about a base that looks like one of those that come with diffkit."""
    parts = (node.module or "").split(".")
    ours = not node.level and parts[0] in ("diffkit", "configs")
    if not ours and "_base_" not in parts:
        return ""
    after = parts[parts.index("_base_") :] if "_base_" in parts else parts[-1:]
    return f"; {_copy_advice('NAME' if '_base_' in parts else parts[-1])}, then write: from .{'.'.join(after)} import *"


def _copy_advice(name: str) -> str:
    return (
        f"the configs of diffkit are copied, not imported: diffkit copy-cfg {name} puts a config and the bases that it "
        "needs beside yours (diffkit list-cfg shows the names)"
    )


def _missing_name(files: ConfigFiles, name: str, keys: set[str], file: Path, line: int | None) -> Fault:
    twin = next(iter(nearest(name, (n for n in files.places if n not in keys))), None)
    if name in keys and twin is not None:
        message = f'no such key; did you mean "{name}"? ({shown_path(file)}:{line} wants it)'
        return _at(files, twin, message, file, line)
    hint = did_you_mean(name, nearest(name, {*files.places, *keys} - {name}))
    message = f'nothing is called "{name}" here: neither imported nor set{hint}'
    return Fault(name, message, shown_path(file), line, "load")


def _missing_attribute(files: ConfigFiles, owner: Any, name: str, file: Path, line: int | None) -> Fault:
    """``a.b.c``: either ``c`` is misspelt here, or it was where ``b`` was set, or ``b`` is no dict."""
    above = _owner_key(file, line, name)
    if not isinstance(owner, dict):
        message = f"is {shown(owner)}, which has no keys to change ({shown_path(file)}:{line} wants to)"
        return _at(files, above, message, file, line)
    present = [str(key) for key in dict.keys(owner)]
    signature = Walker(lambda *_: None).arguments(dict(dict.items(owner)), above)
    takes = [*(signature.params if signature else ()), *role_of(above).names]
    twin = next((key for key in nearest(name, present) if key not in takes), None)
    if name in takes and twin is not None:
        message = f'no such key; did you mean "{name}"? ({shown_path(file)}:{line} wants it)'
        return _at(files, f"{above}.{twin}", message, file, line)
    hint = did_you_mean(name, [*present, *takes])
    return Fault(f"{above}.{name}", f"there is no such key to change{hint}", shown_path(file), line, "load")


def _owner_key(file: Path, line: int | None, name: str) -> str:
    """Returns ``a.b`` of the ``a.b.name`` in a line of a config."""
    for node in ast.walk(parse_file(file)):
        if isinstance(node, ast.Attribute) and node.attr == name and node.end_lineno == line:
            return ast.unparse(node.value)
    return ""


def _at(files: ConfigFiles, key: str, message: str, file: Path, line: int | None) -> Fault:
    place = files.find(key)
    if place is not None:
        file, line = place.file, place.line
    return Fault(key, message, shown_path(file), line, "load")


def _syntax_fault(path: Path, error: SyntaxError) -> Fault:
    """MMEngine does not say which file it parsed: it is the config, or the first base that is no Python."""
    try:
        _parse_all(path)
    except SyntaxError as again:
        error = again
    file = error.filename if error.filename and Path(error.filename).is_file() else path
    return Fault("", f"this is no valid Python: {error.msg}", shown_path(file), error.lineno, "load")


def _parse_all(path: Path) -> None:
    parse_file(path)
    for base in base_files(path):
        if base.is_file():
            _parse_all(base)


def _where(path: Path, error: Exception) -> tuple[Path, int | None]:
    """Returns the file and line of the config, or of the base, that was running."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.name == "<module>" and frame.filename.endswith(".py") and Path(frame.filename).is_file():
            return Path(frame.filename), frame.lineno
    return path, None
