"""Mutated copies of a shipped config: each has one mistake, of which it is known what must be said.

A mistake is made in the text of the config or of one of its bases, where a user would make it. The mistakes of a seed
are always the same.
"""

import ast
import importlib
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diffkit.utils.config_check.places import Place, base_files, read_config_files

#: Values that each of these arguments refuses.
OUT_OF_RANGE = {
    "max_iters": ["0", "-5"],
    "batch_size": ["0", "-1"],
    "num_workers": ["-1"],
    "interval": ["0", "-7"],
    "lr": ["-0.001"],
    "decay": ["1.5", "-0.1"],
    "rank": ["0"],
    "dropout": ["1.5"],
    "max_norm": ["0.0", "-1.0"],
    "num_inference_steps": ["0"],
    "caption_dropout": ["1.5"],
    "prior_loss_weight": ["-1.0"],
    "betas": ["(1.5, 0.9)"],
    "num_class_images": ["-3"],
    "accumulative_counts": ["0"],
    "repeats": ["0"],
    "hflip": ["2.0"],
    "length": ["0"],
    "start_factor": ["3.0"],
    "weight_decay": ["-0.1"],
    "resolution": ["0"],
}
#: Arguments that take one of a few names.
CHOICES = {"dtype", "log_level", "frozen_dtype", "bad_images", "captions", "prediction_type", "init", "launcher"}
PATHS = {"data_root", "pretrained", "class_data_root", "file"}
#: Lines that contradict the rest of any training config.
CONFLICTS = [
    ("val_cfg = dict(fp16=False)", "val_cfg"),
    ("auto_scale_lr = dict(base_batch_size=4)", "auto_scale_lr"),
    ("resume = True\nload_from = 'work_dirs/x/step9'", "resume"),
    ("train_dataloader = None", "train_dataloader"),
    ("train_dataloader.update(shuffle=True)", "train_dataloader.shuffle"),
    ("train_dataloader.update(num_workers=0, persistent_workers=True)", "train_dataloader.persistent_workers"),
    ("param_scheduler = [dict(type='LinearLR', by_epoch=True)]", "param_scheduler.0.by_epoch"),
    ("model.update(pretrained=None)\nmodel.family.pop('scratch', None)", "model.pretrained"),
]


@dataclass(frozen=True)
class Mutation:
    """One mistake.

    Attributes:
        kind: what was done.
        file: the file that was changed.
        line: the line where the mistake is, from 1.
        old: the text that was there.
        new: the text that is there now.
        key: the last name of the key path that the message must have.
        near: the name that the message should offer, or empty.
    """

    kind: str
    file: Path
    line: int
    old: str
    new: str
    key: str
    near: str = ""


def copy_with_bases(config: Path, folder: Path) -> Path:
    """Copies the tree of configs with ``_base_`` that a config lies in; returns the config's copy."""
    root = next(parent for parent in config.parents if (parent / "_base_").is_dir())
    copied = folder / root.name
    shutil.copytree(root, copied, dirs_exist_ok=True)
    return copied / config.relative_to(root)


def mutations(path: Path, seed: int, count: int) -> Iterator[Mutation]:
    """Puts mistakes into a config or its bases; each stays until the next is asked for.

    Args:
        path: a config that may be changed, with its bases.
        seed: of the choice of mistakes.
        count: how many to make; fewer if there are not so many different ones.
    """
    rng = random.Random(seed)
    live = _live_places(read_config_files(path).places)
    possible = [m for file in [path, *_bases(path)] for m in _mistakes(file, rng) if _counts(m, live)]
    imported = Counter(m.key for m in possible if m.kind == "import")  # of two files' imports only one has an effect
    possible = [m for m in possible if m.kind != "import" or imported[m.key] == 1]
    names = read_config_files(path).places
    possible += [_appended(path, line, key) for line, key in CONFLICTS if "train_dataloader" in names]
    by_kind: dict[str, list[Mutation]] = {}
    for mutation in possible:
        by_kind.setdefault(mutation.kind, []).append(mutation)
    for members in by_kind.values():
        rng.shuffle(members)
    kinds = sorted(by_kind)
    for i in range(count):
        kinds = [kind for kind in kinds if by_kind[kind]]
        if not kinds:
            return
        mutation = by_kind[kinds[i % len(kinds)]].pop()
        original = mutation.file.read_text()
        mutation.file.write_text(_changed(original, mutation))
        yield mutation
        mutation.file.write_text(original)


def _bases(path: Path) -> list[Path]:
    return [p.resolve() for base in base_files(path) for p in (base, *_bases(base))]


def _live_places(places: dict[str, Place], above: str = "") -> set[tuple[Path, int, str]]:
    """Returns (file, line, name) of all that is not overridden by a later file; free names are left out."""
    found = set()
    for name, place in places.items():
        if above not in ("tuners", "groups"):
            found.add((place.file.resolve(), place.line, name))
        found |= _live_places(place.parts, name)
    return found


