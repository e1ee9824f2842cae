"""Every command from a wheel: in an environment without the checkout, in a folder of the user's."""

import json
import os
import re
import subprocess
import sys
import urllib.request
import venv
from pathlib import Path

import pytest

from diffkit import cli
from tests import launchers
from tests.docs.pages import ROOT, blocks
from tests.test_packaging import clean_checkout, setup_py

CONFIG = "mini_sd_dreambooth_lora"
#: The shipped recipe, with as little work as shows that every part runs.
QUICK = [
    "--cfg-options",
    "train_dataloader.batch_size=1",
    "train_dataloader.dataset.num_class_images=2",
    "model.generation.num_inference_steps=2",
    "test_dataloader.dataset.n=4",
]


class Installed:
    """A virtual environment with diffkit from a wheel; the other packages are those of the tests.

    Attributes:
        folder: the environment.
        work: where the commands run.
    """

    def __init__(self, folder: Path, work: Path) -> None:
        self.folder, self.work = folder, work
        self.python = str(folder / "bin/python")

    def install(self, wheel: Path) -> None:
        """Makes the environment, with the wheel and nothing else of its own."""
        venv.create(self.folder, with_pip=False)
        (site,) = self.folder.glob("lib/python*/site-packages")
        others = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
        (site / "others.pth").write_text("\n".join(others), encoding="utf-8")  # .pth files in these have no effect
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "-q", "--no-deps", "--no-index"]
        subprocess.run([*pip, str(wheel)], check=True)

    def run(self, command: str, *arguments: str) -> subprocess.CompletedProcess:
        """Runs ``diffkit …`` or ``mim …`` and returns what it wrote, both streams in ``stdout``."""
        start = [str(self.folder / "bin/diffkit")] if command == "diffkit" else [self.python, "-m", command]
        return subprocess.run(
            [*start, *arguments], cwd=self.work, env=self.env(), text=True, timeout=600,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def start(self, *arguments: str) -> subprocess.Popen:
        """Starts ``diffkit …``; what it prints is in ``stdout``."""
        return subprocess.Popen([str(self.folder / "bin/diffkit"), *arguments], cwd=self.work, env=self.env(),
                                text=True, stdout=subprocess.PIPE)

    def env(self) -> dict[str, str]:
        """The environment of the commands."""
        env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        env |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "200"}
        env["PATH"] = os.pathsep.join([str(self.work / "bin"), os.environ["PATH"]])
        return env

    def succeed(self, command: str, *arguments: str) -> str:
        """Runs a command that has to work."""
        result = self.run(command, *arguments)
        assert result.returncode == 0, result.stdout
        return result.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("installed")
    setup_py(clean_checkout(folder / "checkout"), "bdist_wheel", "--dist-dir", str(folder))
    work = folder / "work"
    launchers.install(work / "bin")
    made = Installed(folder / "venv", work)
    made.install(next(folder.glob("*.whl")))
    return made


def test_commands_without_a_model(installed: Installed) -> None:
    for name in cli.COMMANDS:
        assert f"usage: diffkit {name}" in installed.succeed("diffkit", name, "--help")
    assert CONFIG in installed.succeed("diffkit", "list-cfg", "mini")
    assert f"train it: diffkit train {CONFIG}.py" in installed.succeed("diffkit", "copy-cfg", CONFIG)
    assert f"{CONFIG}.py: no faults" in installed.succeed("diffkit", "check", f"{CONFIG}.py")
    assert "no faults" in installed.succeed("mim", "run", "diffkit", "check_config", CONFIG)
    assert "usage: demo_lora.py" in installed.succeed("mim", "run", "diffkit", "demo_lora", "--", "-h")
    report = installed.succeed("diffkit", "doctor")
    for name in ("configs", "tools"):
        (line,) = (line for line in report.splitlines() if line.startswith(f"{name}  "))
        assert Path(line.split()[1]).is_relative_to(installed.folder)


@pytest.mark.slow
def test_the_app_has_its_page_and_the_configs(installed: Installed) -> None:
    with installed.start("app", "--port", "0", "--device", "cpu") as process:
        try:
            assert process.stdout is not None
            url = re.findall(r"http://127\.0\.0\.1:\d+/", process.stdout.readline())[0]

            def ask(path: str) -> bytes:
                with urllib.request.urlopen(url + path, timeout=600) as answer:
                    return answer.read()

            page = ask("").decode()
            for part in re.findall(r'(?:src|href)="/(page/[^"]+)"', page):
                assert len(ask(part)) > 1000
            configs = {config["name"]: config for config in json.loads(ask("api/configs"))}
            assert configs[CONFIG]["base"] == "mini-sd" and configs[CONFIG]["iterations"] == 300
        finally:
            process.terminate()
        assert process.wait(60) == 130
    assert (installed.work / "work_dirs").is_dir()


