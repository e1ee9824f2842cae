"""Trainings as processes: started, followed, stopped and resumed; a small script stands for diffkit."""

import json
import signal
import sys
import time

import pytest
from PIL import Image

from diffkit.app import trainings as module
from diffkit.app.fields import FieldError
from diffkit.app.photos import Photos
from diffkit.app.roots import Roots
from diffkit.app.settings_file import read_wish
from diffkit.app.trainings import Trainings
from diffkit.utils.images import save_png
from tests.app.test_photos import picture

#: Goes over the iterations, logs each, and at its end or at the signal leaves a step folder.
SCRIPT = """
import fcntl, json, os, pathlib, signal, sys, time
folder, resume, total = pathlib.Path(sys.argv[1]), sys.argv[2] == "True", int(sys.argv[3])
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
steps = sorted(int(path.name[4:]) for path in folder.glob("step*"))
log = folder / ("2" if resume else "1") / "vis_data" / "scalars.json"
log.parent.mkdir(parents=True)
iteration = steps[-1] + 1 if resume and steps else 0
print("begins at", iteration, flush=True)
lock = (folder / ".lock").open("w")  # as a training does
fcntl.flock(lock, fcntl.LOCK_EX)
print(os.getpid(), file=lock, flush=True)
if (folder / "fail").exists():
    print("error: data_root: nothing there")
    sys.exit(1)
while iteration < total and not (stop and iteration):
    iteration += 1
    with log.open("a") as file:
        file.write(json.dumps(dict(step=iteration, iter=iteration, loss=1 / iteration, time=0.5)) + "\\n")
    time.sleep(0.02)
(folder / f"step{iteration - 1}").mkdir()
sys.exit(143 if stop else 0)
"""


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Trainings in a work folder, and a set of one photograph."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")

    def command(config, folder, resume):
        total = json.loads((folder / "app" / "app.json").read_text(encoding="utf-8"))["iterations"]
        return [sys.executable, str(script), str(folder), str(resume), str(total)]

    monkeypatch.setattr(module, "train_command", command)
    monkeypatch.setattr(module, "check_written", lambda path: [])
    (tmp_path / "work").mkdir()
    photos = Photos()
    trainings = Trainings(Roots([tmp_path / "work"]), photos)
    key = photos.new()
    photos.add(key, "a.png", picture())
    yield trainings, key
    trainings.close()
    photos.close()


def wish(name="dog", iterations=3):
    return read_wish({"config": "mini_sd_dreambooth_lora", "name": name, "class_word": "dog", "iterations": iterations})


def until(trainings, condition, name="dog"):
    deadline = time.monotonic() + 60
    while not condition(found := trainings.progress(name)):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


def test_from_photographs_to_a_step_folder(made, tmp_path):
    trainings, key = made
    assert trainings.start(wish(), key) == []
    folder = tmp_path / "work" / "dog"
    assert (folder / "app" / "dog.py").is_file() and (folder / "app" / "photos" / "photo_001.png").is_file()
    found = until(trainings, lambda found: found["state"] == "done")
    assert (found["iteration"], found["iterations"], found["photos"], found["subject"]) == (3, 3, 1, "sks dog")
    assert found["losses"] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert [step["label"] for step in found["steps"]] == ["work/dog/step2"] and found["log"] == ["begins at 0"]
    assert trainings.names() == ["dog"]
    with pytest.raises(FieldError, match="dog is done: all 3 iterations"):
        trainings.resume("dog")
    with pytest.raises(FieldError, match="work/dog is there already"):
        trainings.start(wish(), key)


def test_stop_keeps_a_checkpoint_and_resume_goes_on_from_it(made):
    trainings, key = made
    trainings.start(wish(iterations=60), key)
    found = until(trainings, lambda found: found["iteration"] >= 2)
    assert found["state"] == "running" and found["seconds_left"] == 0.5 * (60 - found["iteration"])
    with pytest.raises(FieldError, match="dog runs, and only one may at a time"):
        trainings.start(wish("cat"), key)
    trainings.stop("dog")
    trainings.stop("dog")  # a second signal would end it without a checkpoint
    stopped = until(trainings, lambda found: found["state"] == "stopped")
    assert 2 <= stopped["iteration"] < 60 and stopped["seconds_left"] is None and len(stopped["steps"]) == 1
    with pytest.raises(FieldError, match="dog does not run"):
        trainings.stop("dog")
    trainings.resume("dog")
    done = until(trainings, lambda found: found["state"] == "done")
    assert done["log"][-1] == f"begins at {stopped['iteration']}" and done["iteration"] == 60


