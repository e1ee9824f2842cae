"""Prior pictures of DreamBooth: what is missing in their folder, and how they are put there.

Nothing here deletes or overwrites a file. A generated picture is named ``{index:05d}-{sha1[:8]}.png``; its
prompt and seed are appended to ``metadata.jsonl``; ``prior.json`` says how the pictures of the folder were
made. The picture of an index depends on the seed and the index only, so that a broken off generation goes on
as if nothing had happened.
"""

import hashlib
import io
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from diffkit.datasets.image_file import printable
from diffkit.datasets.image_folder import FolderListing, scan_folder
from diffkit.utils.write_aside import write_aside

RECIPE = "prior.json"
METADATA = "metadata.jsonl"
_GENERATED = re.compile(r"(\d{5,})-[0-9a-f]{8}\.png")


@dataclass(frozen=True)
class PriorJob:
    """One picture to generate: its index in the folder, prompt, and seed of its noise."""

    index: int
    prompt: str
    seed: int


@dataclass(frozen=True)
class PriorImages:
    """The prior pictures that a dataset asks for.

    Attributes:
        root: their folder; None until it is known (the training puts it into its work_dir).
        num_images: how many are needed; 0 takes all that are there and asks for none.
        prompts: what they are generated from, in turn.
    """

    root: Path | None
    num_images: int
    prompts: tuple[str, ...] = ()

    def listing(self) -> FolderListing:
        """What the folder holds; an empty listing when it does not exist yet."""
        if self.root is None:
            return FolderListing(Path("class_images"))
        return scan_folder(self.root)

    def deficit(self) -> int:
        """How many pictures are missing."""
        return max(0, self.num_images - len(self.listing().images))

    def plan(self, seed: int) -> list[PriorJob]:
        """What has to be generated: the deficit only, at the lowest indexes that are free.

        Args:
            seed: of the whole set, at least 0.

        Raises:
            ValueError: if pictures are missing and there is no prompt to generate them from.
        """
        listing = self.listing()
        missing = max(0, self.num_images - len(listing.images))
        if missing and not self.prompts:
            raise ValueError(
                f"{missing} of {self.num_images} prior images are missing ({listing.describe()}), and "
                "there is no class_prompt to generate them from"
            )
        taken = {int(match[1]) for name in listing.images if (match := _GENERATED.fullmatch(name))}
        free = [index for index in range(len(taken) + missing) if index not in taken][:missing]
        return [PriorJob(i, self.prompts[i % len(self.prompts)], prior_seed(seed, i)) for i in free]


def prior_seed(seed: int, index: int) -> int:
    """The seed of the noise that prior picture ``index`` starts from, in ``range(2**63)``."""
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def save_prior(root: Path, job: PriorJob, image: Image.Image) -> Path:
    """Puts a generated picture into the folder, whole or not at all, and notes its prompt and seed.

    The note is written first: a picture never lies there without its caption.
    """
    root.mkdir(parents=True, exist_ok=True)
    image = image.convert("RGB")
    path = (
        root / f"{job.index:05d}-{hashlib.sha1(image.tobytes(), usedforsecurity=False).hexdigest()[:8]}.png"
    )
    if path.exists():
        return path
    _append_line(root / METADATA, {"file_name": path.name, "text": job.prompt, "seed": job.seed})
    content = io.BytesIO()
    image.save(content, format="PNG")
    write_aside(path, content.getvalue())
    return path


def check_recipe(root: Path, recipe: Mapping[str, Any]) -> None:
    """Refuses a folder whose pictures were generated in another way.

    Args:
        root: the folder; one without ``prior.json`` (real photographs, or no folder yet) is fine.
        recipe: how pictures would be generated now: model, prompts, guidance, steps, size.

    Raises:
        ValueError: naming every difference.
    """
    path = root / RECIPE
    if not path.is_file():
        return
    try:
        old = json.loads(path.read_text(encoding="utf-8"))
        new = json.loads(json.dumps(recipe))
        differences = [f"  {name}: {_difference(old.get(name), value)}" for name, value in new.items()
                       if old.get(name) != value]
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{printable(path)} is not a recipe of prior images ({error})") from error
    if differences:
        raise ValueError(
            f"class_data_root={printable(root)!r} holds prior images that were generated in another way:\n"
            + "\n".join(differences)
            + "\nchoose another class_data_root, or set num_class_images=0 to use these images as they are"
        )


def _difference(old: Any, new: Any) -> str:
    """Two values that differ, in words; of two lists the first items that do."""
    if not (isinstance(old, list) and isinstance(new, list)):
        return f"{old!r}, now {new!r}"
    place = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    first, second = (repr(items[place]) if place < len(items) else "nothing" for items in (old, new))
    count = f"{len(old)}, now {len(new)}; " if len(old) != len(new) else ""
    return f"{count}number {place + 1} is {first}, now {second}"


def write_recipe(root: Path, recipe: Mapping[str, Any]) -> None:
    """Notes how pictures are generated, unless the folder says so already."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / RECIPE
    if not path.exists():
        text = json.dumps(recipe, indent=2, ensure_ascii=False) + "\n"
        write_aside(path, text.encode())


def share(jobs: Sequence[PriorJob], rank: int, world_size: int) -> list[PriorJob]:
    """The jobs of one process; together the processes do each job once."""
    return list(jobs[rank::world_size])


def _append_line(path: Path, row: Mapping[str, Any]) -> None:
    line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
    # One write to a file opened for appending: lines of several processes do not mix.
    with open(path, "ab", buffering=0) as file:
        if _lacks_newline(path):
            line = b"\n" + line
        file.write(line)


def _lacks_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
