"""Where the captions of pictures come from when a metadata file is written: text files, a table, a template."""

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from diffkit.datasets.captions import read_rows, text_beside
from diffkit.datasets.image_file import printable

#: What a template may hold in braces; ``{}`` stays for the dataset's ``placeholder``.
FIELDS = ("", "name", "folder")


class CaptionSources:
    """Finds the captions of pictures.

    Args:
        template: caption of pictures without one of their own, see :func:`fill_template`; None for none.
        captions_file: a ``.jsonl`` or ``.csv`` file with ``file_name`` and ``column``; None for none.
        column: the captions file's column.

    Attributes:
        captions: by picture, after :meth:`read`.
        notes: what a user should know.

    Raises:
        ValueError: the template or the file cannot be understood.
    """

    def __init__(self, template: str | None, captions_file: str | Path | None, column: str) -> None:
        if template is not None:
            check_template(template)
        self.template = template
        self.captions: dict[str, list[str]] = {}
        self.notes: list[str] = []
        self._table: dict[str, list[str]] = {}
        if captions_file is not None:
            path = Path(captions_file).expanduser()
            if not path.is_file():
                raise ValueError(f"captions_file={printable(path)!r} is no file")
            self._table = read_rows(path, column)

    def read(self, root: Path, names: Sequence[str]) -> dict[str, str]:
        """Fills ``captions`` in the order of ``names``.

        Args:
            root: the folder.
            names: the pictures in it.

        Returns:
            The reasons of the pictures that have no caption.
        """
        missing = {}
        for name in names:
            try:
                name.encode("utf-8")
                self.captions[name] = self._of(root, name)
            except UnicodeEncodeError:
                missing[name] = "its name is no text that a file in UTF-8 can hold: rename it"
            except ValueError as error:
                missing[name] = str(error)
        unused = sorted(self._table.keys() - set(names))
        if unused:
            shown = ", ".join(map(printable, unused[:3])) + (", …" if len(unused) > 3 else "")
            self.notes.append(f"{len(unused)} rows of the captions file name no picture of the folder: {shown}")
        return missing

    def _of(self, root: Path, name: str) -> list[str]:
        """The captions of a picture, at least one; a ValueError says why there is none."""
        image = root / name
        beside = [path for path in (image.with_suffix(".txt"), image.with_name(f"{image.name}.txt"))
                  if path.is_file()]
        for path in beside:
            text = text_beside(image, root, path)
            if text:
                return [text]
        if self._table.get(name):
            return self._table[name]
        if self.template is not None:
            return [fill_template(self.template, name, root)]
        if beside:
            raise ValueError(f"its caption {printable(beside[0].name)} is empty")
        if name in self._table:
            raise ValueError("its caption in the captions file is empty")
        raise ValueError("it has no caption")


def check_template(template: str) -> None:
    """Raises ValueError for a template that is blank or holds unknown fields."""
    if not template.strip():
        raise ValueError("template is blank: write a caption, such as 'a photo of a dog'")
    unknown = [field for field in re.findall(r"\{([^{}]*)\}", template) if field not in FIELDS]
    if unknown:
        raise ValueError(f"template has {{{unknown[0]}}}; allowed are {{name}}, {{folder}}, and {{}} for the "
                         "placeholder of the dataset")


def fill_template(template: str, name: str, root: Path) -> str:
    """The caption of a picture: ``{name}`` is its name without suffix, ``{folder}`` its folder's, in words."""
    picture = PurePosixPath(name)
    folder = picture.parent.name or Path(root).resolve().name
    filled = template.replace("{name}", _words(picture.stem)).replace("{folder}", _words(folder))
    return " ".join(filled.split())


def _words(name: str) -> str:
    return " ".join(re.split(r"[_\-\s]+", name)).strip()
