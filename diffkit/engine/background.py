"""Work that a training does not wait for."""

import threading
from collections.abc import Callable


class BackgroundWork:
    """Runs a function in a thread of its own; the program does not end before it.

    Args:
        work: the function.
        name: of the thread.
    """

    def __init__(self, work: Callable[[], None], name: str) -> None:
        self._work = work
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=False)
        self._thread.start()

    @property
    def failed(self) -> bool:
        """Whether it has ended with an error; False while it runs."""
        return self._error is not None

    def wait(self) -> BaseException | None:
        """Waits for the end; returns the error with which it ended, or None."""
        self._thread.join()
        return self._error

    def _run(self) -> None:
        try:
            self._work()
        except BaseException as error:  # told where the training looks for it
            self._error = error