def _counts(mutation: Mutation, live: set[tuple[Path, int, str]]) -> bool:
    """Whether the mistake is in a place that has an effect."""
    name = mutation.near if mutation.kind in ("key", "top-level name") else mutation.key
    return mutation.kind in ("import", "new name") or (mutation.file.resolve(), mutation.line, name) in live


def _changed(text: str, mutation: Mutation) -> str:
    if not mutation.old:
        return f"{text}\n{mutation.new}\n"
    lines = text.split("\n")
    row = lines[mutation.line - 1]
    assert row.count(mutation.old) >= 1, (mutation, row)
    lines[mutation.line - 1] = row.replace(mutation.old, mutation.new, 1)
    return "\n".join(lines)


def _appended(path: Path, line: str, key: str) -> Mutation:
    last = len(path.read_text().split("\n"))
    return Mutation("conflict", path, last + 1, "", line, key.rpartition(".")[2])


def _mistakes(path: Path, rng: random.Random) -> Iterator[Mutation]:
    text = path.read_text()
    rows = text.split("\n")
    tree = ast.parse(text)
    names = {
        node.targets[0].id: node.lineno
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for name, line in names.items():
        typed = _typo(name, rng)
        yield Mutation("top-level name", path, line, f"{name} =", f"{typed} =", typed, name)
    yield Mutation("new name", path, len(rows) + 1, "", "max_iterss = 99", "max_iterss")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module != "mmengine.config":
            for alias in node.names:
                typed = _typo(alias.name, rng)
                exists = hasattr(importlib.import_module(str(node.module)), typed)  # Adam for AdamW is no mistake
                if rows[alias.lineno - 1].count(alias.name) == 1 and alias.name != "*" and not exists:
                    yield Mutation(
                        "import", path, alias.lineno, alias.name, f"{typed} as {alias.name}", alias.name, alias.name
                    )
        if isinstance(node, ast.Call) and _is_config_dict(node):
            for keyword in node.keywords:
                yield from _keyword_mistakes(path, rows, keyword, rng)


def _is_config_dict(node: ast.Call) -> bool:
    return (isinstance(node.func, ast.Name) and node.func.id == "dict") or (
        isinstance(node.func, ast.Attribute) and node.func.attr == "update"
    )


def _keyword_mistakes(path: Path, rows: list[str], keyword: ast.keyword, rng: random.Random) -> Iterator[Mutation]:
    name, line = keyword.arg, keyword.lineno
    if name is None or keyword.value.end_lineno != line:
        return
    row, value = rows[line - 1], ast.unparse(keyword.value)
    written = row[keyword.value.col_offset : keyword.value.end_col_offset]
    text = row[keyword.col_offset : keyword.value.end_col_offset]
    if row.count(text) != 1:
        return
    typed = _typo(name, rng)
    yield Mutation("key", path, line, text, text.replace(name, typed, 1), typed, name)
    wrong = _wrong_type(keyword.value, rng)
    if wrong:
        yield Mutation("type", path, line, text, f"{name}={wrong}", name)
    for bad in OUT_OF_RANGE.get(name, []):
        yield Mutation("range", path, line, text, f"{name}={bad}", name)
    if name in CHOICES and isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str):
        yield Mutation("choice", path, line, text, f"{name}={_typo(keyword.value.value, rng)!r}", name)
    if name in PATHS and value != "None" and "shapes:" not in written:
        yield Mutation("path", path, line, text, f"{name}='./no/such/folder'", name)


def _wrong_type(value: ast.expr, rng: random.Random) -> str:
    if isinstance(value, ast.Constant):
        match value.value:
            case bool():
                return rng.choice(["'yes'", "2.5", "[True]"])
            case int() | float():
                return rng.choice(["'many'", "[3]", "dict(a=1)", "True"])
            case str():
                return rng.choice(["17", "dict(a=1)", "2.5"])
    if isinstance(value, ast.Tuple | ast.List):
        return rng.choice(["17", "dict(a=1)", "True"])
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "dict":
        return rng.choice(["17", "'text'", "True"])
    return ""


def _typo(name: str, rng: random.Random) -> str:
    """One slip of the pen: a letter dropped, doubled, replaced, or swapped with the next."""
    for _ in range(50):
        i = rng.randrange(len(name))
        typed = rng.choice(
            [
                name[:i] + name[i + 1 :],
                name[:i] + name[i] + name[i:],
                name[:i] + rng.choice("aeioust") + name[i + 1 :],
                name[:i] + name[i + 1 : i + 2] + name[i : i + 1] + name[i + 2 :],
            ]
        )
        if typed != name and typed.isidentifier() and not typed.startswith("_"):
            return typed
    return name + "x"
