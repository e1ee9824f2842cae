"""A name for what a model is at a moment of its training: pictures say it, so that they can be told apart later."""

import hashlib
from typing import Any

from diffkit.engine.resume_checks import frozen_digest
from diffkit.utils.hashes import tensors_sha256

_DIGITS = 16


def model_hash(runner: Any) -> str:
    """16 hexadecimal digits of a hash of all weights, frozen and trained: the averaged ones if there are any."""
    with runner.averaged_weights():
        state = runner.bare_model.trainable_state()
        trained = tensors_sha256((name, state[name].reshape(-1)) for name in sorted(state))
    return hashlib.sha256(f"{frozen_digest(runner)} {trained}".encode()).hexdigest()[:_DIGITS]
