"""Training and testing from the command line, in a folder of the user's."""

import os
import re
import signal

import pytest

from diffkit import cli
from diffkit.engine.lock import WorkDirLock
from diffkit.engine.loops import StepLoop
from tests.test_launch import CONFIG


@pytest.fixture
def folder(sd_folder, tmp_path, monkeypatch):
    """The working directory, with a config ``tiny_lora.py`` in it."""
    (tmp_path / "tiny_lora.py").write_text(CONFIG.format(pretrained=str(sd_folder)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_leaves_a_step_folder_and_resume_goes_on(folder, capsys):
    assert cli.main(["train", "tiny_lora.py"]) == 0
    step = folder / "work_dirs" / "tiny_lora" / "step1"
    assert (step / "manifest.json").is_file()
    assert (step / "pytorch_lora_weights.safetensors").is_file()

    assert cli.main(["train", "tiny_lora.py", "--resume", "--cfg-options", "train_cfg.max_iters=3"]) == 0
    assert (folder / "work_dirs" / "tiny_lora" / "step2").is_dir()


def test_work_dir_and_options(folder):
    options = ["--cfg-options", "train_cfg.max_iters=1", "randomness.seed=3"]
    assert cli.main(["train", "tiny_lora.py", "--work-dir", "results/here", *options]) == 0
    assert (folder / "results/here/step0/manifest.json").is_file()
    assert not (folder / "work_dirs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.py"], "no file 'nothing.py'"),
        (["tiny_lora.py", "--cfg-options", "train_cfg.max_itres=1"], 'did you mean "max_iters"'),
        (["tiny_lora.py", "--resume", "no/such/step9"], "no/such/step9"),
        (["tiny_lora.py", "--launcher", "slurm"], "SLURM_PROCID"),
        (["tiny_lora.py", "--cfg-options", "model.pretrained=./gone"], "gone"),
    ],
)
def test_a_mistake_is_one_message_and_status_1(folder, arguments, message, capsys):
    assert cli.main(["train", *arguments]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not list(folder.glob("work_dirs/*/step*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_with_a_step_folder_and_its_own_status(folder, monkeypatch, number, status):
    run_step = StepLoop._run_step

    def told_to_stop(loop, batches):
        os.kill(os.getpid(), number)
        run_step(loop, batches)

    monkeypatch.setattr(StepLoop, "_run_step", told_to_stop)
    with pytest.raises(SystemExit) as end:
        cli.main(["train", "tiny_lora.py"])
    assert end.value.code == status
    assert [path.name for path in folder.glob("work_dirs/tiny_lora/step*")] == ["step0"]


def test_no_room_and_a_folder_in_use_are_one_message_and_status_1(folder, monkeypatch, capsys):
    monkeypatch.setattr("diffkit.engine.disk.free_bytes", lambda path: 0)
    assert cli.main(["train", "tiny_lora.py"]) == 1
    error = capsys.readouterr().err
    assert re.search(r"^error: no room for a checkpoint .* \(\d+ bytes\), .* \(0 bytes\) are free", error, re.MULTILINE)
    assert "Traceback" not in error
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    lock = WorkDirLock(folder / "work_dirs/tiny_lora")
    lock.acquire()
    assert cli.main(["train", "tiny_lora.py"]) == 1
    lock.release()
    error = capsys.readouterr().err
    assert f"error: work_dir work_dirs/tiny_lora is in use by another training (process {os.getpid()})" in error
    assert "Traceback" not in error


def test_test_says_what_is_missing(folder, capsys):
    assert cli.main(["test", "tiny_lora.py"]) == 1
    assert "it lacks test_dataloader, test_cfg, test_evaluator" in capsys.readouterr().err
    assert cli.main(["test", "tiny_lora.py", "--checkpoint", "gone/step1"]) == 1
    assert "checkpoint: no step folder 'gone/step1'" in capsys.readouterr().err
    assert cli.main(["test", "tiny_lora.py", "a", "--checkpoint", "b"]) == 1
    assert "given twice" in capsys.readouterr().err


def test_check(folder, capsys):
    assert cli.main(["check", "tiny_lora.py"]) == 0
    assert "no faults" in capsys.readouterr().out
    assert cli.main(["check", "tiny_lora.py", "--cfg-options", "optim_wrapper.optimiser=1"]) == 1
