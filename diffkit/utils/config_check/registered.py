"""Classes that a config names by a string, such as ``"LoRATuner"`` or ``"torch.optim.AdamW"``.

A dumped config holds such strings. The names that packages register are found by a search of their text,
because the registries themselves are filled by importing the modules.
"""

import ast
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from diffkit.utils.config_check.resolve import resolve
from diffkit.utils.config_check.source import find_file, find_source
from diffkit.utils.config_check.symbols import OPAQUE, Definition, Missing, Symbol

_SHARED = {("METRICS", "EVALUATOR")}
PACKAGES = ("diffkit", "mmengine")  # where names are searched, nearest first
_DECORATED = re.compile(
    r"^@(?P<registry>\w+)\.register_module\((?P<arguments>[^)]*)\)\s*\n(?:@.*\n|\s*#.*\n)*(?:class|def)\s+(?P<name>\w+)",
    re.MULTILINE,
)
_NAME = re.compile(r"""name\s*=\s*(\[[^\]]*\]|['"][^'"]+['"])""")
_DYNAMIC_OPTIMIZERS = ("bnb_", "DAdapt", "Lion", "Adafactor", "Sophia", "DeepSpeed", "ZeroRedundancy")


def resolve_name(name: str, registry: str = "", modules: Iterable[str] = ()) -> Symbol:
    """Returns what a string in the place of a type stands for.

    Args:
        name: a full dotted name, a registered name, or one with its scope (``mmengine.LoggerHook``).
        registry: the registry of the place, which decides between equal names; empty when it is not known.
        modules: further modules that register classes (the config's ``custom_imports``).
    """
    symbol = resolve(name) if "." in name else None
    if symbol is not None and not isinstance(symbol, Missing):
        return symbol
    scope, _, plain = name.rpartition(".")
    packages = tuple(dict.fromkeys((*modules, *PACKAGES)))
    if "." not in scope and scope in packages:
        packages = (scope,)
    elif symbol is not None:
        return symbol
    found = _find(plain, registry, packages)
    if found is not None:
        return found
    if registry in ("OPTIMIZERS", ""):
        optimizer = resolve(f"torch.optim.{plain.removeprefix('Torch')}")
        if not isinstance(optimizer, Missing):
            return optimizer
        if plain.startswith(_DYNAMIC_OPTIMIZERS):
            return OPAQUE
    return Missing(f'nothing is registered as "{name}"', plain, tuple(_names(registry, packages)))


def _find(name: str, registry: str, packages: tuple[str, ...]) -> Symbol | None:
    for package in packages:
        for module, defined, where in registered_in(package).get(name, ()):
            if belongs(where, registry):
                return resolve(f"{module}.{defined}")
    return None


def belongs(registry: str, wanted: str) -> bool:
    """Returns whether what one registry holds may stand where another is asked for (empty: any)."""
    return registry == wanted or not wanted or (wanted, registry) in _SHARED


def _names(registry: str, packages: tuple[str, ...]) -> list[str]:
    names = [
        name
        for package in packages
        for name, entries in registered_in(package).items()
        if any(belongs(where, registry) for _, _, where in entries)
    ]
    if registry == "OPTIMIZERS":
        torch_optim = find_source("torch.optim")
        names += (torch_optim.exports or []) if torch_optim else []
    return names


def registry_of(definition: Definition) -> str:
    """Returns the registry that a class is registered in, or an empty text."""
    for decorator in definition.node.decorator_list:
        if isinstance(decorator, ast.Call):
            decorator = decorator.func
        if isinstance(decorator, ast.Attribute) and decorator.attr == "register_module":
            return ast.unparse(decorator.value).rpartition(".")[2]
    return ""


def registered_in(package: str) -> dict[str, list[tuple[str, str, str]]]:
    """Returns what a package or module registers: name -> (module, definition, registry) of each."""
    start = find_file(package)
    return {} if start is None else _scan(package, start)


@lru_cache(maxsize=16)
def _scan(package: str, start: Path) -> dict[str, list[tuple[str, str, str]]]:
    found: dict[str, list[tuple[str, str, str]]] = {}
    root = start.parent
    for path in sorted(root.rglob("*.py")) if start.name == "__init__.py" else [start]:
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in _DECORATED.finditer(text) if "register_module" in text else ():
            module = _module_name(package, root, path) if start.name == "__init__.py" else package
            defined = match["name"]
            named = _NAME.search(match["arguments"])
            names = re.findall(r"""['"]([^'"]+)['"]""", named[1]) if named else [defined]
            for name in names:
                found.setdefault(name, []).append((module, defined, match["registry"]))
    return found


def _module_name(package: str, root: Path, path: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join([package, *(p for p in parts if p != "__init__")])
