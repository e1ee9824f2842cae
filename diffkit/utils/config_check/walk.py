"""Walks through a config and holds every ``dict(type=X, …)`` against the arguments that X takes."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from types import NoneType
from typing import Any

from mmengine.config.lazy import LazyAttr, LazyObject

from diffkit.utils.config_check.annotations import allowed_literals, as_text, fits, fits_default, misfits
from diffkit.utils.config_check.evaluate import Unknown, evaluate
from diffkit.utils.config_check.faults import shown
from diffkit.utils.config_check.guards import broken_demands
from diffkit.utils.config_check.paths import missing_path
from diffkit.utils.config_check.registered import belongs, registry_of, resolve_name
from diffkit.utils.config_check.resolve import resolve
from diffkit.utils.config_check.roles import Role, is_schema, role_of
from diffkit.utils.config_check.signatures import Param, Signature, signature_of
from diffkit.utils.config_check.symbols import Definition, Missing, Source, Symbol
from diffkit.utils.near import did_you_mean, edit_distance, nearest

RESERVED = {"type", "_scope_"}  # keys that MMEngine takes itself
Report = Callable[[str, str, str], None]  # key path, message, kind


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
        elif role_of(key).registry and not isinstance(value, list | tuple | NoneType):
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

    def bind(
        self, node: dict[str, Any], signature: Signature, key: str, may_be_typed: bool = False
    ) -> tuple[dict[str, Any], bool]:
        """Holds the keys of a dict against a signature, and their values against the annotations.

        Returns:
            The arguments, with ``Unknown`` in the place of values that were reported, and whether the keys
            are right.
        """
        sound: dict[str, Any] = {}
        unknown = []
        for name, value in node.items():
            param = signature.params.get(name)
            if param is None and not self._admits(signature, name):
                unknown.append(name)
            else:
                fit = param is None or self._fits(value, param, signature, join(key, name))
                sound[name] = value if fit else Unknown
        for name in unknown:
            self.report(join(key, name), _unknown_key(name, node[name], signature, may_be_typed), "key")
        missing = [p.name for p in signature.params.values() if p.required and p.name not in node]
        for name in missing:
            if not _is_misspelt(name, unknown, signature):
                self.report(key, f'{signature.name} needs the argument "{name}"', "key")
        return sound, not unknown and not missing

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
            sound, complete = self.bind(keys, signature, key, bool(role.registry) and "type" not in node)
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
            untyped = resolve(role.untyped) if role.untyped and not self._is_list_of(node, role) else None
            return None if isinstance(untyped, Missing) else untyped
        if isinstance(given, str):
            return resolve_name(given, role.registry, self.modules)
        if isinstance(given, type) or (callable(given) and not is_imported(given)):
            return resolve(f"{given.__module__}.{given.__qualname__}")
        return (
            resolve(dotted_name(given))
            if is_imported(given)
            else Missing(f"type is {shown(given)}; it must be a class, a function, or a name")
        )

    def _is_list_of(self, node: dict[str, Any], role: Role) -> bool:
        """A ``param_scheduler`` or evaluator may be a dict of typed dicts."""
        return (
            bool(node)
            and role.registry in ("METRICS", "PARAM_SCHEDULERS")
            and all(isinstance(v, dict) and "type" in v for v in node.values())
        )

    def _visit_untyped(self, node: dict[str, Any], role: Role, key: str) -> None:
        twin = next(
            (
                k
                for k in node
                if isinstance(k, str)
                and k != "type"
                and edit_distance(k.lower(), "type") <= 1
                and (is_imported(node[k]) or role.needs_type)
            ),
            None,
        )
        if twin is not None:
            self.report(join(key, twin), f'no such key (given {shown_type(node[twin])}); did you mean "type"?', "key")
        elif role.needs_type and node and not self._is_list_of(node, role):
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
            self.report(
                key, f"{symbol.name} is one of {registry_of(symbol)}; one of {role.registry} belongs here", "type"
            )
        else:
            return False
        return True

    def _admits(self, signature: Signature, name: str) -> bool:
        """An open signature takes any key, except one that looks like a slip of the pen."""
        if not signature.open or name == "_delete_":
            return False
        slips = 2 if len(name) > 7 else 1
        return all(edit_distance(name, param) > slips for param in signature.params) or len(name) < 4

    def _fits(self, value: Any, param: Param, signature: Signature, key: str) -> bool:
        default = param.default
        is_default = value is None and default is not None and getattr(default, "value", 0) is None
        if is_imported(value) or is_default:
            return True
        if param.annotation is None:
            return self._fits_default(value, param, signature, key)
        if fits(value, param.annotation, param.source) or not _is_honest(param):
            return True
        parts = misfits(value, param.annotation, param.source)
        if parts:
            key, value = join(key, parts[0]), value[parts[0] if isinstance(value, dict) else int(parts[0])]
        allowed = allowed_literals(param.annotation, param.source)
        hint = did_you_mean(value, map(str, allowed)) if allowed and isinstance(value, str) else ""
        self.report(key, f"{signature.name} wants {as_text(param.annotation)}, given {shown(value)}{hint}", "type")
        return False

    def _fits_default(self, value: Any, param: Param, signature: Signature, key: str) -> bool:
        try:
            default = evaluate(param.default, {}, param.source) if param.default is not None else None
        except Unknown:
            return True
        if fits_default(value, default):
            return True
        wanted = "True or False" if isinstance(default, bool) else "a number"
        self.report(key, f"{signature.name} wants {wanted}, given {shown(value)}", "type")
        return False

    def _find_missing_paths(self, signature: Signature, sound: dict[str, Any], keys: dict[str, Any], key: str) -> None:
        for name, value in sound.items():
            param = signature.params.get(name)
            if param is not None and isinstance(value, str):
                message = missing_path(name, value, param.annotation, keys)
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


def is_imported(value: Any) -> bool:
    """Returns whether a value is a class or function that a config imports."""
    return isinstance(value, LazyObject | LazyAttr)


def dotted_name(value: LazyObject | LazyAttr) -> str:
    """Returns the full name of an imported class or function."""
    if isinstance(value, LazyAttr):
        return f"{dotted_name(value.source)}.{value.name}"
    imported = value._imported
    return f"{value.module}.{imported}" if imported is not None else value.module


def shown_type(value: Any) -> str:
    """Returns a value, or the name of an imported class, as one short line."""
    return dotted_name(value) if is_imported(value) else shown(value)


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


def _twin(name: str, names: Iterable[str]) -> str:
    """Returns the name that a name looks like without being one of them."""
    return "" if name in names else next((n for n in names if edit_distance(name, n) <= 2), "")


def _is_honest(param: Param) -> bool:
    """An annotation that its own default does not fit says nothing."""
    if param.annotation is None or param.default is None:
        return True
    try:
        default = evaluate(param.default, {}, param.source)
    except Unknown:
        return True
    return default is None or fits(default, param.annotation, param.source)


def _unknown_key(name: str, value: Any, signature: Signature, may_be_typed: bool) -> str:
    if name == "_delete_":
        return "MMEngine does not honour _delete_ in new-style configs; assign the whole dict anew"
    hint = did_you_mean(name, [*signature.params, "type"] if may_be_typed else signature.params)
    return f'{signature.name} takes no argument "{name}" (given {shown_type(value)}){hint}'


def _is_misspelt(required: str, unknown: list[str], signature: Signature) -> bool:
    return any(required in nearest(name, signature.params) for name in unknown)


def _named(target: Definition, message: str) -> str:
    return message if message.startswith(target.name) or is_schema(target) else f"{target.name}: {message}"


def _part(keys: dict[str, Any], path: str) -> str:
    """Returns the path of a key that is there: of ``a.b`` that is ``a.b``, ``b`` or ``a``."""
    first, _, rest = path.partition(".")
    if rest and isinstance(keys.get(first), dict) and rest in keys[first]:
        return path
    return next((name for name in (rest, first) if name in keys), "")


def join(key: str, name: str) -> str:
    """Returns the path of a key below another."""
    return ".".join(part for part in (key, name) if part)
