"""Trials with odd and hostile images: what becomes of each, what bombs cost, and what random damage does."""

import json
import os
import re
import shutil
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from diffkit.datasets import BadImageError, ImageTextDataset, list_images, open_image
from diffkit.datasets.image_file import printable
from tests.faults.bad_images import write_cases
from tests.faults.bombs import bombs, encoded
from tests.faults.cases import Case, corners

RESOLUTION = 64
#: What a bomb may cost, in seconds and in megabytes.
SECONDS, MEGABYTES = 1.0, 200.0
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")

_MEASURE = """
    import json, sys, time, warnings
    from pathlib import Path
    warnings.simplefilter("ignore")
    from diffkit.datasets.image_file import BadImageError, open_image

    def memory(name):
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024

    open_image(sys.argv[1])  # what is imported late is imported now
    rows = {}
    for path in sys.argv[2:]:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, start = memory("VmRSS"), time.perf_counter()
        try:
            open_image(path)
            reason = None
        except BadImageError as error:
            reason = str(error)
        rows[Path(path).name] = [time.perf_counter() - start, memory("VmHWM") - before, reason]
    print(json.dumps(rows))
"""


def opened(folder: Path, policy: str) -> ImageTextDataset:
    """The folder as a training opens it: a caption for each image, all images verified."""
    names = list_images(folder).images
    lines = [json.dumps({"file_name": name, "text": "a photo"}) for name in names]
    (folder / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return ImageTextDataset(folder, RESOLUTION, bad_images=policy)


def wrong_verdicts(folder: Path, cases: list[Case]) -> list[str]:
    """Cases that were read and should not have been, or the other way round, or refused for another reason."""
    dataset = opened(folder, "skip")
    read = {entry.name for entry in dataset.pictures.entries}
    report = next(note for note in dataset.pictures.notes if "cannot be used" in note)
    whole = json.loads(Path(report.rsplit("all of them: ")[1]).read_text(encoding="utf-8"))
    wrong = []
    for case in cases:
        said = whole.get(printable(case.name))
        if (case.name in read) == (said is not None):
            wrong.append(f"{printable(case.name)} is both read and refused, or neither")
        elif (case.reason is None) != (said is None):
            wrong.append(f"{printable(case.name)}: {said or 'it was read'}")
        elif case.reason is not None and not re.search(case.reason, str(said)):
            wrong.append(f"{printable(case.name)}: {said}")
    return wrong


def wrong_pictures(folder: Path, cases: list[Case]) -> list[str]:
    """Cases that are read and do not look as they should."""
    wrong = []
    for case in cases:
        if case.reason is not None or case.corners is None:
            continue
        image = open_image(folder / case.name)
        right, bottom = image.width - 1, image.height - 1
        found = [image.getpixel(place) for place in ((0, 0), (right, 0), (0, bottom), (right, bottom))]
        if image.mode != "RGB" or np.abs(np.subtract(found, case.corners)).max() > case.tolerance:
            wrong.append(f"{printable(case.name)}: {image.mode} {found}")
    return wrong


def bomb_costs(folder: Path) -> dict[str, tuple[float, float, str | None]]:
    """Opens each bomb in a process of its own, and a large picture that is allowed.

    Returns:
        By name: seconds, peak of added megabytes, and the reason why it was refused.
    """
    folder.mkdir(parents=True, exist_ok=True)
    corners().save(folder / "sound.png")
    corners(6000, 6000).save(folder / "large.png", compress_level=1)  # shows what the measuring sees
    wanted = bombs()
    for name, (content, _) in wanted.items():
        (folder / name).write_bytes(content)
    paths = [str(folder / name) for name in ("sound.png", *wanted, "large.png")]
    command = [sys.executable, "-c", textwrap.dedent(_MEASURE), *paths]
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return {name: tuple(row) for name, row in json.loads(run.stdout).items()}


def can_measure() -> bool:
    """Whether this system tells the peak of a process' memory and lets it begin anew (Linux)."""
    return os.access("/proc/self/clear_refs", os.W_OK)


def expensive_bombs(costs: dict[str, tuple[float, float, str | None]]) -> list[str]:
    """Bombs that cost too much, or were refused for another reason or not at all."""
    wanted, wrong = bombs(), []
    for name, (_, words) in wanted.items():
        seconds, megabytes, reason = costs[name]
        if seconds >= SECONDS or megabytes >= MEGABYTES or not re.search(words, reason or "it was read"):
            wrong.append(f"{name}: {seconds:.2f} s, {megabytes:.0f} MB, {reason}")
    if costs["large.png"][1] < MEGABYTES or costs["large.png"][2] is not None:
        wrong.append(f"large.png shows that nothing was measured: {costs['large.png']}")
    return wrong


def damaged_at_random(kind: str, count: int, work: Path) -> dict[str, int]:
    """Opens a picture whose bytes were changed at random, ``count`` times; how often it was read and refused.

    Raises:
        Exception: a picture was neither; there is none that may come out.
    """
    sound, rng = encoded(corners(), kind), np.random.default_rng(len(kind))
    path, verdicts = work / "damaged.png", {"read": 0, "refused": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(count):
            data = bytearray(sound)
            for place in rng.integers(0, len(data), rng.integers(1, 9)):
                data[place] = rng.integers(256)
            path.write_bytes(data[: rng.integers(1, len(data) + 1)] if rng.random() < 0.3 else data)
            try:
                open_image(path)
                verdicts["read"] += 1
            except BadImageError:
                verdicts["refused"] += 1
    return verdicts


def images_trial(key: str, work: Path) -> dict[str, Any]:
    """One of the trials ``cases``, ``bombs``, and ``damaged`` with a format, for the table of the suite.

    Returns:
        Numbers, and ``faults``: empty at best.
    """
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    if key == "bombs":
        costs = bomb_costs(work)
        refused = [costs[name] for name in bombs()]
        return {"count": len(refused), "seconds": max(row[0] for row in refused),
                "megabytes": max(row[1] for row in refused), "faults": expensive_bombs(costs)}
    if key == "cases":
        cases = write_cases(work / "photos")
        with warnings.catch_warnings(), patch.dict(os.environ, {"DIFFKIT_CACHE": str(work / "cache")}):
            warnings.simplefilter("ignore")
            faults = wrong_verdicts(work / "photos", cases) + wrong_pictures(work / "photos", cases)
        return {"count": len(cases), "refused": sum(case.reason is not None for case in cases), "faults": faults}
    return {**damaged_at_random(key, 1000, work), "faults": []}


def seen(results: dict[str, dict[str, Any]]) -> str:
    """What all trials saw, in one line."""
    cases, costs = results["cases"], results["bombs"]
    damaged = {name: sum(results[kind][name] for kind in FORMATS) for name in ("read", "refused")}
    return (f"{cases['count']} images, {cases['refused']} of them refused; {costs['count']} bombs, each refused within "
            f"{costs['seconds']:.2f} s and {costs['megabytes']:.0f} MB; of {sum(damaged.values())} with random damage "
            f"{damaged['refused']} were refused and {damaged['read']} read")
