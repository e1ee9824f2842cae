"""Prompts to generate pictures from, for tests and evaluation."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from diffkit.datasets.prior import prior_seed
from diffkit.datasets.prompt_source import as_prompts
from diffkit.registry import DATASETS


@DATASETS.register_module()
class PromptDataset(Dataset):
    """A list of prompts, each with the seed of its noise.

    An item holds ``prompt``, ``seed`` and whatever else its line of a .jsonl or .csv file says.

    Args:
        prompts: the prompts; or give ``file``.
        file: .txt (one prompt a line), .jsonl or .csv with a column ``prompt`` (or ``text``) and perhaps
            ``seed``.
        images_num: pictures for each prompt; their seeds differ.
        seed: of the noise, where the file does not say it.
    """

    metainfo: dict[str, Any] = {}

    def __init__(
        self,
        prompts: str | Sequence[str] | None = None,
        file: str | Path | None = None,
        images_num: int = 1,
        seed: int = 0,
    ) -> None:
        if (prompts is None) == (file is None):
            raise ValueError("give either prompts or file")
        if images_num < 1:
            raise ValueError(f"images_num must be at least 1, got {images_num}")
        self.images_num = images_num
        self.seed = seed
        rows = (
            read_prompts(file)
            if file is not None
            else [{"prompt": p} for p in as_prompts(prompts, "prompts")]
        )
        if not rows:
            raise ValueError(f"{'prompts' if file is None else f'file={str(file)!r}'} holds no prompt")
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows) * self.images_num

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"index must be between 0 and {len(self) - 1}, got {index}")
        row, copy = divmod(index, self.images_num)
        given = self.rows[row].get("seed")
        seed = prior_seed(self.seed, index) if given is None else int(given) + copy
        return {**self.rows[row], "seed": seed}


def read_prompts(file: str | Path) -> list[dict[str, Any]]:
    """Reads a file of prompts into rows with a ``prompt`` each.

    Raises:
        ValueError: if the file does not exist, has another suffix, or a line without a prompt (which is
            named).
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"file={str(path)!r} does not exist")
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix == ".txt":
        return [{"prompt": line.strip()} for line in text.split("\n") if line.strip()]
    if path.suffix == ".csv":
        return [
            _row(path, i, row) for i, row in enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2)
        ]
    if path.suffix == ".jsonl":
        return [
            _row(path, i, _json(path, i, line))
            for i, line in enumerate(text.split("\n"), start=1)
            if line.strip()
        ]
    raise ValueError(f"file={str(path)!r} must end in .txt, .jsonl or .csv")


def _row(path: Path, line: int, row: Any) -> dict[str, Any]:
    if isinstance(row, dict):
        prompt = row.get("prompt", row.get("text"))
        if isinstance(prompt, str):
            return {**{name: value for name, value in row.items() if name != "text"}, "prompt": prompt}
    raise ValueError(f"{path}, line {line}: no prompt (a column prompt or text) in {str(row)[:80]}")


def _json(path: Path, line: int, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {line}: not JSON ({error.msg})") from error
