"""Tests on pictures that are killed midway, and that several processes share: the pictures and figures of one."""

import json
import signal

import numpy as np
import pytest
from PIL import Image

from tests.engine.painting import PROMPTS, measure
from tests.engine.processes import PATIENCE, context, wait_for


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts ``measure`` in a process; it is ended after the test."""
    monkeypatch.chdir(tmp_path)
    started = []

    def start(name, **options):
        (tmp_path / name).mkdir(exist_ok=True)
        process = context().Process(target=measure, args=(str(tmp_path / name), str(tmp_path / f"{name}.log")),
                                    kwargs=options)
        process.start()
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.join()


def finish(*processes):
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def pictures(folder):
    return {path.name: np.asarray(Image.open(path)) for path in sorted((folder / "kept").glob("*.png"))}


def same(first, second):
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def figures(folder, rank=0):
    metrics = json.loads((folder / f"metrics{rank}.json").read_text())
    return {name: value for name, value in metrics.items() if name.startswith("fake/")}


def painted(tmp_path, name):
    return (tmp_path / f"{name}.log").read_text().splitlines()


def test_a_test_that_was_killed_goes_on(start, tmp_path):
    finish(start("whole"))
    process = start("parts", seconds=0.3, batch_size=1)
    wait_for(tmp_path / "parts.log", "picture 3", process)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "parts/kept").glob("*.png")}
    assert 3 <= len(kept) < len(PROMPTS), "it was killed midway"
    before = painted(tmp_path, "parts")
    finish(start("parts"))
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "what is there is not made again"
    assert len(painted(tmp_path, "parts")) - len(before) == len(PROMPTS) - len(kept)
    assert same(pictures(tmp_path / "parts"), pictures(tmp_path / "whole"))
    assert figures(tmp_path / "parts") == figures(tmp_path / "whole") and figures(tmp_path / "whole")["fake/n"] == 7


@pytest.mark.slow
def test_two_processes_make_the_pictures_and_figures_of_one(start, tmp_path):
    finish(start("one"))
    finish(*(start("two", rank=rank, world_size=2) for rank in (0, 1)))
    assert same(pictures(tmp_path / "one"), pictures(tmp_path / "two")) and len(pictures(tmp_path / "two")) == 7
    assert len(painted(tmp_path, "two")) in (7, 8)  # seven are no even number: one is asked for twice
    assert figures(tmp_path / "one") == figures(tmp_path / "two") == figures(tmp_path / "two", rank=1)