def test_the_end_of_the_app_stops_trainings_with_a_checkpoint_and_a_new_app_goes_on(made, tmp_path):
    trainings, key = made
    trainings.start(wish(iterations=60), key)
    until(trainings, lambda found: found["iteration"] >= 2)
    trainings.close()
    again = Trainings(trainings.roots, trainings.photos)
    assert again.progress("dog")["state"] == "stopped" and len(again.progress("dog")["steps"]) == 1
    again.resume("dog")
    until(again, lambda found: found["state"] == "done")


def test_a_training_of_another_app_is_known_and_can_be_stopped(made):
    """Of one that was killed, too: its trainings go on without it."""
    trainings, key = made
    trainings.start(wish(iterations=400), key)
    until(trainings, lambda found: found["iteration"] >= 2)
    other = Trainings(trainings.roots, trainings.photos)
    found = other.progress("dog")
    assert found["state"] == "running" and found["seconds_left"] > 0
    with pytest.raises(FieldError, match="dog runs, and only one may at a time"):
        other.start(wish("cat"), key)
    with pytest.raises(FieldError, match="dog runs, and only one may at a time"):
        other.resume("dog")
    other.close()
    assert other.progress("dog")["state"] == "running"  # it is not this one's
    other.stop("dog")
    assert until(other, lambda found: found["state"] != "stopping")["state"] == "stopped"
    assert len(other.progress("dog")["steps"]) == 1


def test_a_failure_is_shown_in_words(made, tmp_path):
    trainings, key = made
    trainings.start(wish(iterations=60), key)
    trainings.stop("dog")
    until(trainings, lambda found: found["state"] == "stopped")
    (tmp_path / "work" / "dog" / "fail").touch()
    trainings.resume("dog")
    found = until(trainings, lambda found: found["state"] == "failed")
    assert found["error"] == "error: data_root: nothing there"


def test_an_app_that_a_shell_started_in_the_background_can_stop_a_training_that_begins(made):
    trainings, key = made
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as sh does for what it starts with &
    try:
        trainings.start(wish(iterations=200), key)
    finally:
        signal.signal(signal.SIGINT, before)
    trainings.stop("dog")
    assert until(trainings, lambda found: found["state"] in ("stopped", "done"))["state"] == "stopped"


def test_faults_of_the_config_leave_nothing_behind(made, tmp_path, monkeypatch):
    trainings, key = made

    def faulty(path):
        raise ValueError("1 fault in dog.py; nothing was loaded:\n  train_cfg.max_iters: …")

    monkeypatch.setattr(module, "check_written", faulty)
    with pytest.raises(FieldError, match=r"1 fault in dog.py") as caught:
        trainings.start(wish(), key)
    assert caught.value.field == "config" and not list((tmp_path / "work").iterdir())
    with pytest.raises(FieldError, match="drop them again"):
        trainings.start(wish(), "no such key")
    assert not list((tmp_path / "work").iterdir())


def test_only_pictures_that_are_listed_are_given_out(made, tmp_path):
    trainings, key = made
    trainings.start(wish(), key)
    samples = tmp_path / "work" / "dog" / "samples"
    samples.mkdir()
    save_png(Image.new("RGB", (8, 8)), samples / "step000000_0_a-dog.png", {"prompt": "a dog"})
    (tmp_path / "secret.png").write_bytes((samples / "step000000_0_a-dog.png").read_bytes())
    (samples / "step000001_0_link.png").symlink_to(tmp_path / "secret.png")
    found = until(trainings, lambda found: found["state"] == "done")
    assert found["samples"] == [{"file": "step000000_0_a-dog.png", "step": 0, "prompt": "a dog"}]
    assert trainings.sample("dog", "step000000_0_a-dog.png").is_file()
    for name in ("step000001_0_link.png", "../app/app.json", "../../../secret.png"):
        with pytest.raises(FieldError, match="no sample picture"):
            trainings.sample("dog", name)
    for name in ("..", "dog/..", "", "cat"):
        with pytest.raises(FieldError, match="no training"):
            trainings.progress(name)
