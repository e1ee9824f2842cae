"""Times of several computations, taken in turns on one thread of one process."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch

from diffkit.apis.measure.pictures import Say, quiet

#: Processor time may exceed the clock's by so much before it is plain that more than one thread computed.
ONE_THREAD = 1.15


@contextmanager
def one_thread() -> Iterator[None]:
    """Lets torch compute with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def interleaved(runs: Mapping[str, Callable[[], Any]], rounds: int, say: Say = quiet) -> dict[str, dict[str, Any]]:
    """Runs each once without counting, then all in turn, each round beginning with another one.

    Args:
        runs: what is timed, by name.
        rounds: 1 or more.
        say: called with a line after each round.

    Returns:
        For each name ``cpu_seconds`` and ``seconds`` by the clock, both as lists with a value for each round.

    Raises:
        ValueError: rounds is below 1.
        RuntimeError: something computed with more than one thread.
    """
    if rounds < 1:
        raise ValueError(f"rounds must be at least 1, got {rounds}")
    found: dict[str, dict[str, Any]] = {name: {"cpu_seconds": [], "seconds": []} for name in runs}
    names = list(runs)
    for run in runs.values():
        run()
    for number in range(rounds):
        for name in names[number % len(names):] + names[:number % len(names)]:
            began, worked = time.perf_counter(), time.process_time()
            runs[name]()
            worked, passed = time.process_time() - worked, time.perf_counter() - began
            if worked > ONE_THREAD * passed + 0.02:
                raise RuntimeError(f"{name} took {worked:.2f} s of processors in {passed:.2f} s: more than one thread")
            found[name]["cpu_seconds"].append(worked)
            found[name]["seconds"].append(passed)
        say(f"  round {number + 1} of {rounds}: "
            + ", ".join(f"{name} {found[name]['cpu_seconds'][-1]:.2f} s" for name in names))
    return found


def ratios(times: Mapping[str, Mapping[str, Any]], of: str, to: str) -> dict[str, float]:
    """How many times as long ``of`` took as ``to``: median, least and most of the rounds, in processor time."""
    each = [a / b for a, b in zip(times[of]["cpu_seconds"], times[to]["cpu_seconds"], strict=True)]
    return {"median": median(each), "least": min(each), "most": max(each), "rounds": len(each)}
