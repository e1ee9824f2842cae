"""The command line: fast help, one parser for a command and its script, one message for a mistake."""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from diffkit import cli
from diffkit.version import __version__

ROOT = Path(__file__).resolve().parents[1]
#: The scripts of tools/ and their commands.
SCRIPTS = {
    "train": "train",
    "test": "test",
    "demo_lora": "demo_lora",
    "text2images": "text2images",
    "check_config": "check",
    "app": "app",
}
HEAVY = ("torch", "mmengine", "diffusers", "transformers", "peft", "numpy", "scipy")


def call(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    """Runs Python with the package on its path."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", **environment}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True)


@pytest.mark.parametrize(
    "command", ["--help", *(f"{name} --help" for name in cli.COMMANDS), "--version", "version", "list-cfg"]
)
def test_nothing_heavy_is_imported_for_help(command, capsys):
    code = f"""
import sys
from diffkit.cli import main
try:
    main({command.split()!r})
except SystemExit as end:
    assert end.code == 0, end.code
print("heavy:", [name for name in {HEAVY!r} if name in sys.modules])
"""
    result = call("-c", code)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("heavy: []\n"), result.stdout


def test_a_check_imports_no_networks_and_few_modules():
    """The start in figures that do not depend on the machine: torch alone would be 1500 modules."""
    code = """
import sys
from diffkit.cli import main
try:
    main(["check", "mini_sd_dreambooth_lora"])
except SystemExit as end:
    assert end.code in (0, None), end.code
print("heavy:", [name for name in %r if name in sys.modules], len(sys.modules))
"""
    heavy = ("torch", "diffusers", "transformers", "peft", "scipy", "matplotlib", "diffkit.models")
    result = call("-c", code % (heavy,))
    assert result.returncode == 0, result.stderr
    found, _, count = result.stdout.splitlines()[-1].rpartition(" ")
    assert found == "heavy: []"
    assert int(count) < 800  # 500 to 600, most of them Python's own


@pytest.mark.parametrize(("script", "command"), SCRIPTS.items())
def test_a_script_and_its_command_share_their_arguments(script, command):
    by_script = call(str(ROOT / "tools" / f"{script}.py"), "-h")
    by_command = call("-m", "diffkit", command, "-h")
    assert by_script.returncode == by_command.returncode == 0
    assert _options(by_script.stdout) == _options(by_command.stdout)


def test_every_script_of_tools_has_help():
    for path in sorted((ROOT / "tools").glob("*.py")):
        result = call(str(path), "--help")
        assert result.returncode == 0, f"{path.name}: {result.stderr}"


def test_help_of_train_does_not_set_off_mims_gpu_options():
    """mim appends ``--gpus N`` or ``--device cpu`` to scripts whose help has the word."""
    text = call(str(ROOT / "tools" / "train.py"), "-h").stdout
    assert "--gpus" not in text


def test_both_spellings_of_local_rank_are_understood():
    from diffkit.commands import train

    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    for spelling in ("--local-rank=1", "--local_rank=1"):
        assert parser.parse_args(["c.py", spelling]).local_rank == 1


@pytest.mark.parametrize(
    ("arguments", "resume"), [([], None), (["--resume"], "auto"), (["--resume", "a/step9"], "a/step9")]
)
def test_resume_is_off_automatic_or_a_path(arguments, resume):
    from diffkit.commands import train

    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    assert parser.parse_args(["c.py", *arguments]).resume == resume


def test_a_wrong_command_line_is_status_2(capsys):
    for arguments in ([], ["no-such-command"], ["train"], ["train", "c.py", "--cfg-options", "novalue"]):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        assert end.value.code == 2
    assert "expected KEY=VALUE, got 'novalue'" in capsys.readouterr().err


def test_a_mistake_of_the_user_is_one_line(capsys):
    assert cli.main(["copy-cfg", "no_such_config"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: config: no file 'no_such_config'")
    assert "Traceback" not in error


def test_debug_shows_the_traceback(capsys, monkeypatch):
    assert cli.main(["copy-cfg", "no_such_config", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("DIFFKIT_DEBUG", "1")
    assert cli.main(["copy-cfg", "no_such_config"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "fault", [lambda: None.shape, lambda: int("x"), lambda: Path("/no/such/file").read_text()]
)
def test_a_fault_of_the_program_keeps_its_traceback(fault, capsys, monkeypatch):
    monkeypatch.setattr("diffkit.commands.version.run", lambda args: fault())
    assert cli.main(["version"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_status_130(monkeypatch, capsys):
    def interrupt(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("diffkit.commands.version.run", interrupt)
    assert cli.main(["version"]) == 130


def test_the_rank_is_named_where_several_processes_run(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert cli.main(["copy-cfg", "no_such_config"]) == 1
    assert capsys.readouterr().err.startswith("[rank 1] error: ")


def test_version(capsys):
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out == f"{__version__}\n"


def test_run_starts_a_script_by_name(capsys):
    assert cli.main(["run"]) == 0
    assert set(SCRIPTS) <= set(capsys.readouterr().out.split())
    assert cli.main(["run", "trian"]) == 1
    assert 'did you mean "train"' in capsys.readouterr().err
    result = call("-m", "diffkit", "run", "demo_lora", "--help")
    assert result.returncode == 0
    assert "--sdmodel" in result.stdout


def test_run_has_the_exit_status_of_the_script():
    assert call("-m", "diffkit", "run", "demo_lora", "only a prompt").returncode == 2


def test_doctor_reports(capsys):
    cli.main(["doctor"])
    text = capsys.readouterr().out
    assert "python" in text
    assert "GPU" in text


def _options(help_text: str) -> list[str]:
    return sorted(set(re.findall(r"(?<!\w)--?[a-z][\w-]*", help_text.split("options:")[1])))
