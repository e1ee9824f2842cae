"""Less chatter from libraries on the terminal: what they say when imported is not about the user's work."""

import logging
import os
import warnings

#: Loggers that report kernels and accelerators that this machine lacks.
CHATTY = ("torchao", "torch.utils._pytree", "diffusers.quantizers.torchao.torchao_quantizer")
#: Warnings to programmers about MMEngine's own code, and about threads, which it sets as it should.
WARNINGS = (r"`broadcast_buffers` is deprecated", r"Setting \w+_NUM_THREADS environment variable")


def quieten_libraries() -> None:
    """Shows only errors of the chatty loggers. A level that the user's environment sets is left alone.

    Called before the libraries are imported.
    """
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message)
    for variable in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(variable, "error")
    os.environ.setdefault("LOGLEVEL", "ERROR")  # neural-compressor
