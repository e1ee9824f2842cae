"""The valid names nearest to one that a user typed, for error messages."""

from collections.abc import Iterable


def edit_distance(left: str, right: str) -> int:
    """Returns how many typing slips turn ``left`` into ``right``.

    A slip is one letter added, dropped, replaced, or swapped with its neighbour (optimal string alignment
    distance).
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        earlier, before, row = before, row, [i]
        for j, b in enumerate(right, start=1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]


def nearest(name: str, candidates: Iterable[str], n: int = 3) -> list[str]:
    """Returns the up to ``n`` candidates that ``name`` may have meant, nearest first.

    Case and the difference of ``-`` and ``_`` do not count. A name is near when at most two in five of its
    letters have to change, or when one name is the other with something before or behind it.

    Args:
        name: what the user gave.
        candidates: the valid names.
        n: how many to return at most.
    """
    plain = _plain(name)
    scored = []
    for candidate in dict.fromkeys(candidates):
        other = _plain(candidate)
        slips = edit_distance(plain, other)
        letters = max(len(plain), len(other))
        limit = max(int(letters > 1), 2 * letters // 5)
        if slips <= limit or _extends(plain, other):
            scored.append((slips - 0.1 * _common_prefix(plain, other), candidate))
    return [candidate for _, candidate in sorted(scored)[:n]]


def did_you_mean(name: str, candidates: Iterable[str]) -> str:
    """Returns the end of an error message: the nearest names, or all of a short list when none is near.

    Args:
        name: what the user gave.
        candidates: the valid names.

    Returns:
        For example ``'; did you mean "data_root"?'`` or ``'; allowed: a, b'``; empty without candidates.
    """
    names = [str(candidate) for candidate in candidates]
    near = nearest(name, names)
    if near:
        return "; did you mean " + " or ".join(f'"{n}"' for n in near) + "?"
    if not names:
        return ""
    shown = sorted(names)[:20]
    return f"; allowed: {', '.join(shown)}{', …' if len(names) > len(shown) else ''}"


def _plain(name: str) -> str:
    return name.lower().replace("-", "_").strip()


def _extends(left: str, right: str) -> bool:
    short, long = sorted((left, right), key=len)
    return len(short) >= 3 and (long.startswith(short) or long.endswith(short))


def _common_prefix(left: str, right: str) -> int:
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return min(count, 5)
