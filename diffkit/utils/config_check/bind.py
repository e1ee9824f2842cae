"""Holds the keys of a dict against the arguments of a call, and their values against the annotations."""

from collections.abc import Callable
from typing import Any

from diffkit.utils.config_check.annotations import allowed_literals, as_text, fits, fits_default, misfits
from diffkit.utils.config_check.evaluate import Unknown, evaluate
from diffkit.utils.config_check.faults import shown
from diffkit.utils.config_check.imported import is_imported, shown_type
from diffkit.utils.config_check.signatures import Param, Signature
from diffkit.utils.near import did_you_mean, edit_distance, nearest

Report = Callable[[str, str, str], None]  # takes the key path, the message and the kind of a fault


def bind(
    node: dict[str, Any], signature: Signature, key: str, report: Report, may_be_typed: bool = False
) -> tuple[dict[str, Any], bool]:
    """Reports unknown, missing and ill-typed arguments.

    Args:
        node: the arguments by name.
        signature: what the call takes.
        key: the path of the dict.
        report: is called for each fault.
        may_be_typed: whether the dict could have a ``type`` too, which a misspelt key may have meant.

    Returns:
        The arguments, with ``Unknown`` in the place of values that were reported, and whether the keys are right.
    """
    sound: dict[str, Any] = {}
    unknown = []
    for name, value in node.items():
        param = signature.params.get(name)
        if param is None and not _admits(signature, name):
            unknown.append(name)
        else:
            fault = _misfit(value, param, signature, join(key, name)) if param is not None else None
            if fault is not None:
                report(*fault, "type")
            sound[name] = value if fault is None else Unknown
    for name in unknown:
        report(join(key, name), _unknown_key(name, node[name], signature, may_be_typed), "key")
    missing = [p.name for p in signature.params.values() if p.required and p.name not in node]
    for name in missing:
        if not any(name in nearest(other, signature.params) for other in unknown):  # then that is the mistake
            report(key, f'{signature.name} needs the argument "{name}"', "key")
    return sound, not unknown and not missing


def join(key: str, name: str) -> str:
    """Returns the path of a key below another."""
    return ".".join(part for part in (key, name) if part)


def _admits(signature: Signature, name: str) -> bool:
    """An open signature takes any key, except one that looks like a slip of the pen."""
    if not signature.open or name == "_delete_":
        return False
    slips = 2 if len(name) > 7 else 1
    return len(name) < 4 or all(edit_distance(name, param) > slips for param in signature.params)


def _unknown_key(name: str, value: Any, signature: Signature, may_be_typed: bool) -> str:
    if name == "_delete_":
        return "MMEngine does not honour _delete_ in new-style configs; assign the whole dict anew"
    hint = did_you_mean(name, [*signature.params, "type"] if may_be_typed else signature.params)
    return f'{signature.name} takes no argument "{name}" (given {shown_type(value)}){hint}'


def _misfit(value: Any, param: Param, signature: Signature, key: str) -> tuple[str, str] | None:
    """Returns the path and the message of a value that has the wrong type, or None."""
    default = _default(param)
    if is_imported(value) or (value is None and default is None and param.default is not None):
        return None
    if param.annotation is None:
        if fits_default(value, default):
            return None
        wanted = "True or False" if isinstance(default, bool) else "a number"
        return key, f"{signature.name} wants {wanted}, given {shown(value)}"
    if fits(value, param.annotation, param.source) or not _is_honest(param, default):
        return None
    parts = misfits(value, param.annotation, param.source)
    if parts:
        key, value = join(key, parts[0]), value[parts[0] if isinstance(value, dict) else int(parts[0])]
    allowed = allowed_literals(param.annotation, param.source)
    hint = did_you_mean(value, map(str, allowed)) if allowed and isinstance(value, str) else ""
    return key, f"{signature.name} wants {as_text(param.annotation)}, given {shown(value)}{hint}"


def _default(param: Param) -> Any:
    """Returns the default of an argument, or ``Unknown``."""
    if param.default is None:
        return Unknown
    try:
        return evaluate(param.default, {}, param.source)
    except Unknown:
        return Unknown


def _is_honest(param: Param, default: Any) -> bool:
    """An annotation that its own default does not fit says nothing."""
    if param.annotation is None or default in (None, Unknown):
        return True
    return fits(default, param.annotation, param.source)
