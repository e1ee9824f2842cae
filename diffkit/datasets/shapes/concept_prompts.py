"""Prompts that ask a personalised model for its concept."""

from typing import Any

from torch.utils.data import Dataset

from diffkit.datasets.shapes.captions import article
from diffkit.datasets.shapes.concept_pictures import concept_backgrounds
from diffkit.datasets.shapes.concepts import get_concept
from diffkit.registry import DATASETS


@DATASETS.register_module()
class ConceptPrompts(Dataset):
    """The concept on each of its backgrounds in turn: those of its pictures, and those kept for tests.

    An item has ``prompt``, ``background``, ``seen`` (whether the concept's pictures have that background) and
    ``seed``, for the noise that the picture starts from. Item ``i`` is the same whatever ``n`` is.

    Args:
        concept: name of the concept, one of ``CONCEPTS``.
        n: number of prompts; a multiple of the number of backgrounds asks for each equally often.
        subject: the words that stand for the concept; ``sks`` and its shape by default, as in "sks heart".
        prompt: with ``{subject}`` and ``{background}`` ("a red background") in it.
        seed: another seed gives other noise.
        backgrounds: ``"seen"``, ``"unseen"`` or ``"all"``.
    """

    metainfo: dict[str, Any] = {}

    def __init__(
        self,
        concept: str,
        n: int,
        subject: str | None = None,
        prompt: str = "a photo of a {subject} on {background}",
        seed: int = 0,
        backgrounds: str = "all",
    ) -> None:
        if n < 1:
            raise ValueError(f"n must be at least 1, got {n}")
        if seed < 0:
            raise ValueError(f"seed must not be negative, got {seed}")
        if "{subject}" not in prompt:
            raise ValueError(f"prompt must contain {{subject}}, got {prompt!r}")
        seen, unseen = concept_backgrounds(concept)
        chosen = {"seen": seen, "unseen": unseen, "all": (*seen, *unseen)}
        if backgrounds not in chosen:
            raise ValueError(f"backgrounds must be one of {', '.join(chosen)}, got {backgrounds!r}")
        self.n = n
        self.subject = subject or f"sks {get_concept(concept).shape}"
        self.prompt = prompt
        self.seed = seed
        self.backgrounds = chosen[backgrounds]
        self._seen = frozenset(seen)

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < self.n:
            raise IndexError(f"index must be between 0 and {self.n - 1}, got {index}")
        background = self.backgrounds[index % len(self.backgrounds)]
        place = f"{article(background)} background"
        return {
            "prompt": self.prompt.format(subject=self.subject, background=place),
            "background": background,
            "seen": background in self._seen,
            "seed": self.seed * 100_003 + index,
        }
