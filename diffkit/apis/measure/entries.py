"""The results file of a measurement entry by entry, so that nothing that is known is measured again."""

import fcntl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from diffkit.apis.measure import report


class Entries:
    """A JSON file that is written after each entry. Several commands may share it.

    Args:
        file: of the results.
        lock: a file that whoever writes has locked; it is made.
        about: how and where is measured, see :func:`diffkit.apis.measure.report.about`.
    """

    def __init__(self, file: Path, lock: Path, about: Mapping[str, Any]) -> None:
        self.file, self.lock, self.about = file, lock, about

    def once(self, path: Sequence[str], key: Mapping[str, Any], find: Callable[[], Mapping[str, Any]]
             ) -> dict[str, Any]:
        """What the file has under ``path`` for the same ``key``, or else what ``find`` finds, which is then written.

        The file is read again before it is written, for what other commands have found meanwhile.
        """
        known = _at(report.read_results(self.file), path)
        if known.get("known_by") == key:
            return known
        found = {"known_by": dict(key), **find()}
        with _locked(self.lock):
            results = {"runs": {}, **report.read_results(self.file), "about": self.about}
            place: Any = results
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = found
            report.write_results(self.file, results)
        return found


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Waits until no other command has this lock."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _at(results: dict[str, Any], path: Sequence[str]) -> dict[str, Any]:
    for name in path:
        results = results.get(name, {})
    return results
