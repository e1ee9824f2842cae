"""From a dotted name in a config to the definition it stands for."""

import ast

from diffkit.utils.config_check.classes import find_method, linearize, method_names
from diffkit.utils.config_check.source import Source, find_file, find_source, is_installed
from diffkit.utils.config_check.symbols import OPAQUE, Definition, Missing, Opaque, Symbol, lookup


def resolve(dotted: str) -> Symbol:
    """Returns what an absolute dotted name stands for, e.g. ``torch.optim.AdamW`` or ``a.b.Class.method``."""
    parts = dotted.split(".")
    if not all(parts):
        return Missing(f'"{dotted}": types are imported by their full name, not relative to the config')
    if not is_installed(parts[0]):
        return Missing(f'no package "{parts[0]}" is installed')
    split = next((i for i in range(len(parts) - 1, 0, -1) if find_file(".".join(parts[:i]))), 1)
    symbol: Symbol = find_source(".".join(parts[:split])) or OPAQUE
    for part in parts[split:]:
        if isinstance(symbol, Source):
            symbol = lookup(symbol, part)
        elif isinstance(symbol, Definition) and isinstance(symbol.node, ast.ClassDef):
            symbol = _attribute(symbol, part)
        else:
            return symbol if isinstance(symbol, Missing) else OPAQUE
    return symbol


def _attribute(definition: Definition, name: str) -> Symbol:
    method = find_method(definition, name)
    if method is not None:
        return method
    if any(isinstance(base, Opaque) for base in linearize(definition)):
        return OPAQUE
    return Missing(f'"{definition.name}" has no "{name}"', name, tuple(method_names(definition)))
