"""Randomness of a training: every step begins from a state that follows from the seed, the step and the rank.

So a resumed run seeds itself at its first step exactly as the uninterrupted run did, and whatever a hook draws
between two steps cannot change the next one. Checkpoints hold the generators all the same, for what else may draw
from them: a loop or a hook of a user's own.
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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


def generator_states() -> dict[str, Any]:
    """Returns the states of the generators of Python, NumPy and torch (CPU and every GPU that is in use).

    The leaves are tensors, numbers and None, so that a checkpoint can hold them.
    """
    version, words, gauss = random.getstate()
    words_of_numpy: Any
    name, words_of_numpy, position, has_gauss, cached = np.random.get_state()
    return {
        "python": [version, torch.tensor(words), gauss],
        "numpy": [name, torch.from_numpy(words_of_numpy.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
    }


def set_generator_states(states: dict[str, Any]) -> None:
    """Takes over what ``generator_states`` gave; GPUs that are not there are left out."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    name, key, *rest = states["numpy"]
    np.random.set_state((name, key.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    for device, state in enumerate(states["cuda"][: torch.cuda.device_count()]):
        torch.cuda.set_rng_state(state, device)


@contextmanager
def preserved_randomness() -> Iterator[None]:
    """Gives the generators of Python, NumPy and torch back as they were, whatever the body draws."""
    states = generator_states()
    try:
        yield
    finally:
        set_generator_states(states)
