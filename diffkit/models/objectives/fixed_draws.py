"""A few fixed draws of latents, noise and timestep for each picture, instead of new ones in each step."""

import hashlib
from collections.abc import Sequence

import torch


class FixedDraws:
    """Seeds the draws of a picture by its key and by which of its draws it is.

    Args:
        count: draws of each picture, 1 or more.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ValueError(f"Denoising: fixed_draws is {count!r}; it must be 1 or more, or None.")
        self.count = count

    def generators(self, keys: Sequence[str | None] | None) -> list[torch.Generator]:
        """For each picture the generator of one of its draws, chosen at random.

        Raises:
            ValueError: a picture has no key, for it is not the same from one time to the next.
        """
        if keys is None or None in keys:
            raise ValueError("Denoising: fixed_draws needs pictures that come again as they were, and these are cut at "
                             "random (they have no key): set center_crop=True, or leave fixed_draws out.")
        chosen = torch.randint(self.count, (len(keys),)).tolist()
        return [self.generator(str(key), draw) for key, draw in zip(keys, chosen, strict=True)]

    @staticmethod
    def generator(key: str, draw: int) -> torch.Generator:
        """The generator of a picture's draw; it is on the CPU, so that a GPU sees the same."""
        digest = hashlib.sha256(f"{draw}|{key}".encode()).digest()
        return torch.Generator("cpu").manual_seed(int.from_bytes(digest[:8], "big") >> 1)
