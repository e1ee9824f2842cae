"""Randomness of a training: every step begins from a state that follows from the seed, the step and the rank.

So nothing of the random generators has to be saved: a resumed run seeds itself at its first step, exactly as
the uninterrupted run did, and whatever a hook draws between two steps cannot change the next one.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """Mixes numbers and words to one seed in ``range(2**63)``, the same one on every machine."""
    digest = hashlib.blake2b("/".join(str(part) for part in parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch (CPU and every GPU) with ``seed`` in ``range(2**63)``."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def preserved_randomness() -> Iterator[None]:
    """Gives the generators of Python, NumPy and torch back as they were, whatever the body draws."""
    python, numpy_state, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy_state)
        torch.set_rng_state(cpu)
        if gpus:
            torch.cuda.set_rng_state_all(gpus)
