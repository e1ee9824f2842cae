"""Configs that look like data and run code are refused; the check of Python configs has tests of its own."""

from contextlib import suppress

import pytest
from mmengine.config import Config

from diffkit import cli


@pytest.fixture
def evil(tmp_path):
    """A config that makes a file when it is read, and that file."""
    marker = tmp_path / "executed"
    text = f"model: !!python/object/apply:builtins.open ['{marker}', 'w']\n"
    (tmp_path / "evil.yaml").write_text(text)
    return tmp_path / "evil.yaml", marker


@pytest.mark.parametrize("command", [["train"], ["check"], ["check", "--safe"], ["test"], ["copy-cfg"]])
@pytest.mark.parametrize("suffix", [".yaml", ".yml", ".json", ".pkl", ""])
def test_only_python_is_a_config(evil, capsys, command, suffix):
    path, marker = evil
    renamed = path.rename(path.with_suffix(suffix))
    assert cli.main([*command, str(renamed)]) == 1
    error = capsys.readouterr().err
    assert "config must be a Python file (.py)" in error and "Traceback" not in error
    assert not marker.exists()


def test_it_runs_where_it_is_read_naively(evil):
    path, marker = evil
    with suppress(Exception):
        Config.fromfile(path)
    assert marker.exists()
