"""Work that takes long, one piece at a time: what waits, how far it is, and what came of it."""

import secrets
import threading
import time
import traceback
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from diffkit.app.fields import FieldError
from diffkit.utils.user_errors import describe, is_user_error

#: How many pieces may wait, and how many results are kept.
MOST_WAITING, KEPT = 8, 24


class Cancelled(Exception):
    """Ends a piece of work that nobody waits for any more."""


@dataclass
class Job:
    """One piece of work.

    Attributes:
        key: what it is known by; nobody can guess it.
        state: "waiting", "running", "done", "failed" or "cancelled".
        doing: a few words on what goes on.
        share: how much of it is done, 0 to 1.
        result: what the work returned.
        error: why it failed, in words for the user.
        seconds: how long it took.
    """

    work: Callable[["Job"], Any]
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = "waiting"
    doing: str = ""
    share: float = 0.0
    result: Any = None
    error: str = ""
    seconds: float = 0.0
    unwanted: bool = False

    def report(self, doing: str, share: float) -> None:
        """Says how far the work is.

        Raises:
            Cancelled: it is to end.
        """
        if self.unwanted:
            raise Cancelled
        self.doing, self.share = doing, min(max(share, 0.0), 1.0)


class Jobs:
    """A queue with one worker, so that two models are never computed at once.

    Args:
        forget: called with the result of a job that is dropped.
    """

    def __init__(self, forget: Callable[[Any], None] | None = None) -> None:
        self._forget = forget
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, daemon=True, name="jobs").start()

    def add(self, work: Callable[[Job], Any]) -> Job:
        """Puts work into the queue.

        Raises:
            FieldError: too much waits already.
        """
        with self._changed:
            if len(self._waiting) >= MOST_WAITING:
                raise FieldError("request", f"{len(self._waiting)} pieces of work wait already, and no more may; "
                                 "wait for them, or cancel them")
            job = Job(work)
            self._jobs[job.key] = job
            self._waiting.append(job)
            self._drop_old()
            self._changed.notify()
        return job

    def get(self, key: str) -> Job:
        """The job of that key.

        Raises:
            FieldError: there is none, or it was long ago.
        """
        with self._changed:
            job = self._jobs.get(key)
        if job is None:
            raise FieldError("request", f"no job {key!r}: only the last {KEPT} are kept")
        return job

    def cancel(self, key: str) -> None:
        """Ends a job at its next step; one that waits never begins."""
        job = self.get(key)
        with self._changed:
            job.unwanted = True
            if job in self._waiting:
                self._waiting.remove(job)
                job.state = "cancelled"

    def ahead(self, job: Job) -> int:
        """How many jobs are before this one."""
        with self._changed:
            running = sum(each.state == "running" for each in self._jobs.values())
            return self._waiting.index(job) + running if job in self._waiting else 0

    def _drop_old(self) -> None:
        for key, job in list(self._jobs.items()):
            if len(self._jobs) <= KEPT:
                return
            if job.state not in ("waiting", "running"):
                del self._jobs[key]
                if self._forget is not None and job.result is not None:
                    self._forget(job.result)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting:
                    self._changed.wait()
                job = self._waiting.popleft()
                job.state = "running"
            began = time.monotonic()
            try:
                job.result = job.work(job)
                state = "done"
            except Cancelled:
                state = "cancelled"
            except Exception as error:  # whatever it is, the page has to say it and the app to go on
                state, job.error = "failed", in_words(error)
            job.seconds = time.monotonic() - began
            job.state = state


def in_words(error: BaseException) -> str:
    """An error as the page shows it; the traceback of a fault of the program goes to the terminal."""
    if is_user_error(error):
        return describe(error)
    traceback.print_exception(error)
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return "there was not enough memory: choose a smaller size, fewer pictures at a time or a smaller model"
    return f"the program failed ({type(error).__name__}: {error}); the terminal of the app has the details"
