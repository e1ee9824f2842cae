"""Numbers of a report: rounding that gives one digit more, and files that hold none."""

import pytest

from diffkit.apis.report.figures import count, number
from diffkit.apis.report.run import read_runs
from tests.apis.report_kit import work_dir


def test_numbers_that_round_up_to_more_digits():
    assert [number(x) for x in (9999.7, -9999.9, 0.99996, 9999.4)] == ["10,000", "-10,000", "1", "9999"]
    assert [count(x) for x in (999, 999_600, 999.7e9)] == ["999", "1 M", "1 T"]


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a": ' * 100_000, '{"a": 1' + "0" * 400 + "}"],
                         ids=["lists", "dicts", "large"])
def test_files_of_somebody_else_do_not_end_the_report(text, tmp_path):
    folder = work_dir(tmp_path / "one")
    (wanted,) = read_runs([folder])
    (folder / "deep.json").write_text(text)
    for file in folder.glob("*/vis_data/scalars.json"):
        file.write_text(file.read_text() + f"\n{text}\n")
    (run,) = read_runs([folder])
    assert (run.curves, run.results) == (wanted.curves, wanted.results)
