"""Walks through a config and holds every ``dict(type=X, …)`` against the arguments that X takes."""

from collections.abc import Iterable
from dataclasses import replace
from types import NoneType
from typing import Any

from diffkit.utils.config_check.bind import Report, bind, join
from diffkit.utils.config_check.evaluate import Unknown
from diffkit.utils.config_check.faults import shown
from diffkit.utils.config_check.guards import broken_demands
from diffkit.utils.config_check.imported import dotted_name, is_imported, shown_type
from diffkit.utils.config_check.paths import missing_path
from diffkit.utils.config_check.registered import belongs, registry_of, resolve_name
from diffkit.utils.config_check.resolve import resolve
from diffkit.utils.config_check.roles import Role, is_schema, role_of
from diffkit.utils.config_check.signatures import Signature, signature_of
from diffkit.utils.config_check.symbols import OPAQUE, Definition, Missing, Source, Symbol
from diffkit.utils.near import did_you_mean, edit_distance

RESERVED = {"type", "_scope_"}  # keys that MMEngine takes itself


class Walker:
    """Checks the values of a config, from any place of it downwards.

    Args:
        report: is called with the key path, the message and the kind of each fault.
        modules: modules of the config's ``custom_imports``, which may register classes.
    """

    def __init__(self, report: Report, modules: Iterable[str] = ()) -> None:
        self.report = report
        self.modules = tuple(modules)

    def visit(self, value: Any, key: str) -> None:
        """Checks a value and all that is in it."""
        if isinstance(value, dict):
            self._visit_dict(value, key)
        elif not _may_be(value, role_of(key)):
            self.report(key, f"must be a dict with a type, not {shown_type(value)}", "type")
        elif isinstance(value, list | tuple):
            for i, item in enumerate(value):
                self.visit(item, f"{key}.{i}")
        elif is_imported(value):
            self._reject_missing(resolve(dotted_name(value)), key)

    def arguments(self, node: dict[str, Any], key: str) -> Signature | None:
        """Returns the arguments that the dict at a key path takes, or None where anything goes."""
        role = role_of(key)
        target = self._target(node, role)
        return _signature(target, role, key) if isinstance(target, Definition) else None

    def _visit_dict(self, node: dict[str, Any], key: str) -> None:
        role = role_of(key)
        target = self._target(node, role)
        if target is None:
            self._visit_untyped(node, role, key)
            return
        if self._reject_missing(target, join(key, "type"), role):
            return
        keys = {k: v for k, v in node.items() if role.plain or k not in RESERVED}
        if isinstance(target, Definition):
            signature = _signature(target, role, key)
            may_be_typed = bool(role.registry) and "type" not in node
            sound, complete = bind(keys, signature, key, self.report, may_be_typed)
            self._find_missing_paths(signature, sound, keys, key)
            if complete:
                self._try_demands(target, sound, keys, key)
            keys = {k: v for k, v in keys.items() if k in sound}
        for name, value in keys.items():
            self.visit(value, join(key, name))

    def _target(self, node: dict[str, Any], role: Role) -> Symbol | None:
        """Returns what a dict stands for, or None when neither it nor its place says so."""
        given = None if role.plain else node.get("type")
        if given is None:
            untyped = resolve(role.untyped) if role.untyped else None
            return None if isinstance(untyped, Missing) else untyped
        if isinstance(given, str):
            return resolve_name(given, role.registry, self.modules)
        if is_imported(given):
            return resolve(dotted_name(given))
        if not callable(given):
            return Missing(f"type is {shown(given)}; it must be a class, a function, or a name")
        found = resolve(f"{given.__module__}.{getattr(given, '__qualname__', '')}")
        return OPAQUE if isinstance(found, Missing) else found  # it is there: perhaps a local class

    def _visit_untyped(self, node: dict[str, Any], role: Role, key: str) -> None:
        twin = _misspelt_type(node, role)
        if twin:
            self.report(join(key, twin), f'no such key (given {shown_type(node[twin])}); did you mean "type"?', "key")
        elif role.needs_type and node:
            self.report(key, "needs a type: dict(type=…, …)", "key")
        for name, value in node.items():
            twin = _twin(str(name), role.names)
            if twin:
                message = f'no such key (given {shown_type(value)}); did you mean "{twin}"?'
                self.report(join(key, str(name)), message, "key")
            self.visit(value, join(key, str(name)))

    def _reject_missing(self, symbol: Symbol, key: str, role: Role | None = None) -> bool:
        """Reports a type that is not there, or that cannot be built; returns whether it did."""
        if isinstance(symbol, Missing):
            hint = did_you_mean(symbol.name, symbol.candidates) if symbol.name else ""
            self.report(key, f"{symbol.message}{hint}", "type")
        elif role is not None and isinstance(symbol, Source):
            self.report(key, f"{symbol.name} is a module; name a class or function in it", "type")
        elif (
            role is not None
            and isinstance(symbol, Definition)
            and not belongs(registry_of(symbol) or role.registry, role.registry)
        ):
            found = registry_of(symbol)
            self.report(key, f"{symbol.name} is one of {found}; one of {role.registry} belongs here", "type")
        else:
            return False
        return True

    def _find_missing_paths(self, signature: Signature, sound: dict[str, Any], keys: dict[str, Any], key: str) -> None:
        for name, value in sound.items():
            param = signature.params.get(name)
            listed = value if isinstance(value, list | tuple) else [value]
            if param is not None and all(isinstance(each, str) for each in listed):
                message = next(filter(None, (missing_path(name, each, param.annotation, keys) for each in listed)), "")
                if message:
                    self.report(join(key, name), message, "path")
                    sound[name] = Unknown

    def _try_demands(self, target: Definition, sound: dict[str, Any], keys: dict[str, Any], key: str) -> None:
        given = {k: Unknown if is_imported(v) else v for k, v in sound.items()}
        reported = set()
        for demand in broken_demands(target, given):
            about = next((found for path in demand.arguments if (found := _part(keys, path))), "")
            if about not in reported:  # a second demand on the same argument mostly says the same
                self.report(join(key, about), _named(target, demand.message), "value")
            reported.add(about)


