"""The prompt of a draw: which caption or template, the placeholder in it, and whether it is dropped."""

import re
from collections.abc import Sequence

import numpy as np

from diffkit.datasets.image_file import printable
from diffkit.datasets.picture_set import PictureSet

#: What stands in a template or caption for the placeholder.
SLOT = "{}"


class PromptSource:
    """Chooses prompts.

    Args:
        fallback: the prompt, or prompts to choose from, of pictures without a caption of their own.
        dropout: probability of an empty prompt, 0 to 1.
        placeholder: what takes the place of ``{}``.
        argument: what the user knows ``fallback`` by; None when there is no such argument.
        dropout_argument: what the user knows ``dropout`` by.
    """

    def __init__(
        self,
        fallback: str | Sequence[str] | None = None,
        dropout: float = 0.0,
        placeholder: str | None = None,
        argument: str | None = "instance_prompt",
        dropout_argument: str = "caption_dropout",
    ) -> None:
        if not 0 <= dropout <= 1:
            raise ValueError(f"{dropout_argument} must be between 0 and 1, got {dropout}")
        self.dropout = dropout
        self.placeholder = placeholder
        self.argument = argument
        self.fallback = [
            self.fill(text, argument or "prompt") for text in as_prompts(fallback, argument or "prompt")
        ]

    def choose(self, captions: Sequence[str], rng: np.random.Generator) -> str:
        """One of the captions (or else of the fallback), filled in; or nothing, by the dropout's chance."""
        if rng.random() < self.dropout:
            return ""
        texts = captions or self.fallback
        return self.fill(texts[int(rng.integers(len(texts)))], "caption")

    def check(self, pictures: PictureSet, root_argument: str) -> None:
        """Makes sure that every picture of a set has a prompt, and that every caption can be filled in.

        Raises:
            ValueError: naming the pictures without a prompt, or the caption with ``{}`` and no placeholder
                for it.
        """
        bare = pictures.without_caption()
        if bare and not self.fallback:
            shown = ", ".join(printable(name) for name in bare[:5]) + (", …" if len(bare) > 5 else "")
            way_out = "write captions beside them" + (f", or set {self.argument}" if self.argument else "")
            raise ValueError(
                f"{len(bare)} of {len(pictures)} images of {root_argument} have no caption ({shown}): "
                + way_out
            )
        for index in range(len(pictures)):
            for caption in pictures.captions(index):
                self.fill(caption, f"the caption of {printable(pictures.entries[index].name)}")

    def texts(self, pictures: PictureSet) -> list[str]:
        """Every prompt that a picture of a set may get, dropped ones apart."""
        found = {text for index in range(len(pictures)) for text in pictures.captions(index) or self.fallback}
        return sorted(self.fill(text, "caption") for text in found)

    def fill(self, text: str, where: str) -> str:
        """``text`` with the placeholder in place of ``{}``."""
        if SLOT not in text:
            return text
        if self.placeholder is None:
            raise ValueError(f"{where} {text!r} has {SLOT}, but there is no placeholder to put there")
        return text.replace(SLOT, self.placeholder)


def prefixed(prefix: str, prompt: str) -> str:
    """A prompt with a phrase before it, in place of its article: ``a far away photo of …``; an empty one stays so."""
    return prefix + re.sub(r"^(a|an|the) ", "", prompt) if prefix and prompt else prompt


def as_prompts(prompts: str | Sequence[str] | None, argument: str) -> list[str]:
    """A prompt, several or none, as a list."""
    listed = [] if prompts is None else [prompts] if isinstance(prompts, str) else list(prompts)
    if not all(isinstance(prompt, str) for prompt in listed):
        raise TypeError(f"{argument} must be text or a list of texts, got {prompts!r}")
    return listed
