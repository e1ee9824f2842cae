"""How the page wants its pictures: read and checked before anything is loaded."""

from dataclasses import dataclass
from typing import Any

from diffkit.app.fields import Fields

#: What the page offers: "auto" and "lcm" as ``load_pipeline`` knows them, the others by their own name.
SAMPLERS = ("auto", "dpm++", "lcm", "ddim", "ddpm", "euler", "pndm")
MOST_PICTURES, MOST_STEPS, LEAST_SIDE, MOST_SIDE, MOST_COLUMNS, MOST_SEED = 64, 200, 32, 2048, 16, 2**32 - 1


@dataclass(frozen=True)
class PaintSettings:
    """What both sides of a comparison share."""

    prompt: str
    negative: str | None
    seed: int
    steps: int
    guidance: float
    sampler: str
    height: int | None
    width: int | None
    images: int
    columns: int

    @property
    def wanted(self) -> list[tuple[str, int]]:
        """Prompt and seed of each picture."""
        return [(self.prompt, self.seed + number) for number in range(self.images)]


def read_settings(values: Any) -> PaintSettings:
    """Reads the settings of a form.

    Raises:
        FieldError: one is not allowed.
    """
    fields = Fields(values)
    images = fields.whole("pictures", 1, MOST_PICTURES, 4)
    return PaintSettings(
        prompt=fields.text("prompt"), negative=fields.text("negative_prompt", "") or None,
        seed=fields.whole("seed", 0, MOST_SEED - MOST_PICTURES, 0), steps=fields.whole("steps", 1, MOST_STEPS, 25),
        guidance=float(fields.number("guidance", 0, 50, 7.5)), sampler=fields.choice("sampler", SAMPLERS, "auto"),
        height=fields.side("height", LEAST_SIDE, MOST_SIDE), width=fields.side("width", LEAST_SIDE, MOST_SIDE),
        images=images, columns=fields.whole("columns", 1, MOST_COLUMNS, min(images, 4)))
