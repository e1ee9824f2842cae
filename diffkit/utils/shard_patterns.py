"""Which files a pattern of shards stands for: ``data/{00000..00019}.tar``, ``data/*.tar``, a folder, a file."""

import glob
import itertools
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

#: More files than this are a slip of the hand.
MAX_SHARDS = 100_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_NUMBERS = re.compile(r"(\d+)\.\.(\d+)")


def find_shards(pattern: str | Path | Sequence[str | Path], argument: str = "data_root") -> list[Path]:
    """The tar files of a pattern, in the order of the pattern; those of ``*`` and of a folder by name.

    Args:
        pattern: a file, a folder (its ``*.tar``), a name with ``{a..b}``, ``{a,b}``, ``*``, ``?`` or ``[…]``, or a list
            of such.
        argument: what the user knows it by.

    Raises:
        ValueError: there is none, one is not there, or it comes twice; the message names it.
    """
    patterns = [pattern] if isinstance(pattern, str | Path) else list(pattern)
    found = [path for each in patterns for path in _files(str(each), argument)]
    if not found:
        raise ValueError(f"{argument} is empty: name a tar file, a folder of them or a pattern")
    missing = [path for path in found if not path.is_file()]
    if missing:
        shown = ", ".join(str(path) for path in missing[:3]) + (", …" if len(missing) > 3 else "")
        raise ValueError(f"{argument}: {len(missing)} of {len(found)} shards are not there: {shown}")
    twice = sorted(str(path) for path in set(found) if found.count(path) > 1) if len(set(found)) < len(found) else []
    if twice:
        raise ValueError(f"{argument} names {twice[0]} more than once")
    return found


def _files(pattern: str, argument: str) -> list[Path]:
    if "://" in pattern or pattern.startswith("pipe:"):
        raise ValueError(f"{argument}: {pattern!r} is no path: shards are files of this machine")
    found: list[Path] = []
    for text in expand_braces(pattern, argument):
        path = Path(text).expanduser()
        if path.is_dir():
            inside = sorted(path.glob("*.tar"))
            if not inside:
                raise ValueError(f"{argument}: the folder {text!r} holds no .tar file")
            found += inside
        elif glob.has_magic(text) and not path.is_file():
            matches = sorted(map(Path, glob.glob(str(path))))
            if not matches:
                raise ValueError(f"{argument}: nothing is named like {text!r}")
            found += matches
        else:
            found.append(path)
    return found


def expand_braces(pattern: str, argument: str = "data_root") -> Iterator[str]:
    """Every name that a pattern with ``{a..b}`` (numbers, with leading zeros) and ``{a,b,c}`` stands for, in order.

    Raises:
        ValueError: what stands in braces is neither, goes backwards, or gives too many names.
    """
    pieces = _BRACES.split(pattern)
    choices = [[piece] if i % 2 == 0 else _choices(piece, argument) for i, piece in enumerate(pieces)]
    total = 1
    for each in choices:
        total *= len(each)
        if total > MAX_SHARDS:
            raise ValueError(f"{argument}: {pattern!r} stands for more than {MAX_SHARDS} files")
    return ("".join(parts) for parts in itertools.product(*choices))


def _choices(inside: str, argument: str) -> list[str]:
    numbers = _NUMBERS.fullmatch(inside)
    if numbers:
        first, last = numbers.groups()
        width = max(len(first), len(last)) if "0" in (first[0], last[0]) and len(first) > 1 else 0
        if int(last) < int(first) or int(last) - int(first) >= MAX_SHARDS:
            raise ValueError(f"{argument}: {{{inside}}} must go upwards, over at most {MAX_SHARDS} numbers")
        return [str(number).zfill(width) for number in range(int(first), int(last) + 1)]
    if "," in inside:
        return inside.split(",")
    raise ValueError(f"{argument}: {{{inside}}} is neither {{first..last}} nor {{one,other}}")