@pytest.mark.slow
def test_train_resume_test_and_paint(installed: Installed) -> None:
    folder = installed.work / "out/one"
    if not (installed.work / f"{CONFIG}.py").exists():
        installed.succeed("diffkit", "copy-cfg", CONFIG)
    shown = next(block.text for block in blocks(ROOT / "docs/evaluation.md") if "val_evaluator" in block.text)
    (installed.work / "my_validated.py").write_text(shown)
    options = ["my_validated.py", "--work-dir", "out/one", *QUICK, "val_dataloader.dataset.n=4"]
    text = installed.succeed("mim", "train", "diffkit", *options, "train_cfg.max_iters=2")
    assert "2/2 (100%)" in text and "Best concept/hit so far" in text
    assert json.loads((folder / "best.json").read_text())["step"] == 1
    assert (folder / "step1/pytorch_lora_weights.safetensors").is_file()

    text = installed.succeed("diffkit", "train", *options, "train_cfg.max_iters=3", "--resume")
    assert "iteration 2 comes next" in text
    assert (folder / "step2/manifest.json").is_file()

    installed.succeed("mim", "test", "diffkit", f"{CONFIG}.py", "--checkpoint", "out/one/step2",
                      "--out", "after.json", "--work-dir", "out/test", *QUICK)
    assert 0 <= json.loads((installed.work / "after.json").read_text())["concept/hit"] <= 1

    assert "report.html" in installed.succeed("diffkit", "report", "out/one")
    assert "During the training" in (installed.work / "report.html").read_text(encoding="utf-8")

    picture = ["--steps", "2", "--seed", "3", "--device", "cpu"]
    installed.succeed("mim", "run", "diffkit", "demo_lora", "a photo of a sks heart", "out/one/step2",
                      "--sdmodel", "mini-sd", "--out", "demo.png", "--height", "64", "--width", "64", *picture)
    installed.succeed("diffkit", "text2images", "--step", "out/one/step2", "--caption", "a photo of a sks heart",
                      "--images_num", "1", "--out", "pictures", *picture)
    (other,) = (path for path in (installed.work / "pictures").glob("*.png") if path.name != "grid.png")
    assert pixels(installed.work / "demo.png") == pixels(other)


@pytest.mark.slow
def test_mim_starts_two_processes(installed: Installed) -> None:
    text = installed.succeed("mim", "train", "diffkit", f"{CONFIG}.py", "--launcher", "pytorch", "--gpus", "2",
                             "--work-dir", "out/two", *QUICK, "train_cfg.max_iters=1")
    assert "2 (processes)" in text
    assert (installed.work / "out/two/step0/manifest.json").is_file()


@pytest.mark.slow
def test_mim_searches_a_grid(installed: Installed) -> None:
    installed.succeed("mim", "gridsearch", "diffkit", f"{CONFIG}.py", "--work-dir", "out/grid",
                      "--search-args", "--optim_wrapper.optimizer.lr 5e-4", *QUICK, "train_cfg.max_iters=1")
    step = installed.work / "out/grid_search_optim_wrapper.optimizer.lr_0.0005/step0"
    assert "lr=0.0005" in (step / "state/config.py").read_text()
    assert (step / "manifest.json").is_file()


WRONG = ["--cfg-options", "train_cfg.max_itres=1"]
PAIR = ["--gpus", "2", "--launcher"]
SRUN = ["--gpus-per-node", "2", "--partition", "p", "--srun-args", ""]  # openmim 0.3.9 with click 8.3 wants the last


@pytest.mark.parametrize(("line", "message"), [
    (["diffkit", "train", CONFIG, *WRONG], 'did you mean "max_iters"'),
    (["diffkit", "test", CONFIG, *WRONG], 'did you mean "max_iters"'),
    (["diffkit", "check", CONFIG, *WRONG], 'did you mean "max_iters"'),
    (["diffkit", "list-cfg", "nothing"], "no config in"),
    (["diffkit", "copy-cfg", "nothing"], "no config of that name"),
    (["diffkit", "run", "nothing"], "no script 'nothing'"),
    (["diffkit", "text2images", "--pretrained", "m", "--caption-file", "gone.txt"], "no file 'gone.txt'"),
    (["mim", "train", "diffkit", "nothing.py"], "nothing.py"),
    (["mim", "train", "diffkit", f"{CONFIG}.py", *WRONG], 'did you mean "max_iters"'),
    (["mim", "train", "diffkit", f"{CONFIG}.py", *PAIR, "pytorch", *WRONG], 'did you mean "max_iters"'),
    (["mim", "train", "diffkit", f"{CONFIG}.py", *PAIR, "slurm", *SRUN, *WRONG], 'did you mean "max_iters"'),
    (["mim", "run", "diffkit", "check_config", CONFIG, *WRONG], 'did you mean "max_iters"'),
    (["mim", "run", "diffkit", "demo_lora", "only a prompt"], "arguments are required: STEP"),
], ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "")
def test_a_failure_is_not_status_0(line: list[str], message: str, installed: Installed) -> None:
    result = installed.run(*line)
    assert result.returncode != 0
    assert message in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("line", [
    ["mim", "test", "diffkit", f"{CONFIG}.py", "--checkpoint", "gone/step9"],
    ["mim", "run", "diffkit", "demo_lora", "a heart", "gone/step9"],
], ids=lambda line: " ".join(line[:4]))
def test_a_checkpoint_that_is_not_there_is_a_failure(line: list[str], installed: Installed) -> None:
    result = installed.run(*line)
    assert result.returncode != 0
    assert "gone" in result.stdout


def pixels(path: Path) -> bytes:
    from PIL import Image

    with Image.open(path) as picture:
        return picture.convert("RGB").tobytes()
