"""What a config that is only data may name: parts that are registered in diffkit, some of MMEngine's, optimizers.

A name is followed to the file that defines it, so it does not help to reach something through another package.
"""

import ast
from collections.abc import Iterator
from typing import Any

from diffkit.utils.config_check.bind import join
from diffkit.utils.config_check.imported import dotted_name, is_imported, shown_type
from diffkit.utils.config_check.registered import registry_of, resolve_name
from diffkit.utils.config_check.resolve import resolve
from diffkit.utils.config_check.roles import role_of
from diffkit.utils.config_check.source import Source
from diffkit.utils.config_check.symbols import Definition, Missing, Symbol

#: Packages that a config may import from; of what lies in them only the parts below may be used.
PACKAGES = ("diffkit", "mmengine", "torch.optim")
#: Registries of MMEngine, and parts of its others, that neither unpickle files nor import what a text names.
REGISTRIES_OF_MMENGINE = {
    "DATA_SAMPLERS", "EVALUATOR", "FUNCTIONS", "LOG_PROCESSORS", "LOOPS", "OPTIM_WRAPPER_CONSTRUCTORS",
    "PARAM_SCHEDULERS", "VISUALIZERS",
}  # fmt: skip
PARTS_OF_MMENGINE = {
    "AmpOptimWrapper", "ConcatDataset", "DistSamplerSeedHook", "EarlyStoppingHook", "EmptyCacheHook", "IterTimerHook",
    "LocalVisBackend", "LoggerHook", "MMDistributedDataParallel", "OptimWrapper", "ParamSchedulerHook", "RepeatDataset",
    "RuntimeInfoHook", "SyncBuffersHook", "TensorboardVisBackend", "WandbVisBackend",
}  # fmt: skip
_SCOPES = ("diffkit", "mmengine", None)
_NAMING = ("constructor", "runner_type")  # keys beside ``type`` whose text MMEngine looks up and calls


def import_refusal(module: str, name: str | None) -> str:
    """Returns what is refused about an import, or an empty text.

    Args:
        module: the module.
        name: what is taken from it; None for the module itself.
    """
    dotted = f"{module}.{name}" if name else module
    if (module, name) == ("mmengine.config", "read_base"):
        return ""
    if not _within(module, PACKAGES) or _within(module, ("mmengine.config",)):  # MMEngine really imports that one
        return f"the import of {dotted}: allowed are {', '.join(PACKAGES)}, as far as they hold parts"
    return "" if name is None else refusal(resolve(dotted), dotted)


def refusals_of(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields (key path, what is refused) for everything in a config that names what is no part.

    Args:
        config: plain dicts, with the imported names that are used as values and without the import statements' own.
    """
    if config.get("custom_imports") is not None:
        yield "custom_imports", "imports of modules: they run when they are imported"
    for name in ("default_scope", "_scope_"):
        if config.get(name) not in _SCOPES:
            yield name, f"the scope {config[name]!r}"
    yield from _inside(config, "")


def _inside(value: Any, key: str) -> Iterator[tuple[str, str]]:
    if is_imported(value):
        what = refusal(resolve(dotted_name(value)), dotted_name(value))
        if what:
            yield key, what
    elif isinstance(value, dict):
        for name, part in value.items():
            place = join(key, str(name).replace(".", "·"))  # a dot in a key is no step down
            if name == "_scope_" and key and part not in _SCOPES:
                yield place, f"the scope {part!r}"
            elif name == "type" and not role_of(key).plain and not is_imported(part):
                yield from _named(part, place, role_of(key).registry)
            elif name in _NAMING and isinstance(part, str):
                yield from _named(part, place, "")
            yield from _inside(part, place)
    elif isinstance(value, list | tuple | set):
        for i, part in enumerate(value):
            yield from _inside(part, f"{key}.{i}")


def _named(given: Any, key: str, registry: str) -> Iterator[tuple[str, str]]:
    if isinstance(given, str) and all(part.isidentifier() for part in given.split(".")):
        what = refusal(resolve_name(given, registry), given)
    else:
        what = f"the type {shown_type(given)}"
    if what:
        yield key, what


def refusal(symbol: Symbol, dotted: str) -> str:
    """Returns why something may not be named in a config that is only data, or an empty text."""
    if isinstance(symbol, Missing):
        return f"{dotted}: {symbol.message}"
    if isinstance(symbol, Definition) and symbol.owner is None and _is_part(symbol):
        return ""
    where = symbol.source.name if isinstance(symbol, Definition) else symbol.name if isinstance(symbol, Source) else ""
    origin = f" (it comes from {where})" if where and not dotted.startswith(where) else ""
    return f"{dotted}{origin}: it is no registered part of diffkit, none of those allowed of MMEngine, and no optimizer"


def _is_part(symbol: Definition) -> bool:
    module, registry = symbol.source.name, registry_of(symbol)
    if _within(module, ("torch.optim",)):
        return isinstance(symbol.node, ast.ClassDef)
    if _within(module, ("mmengine",)):
        return bool(registry) and (registry in REGISTRIES_OF_MMENGINE or symbol.name in PARTS_OF_MMENGINE)
    return bool(registry) and _within(module, ("diffkit",))


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
