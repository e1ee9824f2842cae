"""Less chatter from libraries on the terminal: what they say while they are imported is not about the user's work."""

import logging
import os

#: Loggers that report kernels and accelerators that this machine lacks, or a processor class in two versions.
CHATTY = ("torchao", "torch.utils._pytree", "diffusers.quantizers.torchao.torchao_quantizer")


def quieten_libraries() -> None:
    """Shows only errors of the chatty loggers. A level that the user's environment sets is left alone.

    Called before the libraries are imported.
    """
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.ERROR)
    for variable in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(variable, "error")
    os.environ.setdefault("LOGLEVEL", "ERROR")  # neural-compressor
