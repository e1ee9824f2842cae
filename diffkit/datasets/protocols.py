"""The prompts that papers measure personalised models with, one item for each picture."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from diffkit.datasets.prior import prior_seed
from diffkit.datasets.subject_prompts import OWN_PROMPTS
from diffkit.registry import DATASETS
from diffkit.utils.near import did_you_mean

#: Classes whose prompts are those for what lives; the paper's subjects have no others.
LIVE_CLASSES = ("dog", "cat")


class _ProtocolPrompts(Dataset):
    """Items of rows with ``prompt``, ``caption`` and ``subject``, several pictures of each, a seed for each picture."""

    metainfo: dict[str, Any] = {}

    def __init__(self, rows: Sequence[Mapping[str, str]], images_num: int, seed: int) -> None:
        if images_num < 1:
            raise ValueError(f"images_num must be at least 1, got {images_num}")
        self.rows, self.images_num, self.seed = list(rows), images_num, seed

    def __len__(self) -> int:
        return len(self.rows) * self.images_num

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"index must be between 0 and {len(self) - 1}, got {index}")
        return {**self.rows[index // self.images_num], "seed": prior_seed(self.seed, index)}


@DATASETS.register_module()
class DreamBoothPrompts(_ProtocolPrompts):
    """The protocol of DreamBooth (Ruiz et al. 2023): 25 prompts for each subject, four pictures of each.

    An item has ``prompt`` with the placeholder (``a sks dog on the beach``), ``caption`` without it, which CLIP-T is
    computed with, ``subject``, the name of the folder of its real pictures, and ``seed``, one for each picture.

    Args:
        file: ``prompts_and_classes.txt`` of the data set (github.com/google/dreambooth), with the 30 subjects, their
            classes and the paper's prompts; None takes this project's own 25 prompts, with which figures cannot be
            compared with published ones.
        subjects: which; None takes all of ``file``. Without a file, subject -> class, such as ``{"my_dog": "dog"}``.
        placeholder: the word that stands for the subject; for several subjects, subject -> word.
        images_num: pictures of each prompt.
        seed: of the noise; each picture has its own, which follows from this and its place.
    """

    def __init__(self, file: str | None = None, subjects: Sequence[str] | Mapping[str, str] | None = None,
                 placeholder: str | Mapping[str, str] = "sks", images_num: int = 4, seed: int = 0) -> None:
        prompts: Mapping[str, Sequence[str]] = OWN_PROMPTS
        if file is None:
            if not isinstance(subjects, Mapping) or not subjects:
                raise ValueError(f"subjects must be a dict of subject -> class without a file, got {subjects!r}")
            classes = dict(subjects)
        else:
            known, prompts = read_dreambooth(file)
            classes = {name: known[name] for name in chosen(known, subjects)}
        rows = []
        for subject, kind in classes.items():
            word = placeholder if isinstance(placeholder, str) else _of(placeholder, subject)
            rows += [{"prompt": form.replace("{}", f"{word} {kind}"), "caption": form.replace("{}", kind),
                      "subject": subject} for form in prompts["live" if kind in LIVE_CLASSES else "object"]]
        super().__init__(rows, images_num, seed)


def read_dreambooth(file: str) -> tuple[dict[str, str], dict[str, Sequence[str]]]:
    """Subjects with their classes, and the prompts for ``object`` and ``live`` with ``{}`` for the subject.

    Raises:
        ValueError: there is no such file, or it is another one.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise ValueError(f"file={file!r} does not exist: clone github.com/google/dreambooth, and give its "
                         "dataset/prompts_and_classes.txt; None takes prompts of this project")
    text = path.read_text(encoding="utf-8")
    heads = re.split(r"^(Object Prompts|Live Subject Prompts)\s*$", text, flags=re.MULTILINE)
    classes = dict(re.findall(r"^(\w+),([a-z ]+?)\s*$", heads[0], re.MULTILINE))
    classes.pop("subject_name", None)
    parts = dict(zip(heads[1::2], heads[2::2], strict=True))
    prompts: dict[str, Sequence[str]] = {}
    for kind, head in (("object", "Object Prompts"), ("live", "Live Subject Prompts")):
        forms = re.findall(r"^'(.*)'\.format", parts.get(head, ""), re.MULTILINE)
        prompts[kind] = [form.replace("{0} {1}", "{}") for form in forms]
    faulty = [form for forms in prompts.values() for form in forms if "{}" not in form]
    if not classes or not all(prompts.values()) or faulty:
        raise ValueError(f"file={file!r} is not prompts_and_classes.txt of the data set of DreamBooth: it lacks "
                         "classes or prompts")
    return classes, prompts


@DATASETS.register_module()
class CustomConceptPrompts(_ProtocolPrompts):
    """The protocol of CustomConcept101 (Kumari et al. 2023): the 20 prompts of each concept's own file.

    An item has ``prompt`` with the new word (``<new1> barn in snowy ice``), ``caption`` without it, ``subject``, the
    name of the folder of its real pictures, and ``seed``.

    Args:
        root: the folder ``customconcept101`` of a clone of github.com/adobe-research/custom-diffusion: it has
            ``dataset.json`` and ``prompts``.
        subjects: names of folders of real pictures, such as ``pet_dog1``; None takes all.
        images_num: pictures of each prompt.
        seed: of the noise; each picture has its own, which follows from this and its place.
    """

    def __init__(self, root: str, subjects: Sequence[str] | None = None, images_num: int = 1, seed: int = 0) -> None:
        folder = Path(root).expanduser()
        concepts = read_custom_concepts(folder)
        rows = []
        for subject in chosen(concepts, subjects):
            entry = concepts[subject]
            new = re.sub(r"^photo of (a |an )?", "", entry["instance_prompt"])
            rows += [{"prompt": form.replace("{}", new), "caption": form.replace("{}", entry["class_prompt"]),
                      "subject": subject} for form in _lines(folder, entry["prompt_filename"])]
        super().__init__(rows, images_num, seed)


def read_custom_concepts(folder: Path) -> dict[str, dict[str, str]]:
    """The entries of ``dataset.json``, by the name of their folder of real pictures.

    Raises:
        ValueError: there is no such file, or an entry lacks something.
    """
    file = folder / "dataset.json"
    if not file.is_file():
        raise ValueError(f"root={str(folder)!r} has no dataset.json: clone github.com/adobe-research/custom-diffusion, "
                         "and give its customconcept101")
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        needed = ("instance_prompt", "class_prompt", "instance_data_dir", "prompt_filename")
        return {Path(entry["instance_data_dir"]).name: {name: str(entry[name]) for name in needed} for entry in entries}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{file} is not that of CustomConcept101: {type(error).__name__} {error}") from None


def _lines(folder: Path, name: str) -> list[str]:
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
        raise ValueError(f"dataset.json: there is no file {name!r} of prompts in {str(folder)!r}")
    return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def chosen(known: Mapping[str, Any], subjects: Sequence[str] | Mapping[str, str] | None) -> list[str]:
    """The subjects that are wanted, all by default.

    Raises:
        ValueError: one is not known.
    """
    wanted = list(known) if subjects is None else [subjects] if isinstance(subjects, str) else list(subjects)
    for name in wanted:
        if name not in known:
            raise ValueError(f"subjects: no subject {name!r} among the {len(known)}{did_you_mean(name, known)}")
    return wanted


def _of(placeholders: Mapping[str, str], subject: str) -> str:
    if subject not in placeholders:
        raise ValueError(f"placeholder has no word for the subject {subject!r}; it has {', '.join(placeholders)}")
    return placeholders[subject]
