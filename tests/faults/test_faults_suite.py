"""The command of the full form: it goes on where it was, beside others, and its table hides nothing."""

import json

import pytest

from tests.faults import __main__ as suite
from tests.faults.experiments import Experiment


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the command on two experiments that only note their trials; returns its status, the trials and the table."""
    trials, faults = [], {}

    def trial(name):
        def note(key, work, pretrained):
            trials.append(name + key)
            if faults.get(name + key) == "breaks":
                raise OSError("no trial")
            if faults.get(name + key) == "skipped":
                return {"skipped_because": "not here", "faults": []}
            return {"faults": [faults[name + key]] if name + key in faults else []}
        return note

    kinds = {name: Experiment(f"title {name}", "expected", ["1", "2", "3"], trial(name), lambda results: "seen")
             for name in "ab"}
    monkeypatch.setattr(suite, "EXPERIMENTS", kinds)
    monkeypatch.setattr(suite, "small_model", lambda folder: folder)

    def run(*arguments, **wrong):
        trials.clear()
        faults.clear()
        faults.update(wrong)
        status = suite.main([*arguments, "--out", str(tmp_path / "out/faults"), "--work-dir", str(tmp_path / "work")])
        return status, list(trials), (tmp_path / "out/faults.md").read_text()

    return run


def test_it_goes_on_where_it_was(run, tmp_path):
    status, trials, table = run("a", a2="too bad")
    assert (status, trials) == (1, ["a1", "a2", "a3"])
    assert "| title a | expected | 2 of 3 | NOT SO: 2: too bad |" in table
    assert "| title b | expected | - | not tried yet |" in table
    file = tmp_path / "out/faults.json"
    results = json.loads(file.read_text())
    del results["experiments"]["a"]["2"]
    file.write_text(json.dumps(results))
    status, trials, table = run()
    assert (status, trials) == (0, ["a2", "b1", "b2", "b3"])
    assert "| title a | expected | 3 of 3 | seen |" in table and "Made by `python -m tests.faults` on" in table
    assert run("b", "--anew")[1] == ["b1", "b2", "b3"]


def test_a_trial_that_breaks_is_a_fault_and_one_that_cannot_be_tried_says_so(run):
    status, _, table = run(a1="breaks", b1="skipped", b2="skipped", b3="skipped")
    assert status == 1
    assert "| 2 of 3 | NOT SO: 1: OSError: no trial |" in table
    assert "| title b | expected | - | not here |" in table


def test_what_another_suite_writes_meanwhile_stays(run, tmp_path, monkeypatch):
    run("b")
    original = suite.EXPERIMENTS["a"].run

    def beside(key, work, pretrained):
        with suite._results(tmp_path / "out/faults.json") as results:
            results["experiments"]["b"][f"beside {key}"] = {"faults": []}
        return original(key, work, pretrained)

    monkeypatch.setattr(suite.EXPERIMENTS["a"], "run", beside)
    run("a")
    results = json.loads((tmp_path / "out/faults.json").read_text())["experiments"]
    assert list(results["a"]) == ["1", "2", "3"]
    assert list(results["b"]) == ["1", "2", "3", "beside 1", "beside 2", "beside 3"]


def test_an_unknown_experiment_is_a_mistake(run, capsys):
    with pytest.raises(SystemExit):
        run("c")
    assert "there is no experiment c; there are a, b" in capsys.readouterr().err
