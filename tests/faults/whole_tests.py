"""Faults that are tried by tests of their own: here they only are counted, in their full form."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Kind:
    """Tests of one kind of fault.

    Attributes:
        title: what happens.
        expected: what has to be so.
        tests: files or folders, with arguments of pytest.
        environment: variables that ask for the full form.
    """

    title: str
    expected: str
    tests: list[str]
    environment: dict[str, str] = field(default_factory=dict)


KINDS: dict[str, Kind] = {
    "prepared": Kind("adapters, learned vectors, checkpoints, tokenizers and configs of models that somebody prepared",
                     "nothing is executed, what is wrong is said in words",
                     ["tests/faults/test_input_adapters.py", "tests/faults/test_input_checkpoints.py",
                      "tests/faults/test_input_configs.py", "tests/faults/test_input_weights.py",
                      "tests/utils/test_foreign_code.py", "tests/utils/test_vocabulary.py",
                      "tests/utils/test_weight_files.py"]),
    "configs": Kind("500 mutated configs", "all are rejected before weights load, the right key named in 95 %",
                    ["tests/utils/test_config_check_mutations.py"], {"DIFFKIT_LONG_TESTS": "1"}),
}


def runner(kind: Kind) -> Callable[[str, Path, Path], dict[str, Any]]:
    """A trial that runs the tests."""

    def run(key: str, work: Path, pretrained: Path) -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder:
            report = Path(folder) / "report.xml"
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
                       *kind.tests]
            environment = os.environ | kind.environment
            result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
            if not report.is_file():
                return {"faults": [result.stdout[-3000:] + result.stderr[-3000:]], "passed": 0, "skipped": 0}
            suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
        counts = {name: sum(int(suite.get(name, 0)) for suite in suites)
                  for name in ("tests", "failures", "errors", "skipped")}
        failed = counts["failures"] + counts["errors"]
        faults = [result.stdout[-3000:]] if failed or result.returncode else []
        return {"passed": counts["tests"] - failed - counts["skipped"], "skipped": counts["skipped"],
                "failed": failed, "faults": faults}

    return run


def seen(results: dict[str, dict[str, Any]]) -> str:
    """How many tests passed."""
    (result,) = results.values()
    skipped = f", {result['skipped']} skipped" if result["skipped"] else ""
    return f"{result['passed']} tests passed{skipped}"
