"""Checkpoints that are damaged after they were written."""

import random
import shutil
from pathlib import Path
from typing import Any

from diffkit.engine.checkpoint import find_latest, list_steps
from diffkit.engine.files import files_below
from diffkit.engine.manifest import MANIFEST

KINDS = ("one bit", "some bytes", "zeros", "cut short", "grown", "emptied", "deleted", "swapped", "from the one before")


def damage(folder: Path, older: Path, number: int) -> tuple[str, list[str]]:
    """Damages one file of a checkpoint, or swaps two, in a way that follows from ``number``.

    Args:
        folder: the checkpoint.
        older: the one before it.
        number: of the case.

    Returns:
        The kind of damage, and the files that are not what they were.
    """
    chance = random.Random(f"damage {number}")
    kind = KINDS[number % len(KINDS)]
    files = [path for path in files_below(folder) if path.stat().st_size]
    path = chance.choice(files)
    names = [path.relative_to(folder)]
    if kind == "deleted":
        path.unlink()
    elif kind == "swapped":
        other = chance.choice([each for each in files if each.read_bytes() != path.read_bytes()])
        content = path.read_bytes()
        path.write_bytes(other.read_bytes())
        other.write_bytes(content)
        names.append(other.relative_to(folder))
    elif kind == "from the one before":
        changed = [each for each in files if (older / each.relative_to(folder)).read_bytes() != each.read_bytes()]
        path = chance.choice(changed)
        names = [path.relative_to(folder)]
        shutil.copy(older / names[0], path)
    else:
        path.write_bytes(_damaged(path.read_bytes(), kind, chance))
    return kind, [name.as_posix() for name in names]


def _damaged(content: bytes, kind: str, chance: random.Random) -> bytes:
    data = bytearray(content)
    place = chance.randrange(len(data))
    if kind == "one bit":
        data[place] ^= 1 << chance.randrange(8)
    elif kind == "some bytes":
        for each in range(place, min(len(data), place + 16)):
            data[each] ^= chance.randrange(1, 256)
    elif kind == "zeros":
        length = min(len(data) - place, 4096)
        data[place : place + length] = bytes(length)
        if data == content:  # there were zeros
            data[0] ^= 1
    elif kind == "cut short":
        del data[place:]
    elif kind == "grown":
        data += bytes([chance.randrange(256)])
    else:
        data.clear()
    return bytes(data)


def corruption_trial(number: int, sound: Path, work: Path) -> dict[str, Any]:
    """Damages a copy of a training's newest checkpoint and looks what a resumed training would take.

    Args:
        number: of the case.
        sound: a work folder with at least two valid checkpoints.
        work: for the copy.

    Returns:
        ``kind`` and ``files`` of the damage, ``said``: why it is passed over, ``faults``: empty at best. Each damaged
        file has to be named; where the manifest is one of them that is enough, for nothing can be compared with it.
    """
    copy = work / f"damaged{number}"
    copy.mkdir()
    (_, older), (_, newest) = list_steps(sound)[-2:]
    for folder in (older, newest):
        shutil.copytree(folder, copy / folder.name)
    kind, names = damage(copy / newest.name, copy / older.name, number)
    found = find_latest(copy)
    said = [fault for folder, faults in found.skipped for fault in faults if folder.name == newest.name]
    faults = [] if said else [f"{kind} of {', '.join(names)} was not found"]
    if found.folder != copy / older.name:
        faults.append(f"{found.folder} was taken instead of {older.name}")
    wanted = [MANIFEST] if MANIFEST in names else names
    faults += [f"{name} is not named in: {'; '.join(said)}" for name in wanted
               if not any(fault.startswith(name) for fault in said)]
    shutil.rmtree(copy)
    return {"kind": kind, "files": names, "said": "; ".join(said)[:200], "faults": faults}
