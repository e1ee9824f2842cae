"""From a config file to a config, with nothing of the file executed."""

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config

from diffkit.utils.config_check.blame import missing_base
from diffkit.utils.config_check.faults import ConfigError, Fault, shown_path
from diffkit.utils.config_check.loading import lazy_types
from diffkit.utils.config_check.places import base_imports, read_config_files
from diffkit.utils.config_check.safe.grammar import FUNCTIONS, hidden, is_read_base, refusals
from diffkit.utils.config_check.safe.limits import NotData
from diffkit.utils.config_check.safe.parts import import_refusal, refusals_of
from diffkit.utils.config_check.safe.reader import Reader
from diffkit.utils.config_check.source import parse_file

_KIND = "unsafe"
_BYTES = 1_000_000  # of a config file


def read_safely(path: Path) -> Config:
    """Reads a config and its bases as data.

    Literals, plain expressions, changes of dicts and lists, ``with read_base()``, imports of parts and ``type=`` names
    of parts are data. Nothing of the files is executed, and nothing that they name is imported.

    Raises:
        ConfigError: something is more than data; ``faults`` holds all of it, with lines.
    """
    files = list(_files(path, ()))
    faults = [fault for file in files for fault in _faults(file)]
    if faults:
        raise ConfigError(faults, shown_path(path))
    reader = Reader(path)
    with lazy_types(), _faults_told(path):
        cfg = Config(reader.read().config_dict(), filename=str(path))
    object.__setattr__(cfg, "_imported_names", reader.imported)
    places = read_config_files(path)
    for key, what in refusals_of(cfg._to_lazy_dict()):
        place = places.find(key)
        file, line = (shown_path(place.file), place.line) if place else (shown_path(path), None)
        faults.append(Fault(key, f"refused: {what}", file, line, _KIND))
    if faults:
        raise ConfigError(faults, shown_path(path))
    return cfg


@contextmanager
def _faults_told(path: Path) -> Iterator[None]:
    """Turns what goes wrong inside into a ConfigError."""
    try:
        yield
    except NotData as error:
        file = error.file or path
        fault = Fault("", f"cannot be read as data: {error}", shown_path(file), error.line, _KIND)
    except KeyError as error:  # a name that MMEngine keeps for itself
        fault = Fault("", str(error.args[0]), shown_path(path), None, _KIND)
    except RecursionError:
        fault = Fault("", "refused: dicts or lists inside one another without end", shown_path(path), None, _KIND)
    else:
        return
    raise ConfigError([fault], shown_path(path))


def _files(path: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    """Yields a config and its bases, each once it is known to be a Python file of a sensible size.

    Raises:
        ConfigError: one is not, or is not there.
    """
    fault = _unreadable(path, above)
    if fault:
        raise ConfigError([Fault("", fault, shown_path(path), None, _KIND)], shown_path(path))
    try:
        parse_file(path)
        missing = missing_base(path)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else None
        raise ConfigError(
            [Fault("", f"this is no valid Python: {error}", shown_path(path), line, _KIND)], shown_path(path)) from None
    if missing is not None:
        raise ConfigError([missing], shown_path(path))
    yield path
    seen = set()
    for _, base in base_imports(path):
        if base is not None and base not in seen:
            seen.add(base)
            yield from _files(base, (*above, path.resolve()))


def _unreadable(path: Path, above: tuple[Path, ...]) -> str:
    if path.suffix != ".py":
        return "refused: --safe reads configs in Python only"
    if path.resolve() in above:
        return "refused: this base inherits from itself"
    if any(sign in str(path) for sign in "\"'\\\n\r"):
        return "refused: a quote or a backslash in the path, which MMEngine would put into code"
    if not path.is_file():
        return "there is no such file"
    return f"refused: more than {_BYTES} bytes" if path.stat().st_size > _BYTES else ""


def _faults(path: Path) -> Iterator[Fault]:
    """Yields what is more than data in one file."""
    tree = parse_file(path)
    found: list[tuple[int, str]] = list(refusals(tree))
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if "{{" in text:
            found.append((number, "{{, which MMEngine may replace before it reads the file"))
    for node in tree.body:
        found += _import_faults(node)
    for line, what in sorted(found):
        yield Fault("", f"refused: {what}", shown_path(path), line, _KIND)


def _import_faults(node: ast.stmt) -> Iterator[tuple[int, str]]:
    if is_read_base(node):
        for inner in node.body:  # type: ignore[attr-defined]
            if isinstance(inner, ast.ImportFrom) and (not inner.level or inner.module is None):
                yield inner.lineno, "a base that is not named by its place: write `from .folder.name import *`"
    elif isinstance(node, ast.Import):
        if len(node.names) > 1:
            yield node.lineno, "several modules in one import"
        for alias in node.names:
            yield from _judged(node.lineno, import_refusal(alias.name, None), alias.asname)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            if node.level or alias.name == "*" or node.module is None:
                yield node.lineno, "an import of a file outside of `with read_base():`"
            else:
                yield from _judged(alias.lineno, import_refusal(node.module, alias.name), alias.asname)


def _judged(line: int, what: str, bound: str | None) -> Iterator[tuple[int, str]]:
    if what:
        yield line, what
    if bound is not None and (bound == "read_base" or bound in FUNCTIONS or hidden(bound)):
        yield line, f'another meaning for "{bound}"'