def _signature(target: Definition, role: Role, key: str) -> Signature:
    signature = signature_of(target)
    if is_schema(target):
        signature = replace(signature, name=key)
    if role.partial:
        signature = signature.without(name for name, p in signature.params.items() if p.required)
    signature = signature.without(role.supplied)
    if role.extras:
        extras = resolve(role.extras)
        assert isinstance(extras, Definition)
        signature.params.update(signature_of(extras).params)
    return signature


def _may_be(value: Any, role: Role) -> bool:
    """Returns whether a value that is no dict may stand where an object is built; a function can be given as it is."""
    if not role.registry or isinstance(value, list | tuple | NoneType):
        return True
    return role.partial and is_imported(value)


def _misspelt_type(node: dict[str, Any], role: Role) -> str:
    """Returns the key of an untyped dict that must have been meant as ``type``, or an empty text."""
    for name, value in node.items():
        is_near = isinstance(name, str) and name != "type" and edit_distance(name.lower(), "type") <= 1
        if is_near and (is_imported(value) or role.needs_type):
            return name
    return ""


def _twin(name: str, names: Iterable[str]) -> str:
    """Returns the name that a name looks like without being one of them."""
    return "" if name in names else next((n for n in names if edit_distance(name, n) <= 2), "")


def _named(target: Definition, message: str) -> str:
    return message if message.startswith(target.name) or is_schema(target) else f"{target.name}: {message}"


def _part(keys: dict[str, Any], path: str) -> str:
    """Returns the path of a key that is there: of ``a.b`` that is ``a.b``, ``b`` or ``a``."""
    first, _, rest = path.partition(".")
    if rest and isinstance(keys.get(first), dict) and rest in keys[first]:
        return path
    return next((name for name in (rest, first) if name in keys), "")
