"""Which layers are quantised, and to how many bits."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from diffkit.utils.near import did_you_mean


@dataclass(frozen=True)
class Bits:
    """The number format of one layer.

    Attributes:
        weight_bits: of the weight, 2 to 8.
        activation_bits: of the input, 2 to 8; None leaves it as it is.
    """

    weight_bits: int = 8
    activation_bits: int | None = 8

    def __post_init__(self) -> None:
        if self.weight_bits not in range(2, 9):
            raise ValueError(f"weight_bits is {self.weight_bits!r}; it must be 2 to 8.")
        if self.activation_bits not in (None, *range(2, 9)):
            raise ValueError(f"activation_bits is {self.activation_bits!r}; it must be 2 to 8, or None.")


def assign_bits(names: Sequence[str], default: Bits, rules: Mapping[str, Mapping[str, Any]],
                skip: Sequence[str]) -> dict[str, Bits]:
    """The formats of those of some layers that are quantised.

    Args:
        names: of all layers that can be quantised.
        default: of a layer that no rule names.
        rules: changes of ``default`` by regular expressions, searched for in a layer's name; a later rule wins.
        skip: regular expressions of layers that stay as they are.

    Raises:
        ValueError: an expression is none, or matches no layer; or a format does not exist.
    """
    found = dict.fromkeys(names, default)
    for pattern, changes in rules.items():
        try:
            matched = matching(pattern, names, "rules")
            found |= {name: replace(found[name], **changes) for name in matched}
        except (TypeError, ValueError) as error:
            raise ValueError(f"rules[{pattern!r}]: {error}") from None
    dropped = {name for pattern in skip for name in matching(pattern, names, "skip")}
    kept = {name: bits for name, bits in found.items() if name not in dropped}
    if not kept:
        raise ValueError("skip leaves no layer to quantise.")
    return kept


def sensitive_layers(path: str | Path, count: int) -> tuple[str, ...]:
    """The ``count`` layers that matter most, from a file of ``diffkit sensitivity --what quantization``.

    Raises:
        ValueError: the file is not one, or has fewer layers.
    """
    try:
        found = json.loads(Path(path).expanduser().read_text("utf-8"))
        if found["about"]["what"] != "quantization":
            raise ValueError(f"it ranks {found['about']['what']}")
        names = [str(entry["name"]) for entry in found["ranking"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"ranking_file {str(path)!r} is no ranking of diffkit sensitivity --what quantization: "
                         f"{error!r}") from error
    if not 1 <= count <= len(names):
        raise ValueError(f"sensitive is {count}; {str(path)!r} ranks {len(names)}, and 1 at least is needed.")
    return tuple(names[-count:])


def with_bits(bits: dict[str, Bits], names: Sequence[str], changes: Mapping[str, Any],
              layers: Collection[str]) -> dict[str, Bits]:
    """The formats with changes for some layers; those that are not quantised stay so.

    Raises:
        ValueError: a name is none of ``layers``, or a format does not exist.
    """
    for name in names:
        if name not in layers:
            raise ValueError(f"ranking_file ranks another model: this one has no layer {name!r}"
                             f"{did_you_mean(name, list(layers))}")
    try:
        return {**bits, **{name: replace(bits[name], **changes) for name in names if name in bits}}
    except (TypeError, ValueError) as error:
        raise ValueError(f"sensitive_bits: {error}") from None


def matching(pattern: str, names: Sequence[str], key: str) -> list[str]:
    """The names in which a regular expression is found.

    Args:
        pattern: the expression.
        names: of layers.
        key: what the expression was given as, for messages.

    Raises:
        ValueError: it is no expression, or matches none.
    """
    try:
        matched = [name for name in names if re.search(pattern, name)]
    except re.error as error:
        raise ValueError(f"{key}: {pattern!r} is not a regular expression: {error}") from None
    if not matched:
        raise ValueError(f"{key}: no layer matches {pattern!r}{did_you_mean(pattern, names)}")
    return matched
