"""The documentation builds without a warning, and its reference has every class."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from diffkit import registry
from tests.docs.pages import ROOT


def registries() -> list[str]:
    """Names of the registries that have classes of diffkit."""
    found = []
    for name in vars(registry):
        if name.isupper() and name != "SCOPE":
            root = getattr(registry, name)
            root.import_from_location()
            if any(value.__module__.startswith("diffkit.") for value in root.module_dict.values()):
                found.append(name)
    return found


def test_the_reference_has_every_registry() -> None:
    text = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert set(re.findall(r"```\{registered\} (\w+)", text)) == set(registries())


@pytest.mark.slow
def test_the_documentation_builds_without_a_warning(tmp_path: Path) -> None:
    missing = [package for package in ("sphinx", "myst_parser", "furo") if find_spec(package) is None]
    assert not missing, "the tests build the documentation: pip install -r requirements/docs.txt, or make env"
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(ROOT / "docs"), str(tmp_path)],
        capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "target_modules" in (tmp_path / "reference.html").read_text(encoding="utf-8")
