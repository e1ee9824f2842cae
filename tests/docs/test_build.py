"""The documentation builds without a warning, and its reference has every class."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.pages import ROOT
from tests.docs.test_reference import ARGUMENTS, REGISTERED


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    missing = [package for package in ("sphinx", "myst_parser", "furo") if find_spec(package) is None]
    assert not missing, "the tests build the documentation: pip install -r requirements/docs.txt, or make env"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path)],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not undescribed((tmp_path / "reference.html").read_text(encoding="utf-8"))


def undescribed(reference: str) -> list[str]:
    """Registered classes, and arguments of theirs, that the built page does not show."""
    missing = []
    for value in REGISTERED:
        name = f"{value.__module__}.{value.__qualname__}"
        entry = reference.partition(f'id="{name}"')[2].partition('<dt class="sig')[0]
        missing += [f"{name}({each})" for each in ARGUMENTS.meanings(value) if f"<strong>{each}</strong>" not in
                    entry.replace("**", "")]
        missing += [] if entry else [name]
    return missing
