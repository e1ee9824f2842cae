"""Trainings that the page starts: each a process of its own, which ends with a checkpoint when it is told to."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any

from diffkit.app.fields import FieldError, file_name
from diffkit.app.photos import Photos
from diffkit.app.roots import Roots
from diffkit.app.settings_file import Wish, check_written, write_config
from diffkit.utils.user_errors import describe

#: Beside the step folders: what the app was asked for, the config, the photographs, and what the training printed.
OWN, ABOUT, LOG = "app", "app.json", "training.log"
#: Seconds that a training has for its checkpoint when the app ends.
PATIENCE = 120.0
#: Not SIGINT: what a shell has started with "&" ignores that until it has said otherwise.
_STOP = signal.SIGTERM
_POINTS, _LINES, _TAIL, _SAMPLES = 300, 12, 64_000, 24


class Trainings:
    """The trainings in the work folder, one of them running at most.

    Args:
        roots: the first is the work folder.
        photos: where dropped photographs lie.
    """

    def __init__(self, roots: Roots, photos: Photos) -> None:
        self.roots, self.photos = roots, photos
        self._running: dict[str, subprocess.Popen] = {}
        self._told: set[int] = set()  # processes that were told to end
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Trainings that the app began, the newest first."""
        found = [path for path in self.roots.work.glob(f"*/{OWN}/{ABOUT}") if self.roots.holds(path)]
        return [path.parents[1].name for path in sorted(found, key=lambda path: -path.stat().st_mtime)]

    def start(self, wish: Wish, photos: str) -> list[str]:
        """Writes the config, checks it and starts the training; returns what the check has to say.

        Raises:
            FieldError: the name is taken, there are no photographs, another training runs, or the config has faults.
        """
        with self._lock:
            self._refuse_second()
            folder = self.roots.work / wish.name
            if folder.exists():
                raise FieldError("name", f"{self.roots.short(folder)} is there already; choose another name")
            try:
                count = self.photos.copy(photos, folder / OWN / "photos")
                config = write_config(wish, folder / OWN / "photos", folder / OWN)
                cautions = check_written(config)
            except Exception as error:
                shutil.rmtree(folder, ignore_errors=True)
                if isinstance(error, FieldError) or not isinstance(error, ValueError | OSError):
                    raise
                raise FieldError("config", describe(error)) from None
            about = {"config": wish.recipe.name, "file": config.name, "iterations": wish.iterations,
                     "subject": wish.subject, "photos": count, "learning_rate": wish.learning_rate, "seed": wish.seed}
            (folder / OWN / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
            self._launch(wish.name, resume=False)
            return cautions

    def resume(self, name: str) -> None:
        """Goes on from the newest checkpoint; from the start where there is none.

        Raises:
            FieldError: it runs, is done, or there is none of that name.
        """
        with self._lock:
            from diffkit.engine.checkpoint import list_steps

            about = self._about(name)
            self._refuse_second()
            steps = list_steps(self.roots.work / name)
            if steps and steps[-1][0] + 1 >= about["iterations"]:
                raise FieldError("training", f"{name} is done: all {about['iterations']} iterations")
            self._launch(name, resume=True)

    def stop(self, name: str) -> None:
        """Tells a training to end after the running iteration, with a checkpoint.

        Raises:
            FieldError: it does not run.
        """
        with self._lock:
            process = self._process(name)
            if process is None:
                raise FieldError("training", f"{name} does not run")
            if process not in self._told:  # a second signal would end it without a checkpoint
                self._send_stop(name, process)

    def close(self) -> None:
        """Tells all that this app began to end, and waits for their checkpoints."""
        with self._lock:
            for name, process in self._running.items():
                if process.poll() is None and process.pid not in self._told:
                    self._send_stop(name, process.pid)
            deadline = time.monotonic() + PATIENCE
            for process in self._running.values():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.1, deadline - time.monotonic()))

    def progress(self, name: str) -> dict[str, Any]:
        """What the page shows of a training: state, iteration, loss, seconds left, samples, step folders, log."""
        from diffkit.apis.report.logged import read_curves
        from diffkit.engine.checkpoint import list_steps

        about, folder = self._about(name), self.roots.work / name
        curves = read_curves(folder)
        losses = curves.get("loss", [])
        steps = list_steps(folder)
        done = max([losses[-1][0] if losses else 0, *(step + 1 for step, _ in steps)])
        state = self._state(name, bool(done), bool(steps) and steps[-1][0] + 1 >= about["iterations"])
        times = [value for _, value in curves.get("time", [])[-20:]]
        left = median(times) * (about["iterations"] - done) if times and state == "running" else None
        return {
            "name": name, "state": state, "iteration": done, **about, "seconds_left": left,
            "losses": _thinned(losses), "samples": self._samples(name),
            "steps": [{"name": str(path), "label": self.roots.short(path)} for _, path in reversed(steps)],
            "log": _tail(folder / OWN / LOG), "error": self._error(name, state),
            "command": f"diffkit train {self.roots.short(folder)}/{OWN}/{about['file']} "
                       f"--work-dir {self.roots.short(folder)} --resume",
        }

    def sample(self, name: str, file: str) -> Path:
        """The file of a sample picture; only names that :meth:`progress` lists are known."""
        self._about(name)
        if file not in {sample["file"] for sample in self._samples(name)}:
            raise FieldError("request", f"{name} has no sample picture {file!r}")
        return self.roots.work / name / "samples" / file

    def _samples(self, name: str) -> list[dict[str, Any]]:
        """Single pictures of all samplings, of the first and the newest where there are many."""
        from diffkit.apis.report.run import read_samples

        found = [sample for sample in read_samples(self.roots.work / name / "samples")
                 if file_name(sample.path.name) and self.roots.holds(sample.path)]
        some = found if len(found) <= _SAMPLES else found[:2] + found[2 - _SAMPLES:]
        return [{"file": sample.path.name, "step": sample.step, "prompt": sample.prompt} for sample in some]

    def _about(self, name: str) -> dict[str, Any]:
        file = self.roots.work / name / OWN / ABOUT
        if not file_name(name) or not file.is_file() or not self.roots.holds(file):
            raise FieldError("training", f"no training {name!r}")
        try:
            about = json.loads(file.read_text(encoding="utf-8"))
            return {"file": f"{name}.py", **about, "iterations": int(about["iterations"])}
        except (OSError, ValueError, KeyError, TypeError):
            raise FieldError("training", f"{name}/{OWN}/{ABOUT} is damaged") from None

    def _refuse_second(self) -> None:
        for name in {*self._running, *self.names()}:
            if self._process(name) is not None:
                raise FieldError("training", f"{name} runs, and only one may at a time; stop it first")

    def _launch(self, name: str, resume: bool) -> None:
        folder = self.roots.work / name
        command = train_command(folder / OWN / self._about(name)["file"], folder, resume)
        with (folder / OWN / LOG).open("ab") as log:
            # a session of its own: Ctrl-C at the app's terminal is the app's to pass on
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                       start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"})
        self._running[name] = process
        self._told.discard(process.pid)  # a number may come again

    def _process(self, name: str) -> int | None:
        """The process of a training that goes on, whoever began it: another app, one that was killed, a terminal."""
        own = self._running.get(name)
        if own is not None and own.poll() is None:
            return own.pid
        from diffkit.engine.lock import holder

        return holder(self.roots.work / name)

    def _send_stop(self, name: str, process: int) -> None:
        try:
            os.kill(process, _STOP)
        except ProcessLookupError:
            return
        except PermissionError:
            raise FieldError("training", f"{name} is a process of another user ({process})") from None
        self._told.add(process)

    def _state(self, name: str, begun: bool, complete: bool) -> str:
        process, own = self._process(name), self._running.get(name)
        if process is not None:
            return "stopping" if process in self._told else "running" if begun else "starting"
        if complete:
            return "done"
        if own is not None and own.returncode not in (0, 128 + _STOP, -_STOP):
            return "failed"
        return "stopped"

    def _error(self, name: str, state: str) -> str:
        if state != "failed":
            return ""
        lines = _tail(self.roots.work / name / OWN / LOG)
        errors = [line for line in lines if "error:" in line.lower()]
        return (errors or lines or ["it ended without a message"])[-1]


def train_command(config: Path, folder: Path, resume: bool) -> list[str]:
    """The command of a training, in this Python."""
    return [sys.executable, "-m", "diffkit", "train", str(config), "--work-dir", str(folder),
            *(["--resume"] if resume else [])]


def _thinned(curve: list[tuple[int, float]]) -> list[tuple[int, float]]:
    step = max(1, len(curve) // _POINTS)
    return curve[::-1][::step][::-1]  # with the last point


def _tail(path: Path) -> list[str]:
    """The last lines of a log."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line.rsplit("\r", 1)[-1].rstrip() for line in text.splitlines()]
    return [line for line in lines if line][-_LINES:]
