"""Less chatter from libraries on the terminal: what is not about the user's work is dropped, by its words.

Everything else that they warn of is shown: a prompt that is cut, weights that do not fit.
"""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

#: By the logger: parts of messages about kernels, packages and steps that are no concern of the user's.
CHATTER = {
    "torchao": ("Failed to load", "Skipping import of cpp extensions"),
    "torch.utils._pytree": ("is an Enum subclass",),
    "diffusers.quantizers.torchao.torchao_quantizer": ("Unable to import `torchao`",),
    # asked for by allow_pickle, and refused before without it
    "diffusers.models.modeling_utils": ("An error occurred while trying to fetch",),
    "transformers.utils.import_utils": ("requires torchvision",),
    # a pipeline counts the tokens of a long prompt this way, and then says itself what it cuts
    "transformers.tokenization_utils_base": ("Token indices sequence length is longer",),
}
#: Warnings to programmers about MMEngine's own code, and about threads, which it sets as it should.
WARNINGS = (r"`broadcast_buffers` is deprecated", r"Setting \w+_NUM_THREADS environment variable")


class _Drop(logging.Filter):
    def __init__(self, parts: tuple[str, ...]) -> None:
        super().__init__()
        self.parts = parts

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        return not any(part in message for part in self.parts)


def quieten_libraries() -> None:
    """Drops the chatter of this process. Called before the libraries are imported."""
    for name, parts in CHATTER.items():
        logger = logging.getLogger(name)
        if not any(isinstance(present, _Drop) for present in logger.filters):
            logger.addFilter(_Drop(parts))
    for message in WARNINGS:
        warnings.filterwarnings("ignore", message)
    os.environ.setdefault("LOGLEVEL", "ERROR")  # neural-compressor


@contextmanager
def no_loading_bars() -> Iterator[None]:
    """Hides the bars of diffusers and transformers that count weights and parts, read or written, inside ``with``.

    The bars of downloads stay, for those take minutes.
    """
    from diffusers.utils import logging as diffusers_logging
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging as transformers_logging

    libraries = [library for library in (diffusers_logging, transformers_logging) if library.is_progress_bar_enabled()]
    set_downloads = disable_progress_bars if are_progress_bars_disabled() else enable_progress_bars
    for library in libraries:
        library.disable_progress_bar()
    set_downloads()  # transformers switches those of downloads too
    try:
        yield
    finally:
        for library in libraries:
            library.enable_progress_bar()
        set_downloads()
