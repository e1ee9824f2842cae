"""Reads a config as data: nothing of the file is executed, and what is more than data is refused.

``grammar`` says which statements and expressions are data, ``reader`` works them out without running them, ``parts``
says what may be named as a ``type``. ``read_safely`` is the whole of it.
"""

from diffkit.utils.config_check.safe.load import read_safely

__all__ = ["read_safely"]
