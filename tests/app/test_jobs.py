"""One piece of work at a time, and an app that goes on whatever happens to it."""

import threading
import time

import pytest

from diffkit.app import jobs
from diffkit.app.fields import FieldError
from diffkit.app.jobs import Jobs


def ended(job):
    deadline = time.monotonic() + 20
    while job.state in ("waiting", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return job


def test_one_at_a_time_and_in_their_order():
    queue, busy, seen, gate = Jobs(), threading.Lock(), [], threading.Event()

    def work(number):
        def run(job):
            gate.wait(20)
            assert busy.acquire(blocking=False)
            seen.append(number)
            busy.release()
            return number
        return run

    added = [queue.add(work(number)) for number in range(4)]
    deadline = time.monotonic() + 20
    while added[0].state != "running":
        assert time.monotonic() < deadline
    assert [queue.ahead(job) for job in added] == [0, 1, 2, 3]
    gate.set()
    assert [ended(job).result for job in added] == seen == [0, 1, 2, 3]


def test_a_failure_is_told_and_the_next_one_runs(capsys):
    queue = Jobs()

    def mistake(job):
        raise FieldError("steps", "given 0; allowed: 1 or more")

    def fault(job):
        return {}["nothing"]

    def no_memory(job):
        raise RuntimeError("CUDA out of memory")

    assert ended(queue.add(fault)).error.startswith("the program failed (KeyError: 'nothing')")
    assert "Traceback" in capsys.readouterr().err
    assert ended(queue.add(no_memory)).error.startswith("there was not enough memory")
    assert ended(queue.add(lambda job: 5)).result == 5
    job = ended(queue.add(mistake))
    assert job.state == "failed"


def test_cancelling_ends_what_runs_and_what_waits():
    queue, running = Jobs(), threading.Event()

    def endless(job):
        running.set()
        while True:
            job.report("working", 0.5)
            time.sleep(0.001)

    first, second = queue.add(endless), queue.add(lambda job: 1)
    assert running.wait(20)
    queue.cancel(second.key)
    queue.cancel(first.key)
    assert ended(first).state == ended(second).state == "cancelled" and second.result is None
    assert ended(queue.add(lambda job: 2)).result == 2


def test_a_full_queue_refuses_and_old_results_are_dropped(monkeypatch):
    dropped, gate = [], threading.Event()
    monkeypatch.setattr(jobs, "MOST_WAITING", 2)
    monkeypatch.setattr(jobs, "KEPT", 3)
    queue = Jobs(forget=dropped.append)
    first = queue.add(lambda job: gate.wait(20) and "first")
    deadline = time.monotonic() + 20
    while first.state != "running":
        assert time.monotonic() < deadline
    more = [queue.add(lambda job, n=n: n) for n in ("second", "third")]
    with pytest.raises(FieldError, match="2 pieces of work wait already"):
        queue.add(lambda job: None)
    gate.set()
    for job in (first, *more):
        ended(job)
    ended(queue.add(lambda job: "fourth"))
    assert dropped == ["first"]
    with pytest.raises(FieldError, match="only the last 3"):
        queue.get(first.key)
