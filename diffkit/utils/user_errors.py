"""Tells messages to the user from faults of the program, so that a mistake is answered with one message."""

import dis
import os
from pathlib import Path
from types import TracebackType

PACKAGE = Path(__file__).resolve().parents[1]


def debugging() -> bool:
    """Whether the environment variable DIFFKIT_DEBUG asks for tracebacks."""
    return os.environ.get("DIFFKIT_DEBUG", "0") not in ("", "0")


def is_user_error(error: BaseException) -> bool:
    """Whether ``error`` is a message to the user: one that a ``raise`` statement of this package made.

    The same type raised by another library, or by Python itself inside our code (``None.shape``, a wrong
    call), is a fault and keeps its traceback. So does a failed assertion.
    """
    if not isinstance(error, Exception) or isinstance(error, AssertionError) or error.__traceback__ is None:
        return False
    last = _innermost(error.__traceback__)
    code = last.tb_frame.f_code
    ours = PACKAGE in Path(code.co_filename).resolve().parents
    return ours and dis.opname[code.co_code[last.tb_lasti]] == "RAISE_VARARGS"


def describe(error: BaseException) -> str:
    """The text of an error as a user should read it."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error) or type(error).__name__


def _innermost(traceback: TracebackType) -> TracebackType:
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback
