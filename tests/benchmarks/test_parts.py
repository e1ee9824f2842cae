"""What is spent goes to the innermost part, and everything is put back."""

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.parts import PARTS, Parts


class Ticks:
    """A counter that is told how far it is."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def ticks() -> Iterator[Ticks]:
    yield Ticks()


def test_a_part_in_another_is_charged_alone(ticks: Ticks) -> None:
    parts = Parts(ticks)
    parts.clear()
    ticks.now = 5  # before a part is open
    with parts.part("loss"):
        ticks.now = 6
        with parts.part("student"):
            ticks.now = 16
            with parts.part("loss"):
                ticks.now = 17
        ticks.now = 37
    ticks.now = 100
    with parts.part("data"):
        ticks.now = 200
    assert parts.charged == {**dict.fromkeys(PARTS, 0.0), "loss": 1 + 1 + 20, "student": 10, "data": 100}


def test_an_error_closes_its_part(ticks: Ticks) -> None:
    parts = Parts(ticks)
    parts.clear()
    with parts.part("loss"):
        with pytest.raises(KeyError), parts.part("student"):
            ticks.now = 3
            raise KeyError
        ticks.now = 4
    assert (parts.charged["student"], parts.charged["loss"]) == (3, 1)


def test_nothing_is_charged_while_it_is_not_active(ticks: Ticks) -> None:
    parts = Parts(ticks)
    parts.clear()
    parts.active = False
    with parts.part("loss"):
        ticks.now = 3
    parts.active = True
    with parts.part("data"):
        ticks.now = 4
    assert sum(parts.charged.values()) == parts.charged["data"] == 1


def test_functions_of_objects_and_classes_are_put_back(ticks: Ticks) -> None:
    class Runs:
        def step(self, by: float) -> float:
            ticks.now += by
            return by

    parts, one, own = Parts(ticks), Runs(), Runs.step
    parts.clear()
    of_object: Any = parts.wrap(one, "step", "student")
    assert one.step(2) == 2 and Runs().step(1) == 1
    assert parts.charged["student"] == 2
    of_object()
    assert "step" not in vars(one)
    of_class = parts.wrap(Runs, "step", "teacher")
    assert one.step(by=4) == 4
    of_class()
    assert Runs.step is own and parts.charged["teacher"] == 4
    one.step(8)
    assert sum(parts.charged.values()) == 6
