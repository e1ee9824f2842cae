"""Mistakes made at random in shipped configs: each must be refused, with the right key, file and name."""

import os
from collections import Counter
from pathlib import Path

import pytest

from diffkit.utils.config_check import Fault
from tests.utils.config_check_kit import faults_of
from tests.utils.config_mutations import Mutation, copy_with_bases, mutations

ROOT = Path(__file__).parents[2] / "configs"
#: The mistakes are made in these and in their bases.
CONFIGS = sorted(path for path in ROOT.rglob("*.py") if "_base_" not in path.parts)


def is_named(fault: Fault, mutation: Mutation) -> bool:
    """Returns whether a fault names the key and the file of a mistake."""
    last = fault.key.split(".")[-1].removeprefix("import ")
    names = {mutation.key, "type"} if mutation.kind == "import" else {mutation.key}
    return last in names and Path(fault.file).resolve() == mutation.file.resolve()


def try_mutations(folder: Path, count: int) -> Counter[str]:
    """Makes ``count`` mistakes and counts what was said about them."""
    counts: Counter[str] = Counter()
    each = -(-count // len(CONFIGS))
    for number, config in enumerate(CONFIGS):
        path = copy_with_bases(config, folder / config.stem)
        before = {(fault.key, fault.message) for fault in faults_of(path)}  # data that this machine lacks
        for mutation in mutations(path, number, each):
            faults = [fault for fault in faults_of(path) if (fault.key, fault.message) not in before]
            named = [fault for fault in faults if is_named(fault, mutation)]
            counts["made"] += 1
            counts["refused"] += bool(faults)
            counts["key"] += bool(named)
            counts["line"] += any(fault.line == mutation.line for fault in named)
            if mutation.near:
                counts["has near"] += 1
                counts["near"] += any(f'did you mean "{mutation.near}"' in fault.message for fault in faults)
    return counts


@pytest.mark.parametrize(
    "count",
    [
        60,
        pytest.param(
            500,
            marks=pytest.mark.skipif(
                "DIFFKIT_LONG_TESTS" not in os.environ, reason="a minute of CPU; set DIFFKIT_LONG_TESTS=1"
            ),
        ),
    ],
)
def test_mistakes_are_refused_with_their_key(tmp_path, count):
    counts = try_mutations(tmp_path, count)
    assert counts["made"] >= 60
    assert counts["refused"] == counts["made"]
    assert counts["key"] >= 0.95 * counts["made"]
    assert counts["line"] >= 0.95 * counts["made"]
    assert counts["near"] >= 0.9 * counts["has near"]
    print(dict(counts))
