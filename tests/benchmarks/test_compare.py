"""The comparison with a toy in the place of both programs: slopes, memory, losses, tables, and what is refused."""

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchmarks import compare as module
from benchmarks.__main__ import main
from benchmarks.compare import compare, summary
from benchmarks.compare_report import compare_table
from benchmarks.losses import first_losses
from benchmarks.methods import METHODS, Method, Setting
from benchmarks.pictures import draw_folder
from benchmarks.pipelines import save_pipeline
from benchmarks.process import Spent, Training, run, run_training
from benchmarks.programs import diffkit_command, diffkit_options, peer_command
from benchmarks.stand_ins import transforms
from diffkit.apis.configs import load_config
from diffkit.utils.config_check import check_config

TOY = """
import argparse, time, torch
parser = argparse.ArgumentParser()
parser.add_argument("--max_train_steps", type=int)
parser.add_argument("--each", type=float)
args, _ = parser.parse_known_args()
weight = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.SGD([weight])
for _ in range(args.max_train_steps):
    end = time.process_time() + args.each
    while time.process_time() < end:
        pass
    optimizer.step()
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A peer that takes 0.09 s a step, beside a diffkit that takes 0.03 s; the method that compares them."""
    script = tmp_path / "peer" / "examples" / "toy.py"
    script.parent.mkdir(parents=True)
    script.write_text(TOY)
    method = Method("Toy", "examples/toy.py", lambda at: {"each": 0.09}, "no_config", lambda at: {}, goal=2.0)

    def command(steps, launch, each):
        return [sys.executable, "-m", "benchmarks.launch", *launch, str(script), f"--max_train_steps={steps}",
                f"--each={each}"]

    def own(method, at, out, steps, more, launch):
        return command(steps, launch, 0.03)

    def peer(method, script, at, out, steps, launch):
        return command(steps, launch, 0.09)

    monkeypatch.setattr(module, "diffkit_command", own)
    monkeypatch.setattr(module, "peer_command", peer)
    monkeypatch.setattr(module, "first_losses", lambda *_: {"peer": 1.5, "diffkit": 1.5, "difference": 0.0})
    return {"lora": method}


def test_slopes_are_compared_and_written_after_each_method(toy, tmp_path):
    save_pipeline(tmp_path / "work" / "tiny", "tiny")
    out = tmp_path / "results" / "speed"
    out.parent.mkdir()
    (out.with_suffix(".json")).write_text(json.dumps({"methods": {"kept": {"of": "before"}}}))
    text = compare(peers=[tmp_path / "peer"], methods=["lora"], parts=["trainings"], pairs=1, size="tiny",
                   work_dir=tmp_path / "work", out=out, plot=tmp_path / "speed.svg", say=lambda line: None, table=toy)
    found = json.loads(out.with_suffix(".json").read_text())["methods"]
    assert found["kept"] == {"of": "before"}
    values = found["lora"]
    assert values["step_seconds"]["peer"] >= 0.088 and values["step_seconds"]["diffkit"] >= 0.028
    assert 1.5 < values["ratio"]["median"] < 4.2 and values["ratio"]["least"] <= values["ratio"]["most"]
    assert [len(run["marks"]) for run in values["runs"]["peer"]] == [6]
    assert "| DreamBooth, LoRA | 0.0" in text and "≥ 1.6 | yes | 1 |" in text
    assert out.with_suffix(".md").read_text() == text
    assert "DreamBooth, LoRA" in (tmp_path / "speed.svg").read_text()


def test_the_slope_is_that_from_n_to_3_n_steps_and_the_rest_is_fixed():
    line = Training(Spent(12.0, 30.0, 120.0), [5.0, 6.0, 6.5, 7.0, 7.5, 8.0])
    assert (line.step, line.fixed, line.peak_mb) == (0.5, 9.0, 120.0)


def test_ratios_are_of_pairs_and_memory_is_left_out_where_it_is_not_known():
    peer = [Training(Spent(20.0, 30.0, 200.0), [1.0, 1.0 + step, 1.0 + 2 * step]) for step in (1.0, 2.0, 9.0)]
    own = [Training(Spent(20.0, 30.0, 100.0), [1.0, 2.0, 3.0])] * 3
    found = summary(peer, own)
    assert found["ratio"] == {"median": 2.0, "least": 1.0, "most": 9.0}
    assert found["peak_ratio"]["median"] == 0.5
    unknown = [Training(Spent(20.0, 30.0, None), [1.0, 2.0, 3.0])] * 3
    assert "peak_ratio" not in summary(peer, unknown)


def test_a_training_that_takes_another_number_of_steps_is_no_measurement(tmp_path):
    with pytest.raises(RuntimeError, match="has taken 0 steps of its optimizer, not 3"):
        run_training([sys.executable, "-c", "pass"], tmp_path / "log", tmp_path / "marks", 3)


def test_a_run_is_measured_and_a_failure_is_told(tmp_path):
    burn = "import time\nwhile time.process_time() < 0.5: pass"
    spent = run([sys.executable, "-c", burn], tmp_path / "log")
    assert 0.5 <= spent.cpu_seconds < 1.5 and spent.seconds >= 0.4
    mine = run([sys.executable, "-c", "x = bytearray(3_000_000_000 // 1000)\n"], tmp_path / "log")
    assert mine.peak_mb is None  # this process is larger, and a child begins with its parent's peak
    with pytest.raises(RuntimeError, match=r"ended with status 3; see .*log:\n(.*\n)*no such flag"):
        run([sys.executable, "-c", "import sys; print('no such flag'); sys.exit(3)"], tmp_path / "log")


def test_mistakes_are_told(toy, tmp_path, capsys):
    options = {"size": "tiny", "work_dir": tmp_path / "work", "out": tmp_path / "speed", "table": toy}
    with pytest.raises(ValueError, match="--methods must be among lora, got sora"):
        compare(peers=[tmp_path], methods=["sora"], **options)
    with pytest.raises(ValueError, match="--pairs must be at least 1, got 0"):
        compare(peers=[tmp_path], methods=["lora"], pairs=0, **options)
    with pytest.raises(ValueError, match=r"--peer: examples/toy.py is not in .*; give a checkout that has it"):
        compare(peers=[tmp_path / "elsewhere"], methods=["lora"], **options)
    assert main(["compare", "--peer", str(tmp_path), "--methods", "kd"]) == 1
    assert "benchmarks compare: --peer: distill_training.py is not in" in capsys.readouterr().err


LOGS = "from accelerate import Accelerator\nAccelerator(cpu=True).log({'lr': 0.1, 'train_loss': 1.25}, step=1)\n"


def losses_of(tmp_path, monkeypatch, own, same=True, script=LOGS, alone=True):
    """The losses of a script that logs 1.25 and of a diffkit that logs ``own``; ``alone``: the script is not run."""
    import benchmarks.losses as losses

    file, work = tmp_path / "toy.py", tmp_path / "work"
    work.mkdir(parents=True)
    file.write_text(script)

    def instead(command, log, environment):
        if "--no-config" in command:
            logged = work / "diffkit" / "now" / "vis_data" / "now.json"
            logged.parent.mkdir(parents=True)
            logged.write_text(json.dumps({"loss": own}))
        elif not alone:
            run(command, log, environment)
        elif script:
            (work / "peer_losses.jsonl").write_text('{"lr": 0.1, "train_loss": 1.25}\n')

    monkeypatch.setattr(losses, "diffkit_command", lambda *_: ["--no-config"])
    monkeypatch.setattr(losses, "run", instead)
    at = Setting(*[tmp_path] * 4, count=2, class_count=1, pixels=32, batch=2, rank=4, seed=0)
    method = Method("Toy", "toy.py", lambda at: {}, "no_config", lambda at: {}, None, same_loss=same)
    return first_losses(method, file, at, work, {"PYTHONPATH": str(Path(__file__).parents[2])})


def test_a_scripts_own_log_is_read(tmp_path, monkeypatch):
    found = losses_of(tmp_path, monkeypatch, 1.2500001, alone=False)
    assert found == {"peer": 1.25, "diffkit": 1.2500001, "difference": pytest.approx(8e-8, rel=0.01), "same": True}


def test_other_losses_end_the_comparison_unless_they_are_expected(tmp_path, monkeypatch):
    with pytest.raises(RuntimeError, match=r"first losses of Toy differ: 1\.25 and 1\.26"):
        losses_of(tmp_path / "a", monkeypatch, 1.26)
    assert losses_of(tmp_path / "b", monkeypatch, 2.5, same=False)["same"] is False
    assert losses_of(tmp_path / "c", monkeypatch, 2.5, script="") == {"peer": None, "diffkit": 2.5}


def test_command_lines_say_the_same_to_both(tmp_path):
    at = Setting(*[tmp_path] * 4, count=2, class_count=1, pixels=32, batch=2, rank=4, seed=7)
    for method in METHODS.values():
        theirs = peer_command(method, Path("script.py"), at, tmp_path / "peer", 9)
        ours = diffkit_command(method, at, tmp_path / "own", 9)
        assert {"--max_train_steps=9", "--train_batch_size=2", "--resolution=32", "--seed=7"} <= set(theirs)
        assert {"train_cfg.max_iters=9", "train_dataloader.batch_size=2", "train_dataloader.dataset.resolution=32",
                "randomness.seed=7", "optim_wrapper.dtype=None"} <= set(ours)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    save_pipeline(folder / "tiny", "tiny")
    return module.prepare(folder, "tiny", 1, 4, 0)


@pytest.mark.parametrize("name", METHODS)
def test_the_configs_of_the_comparison_pass_the_check(name, prepared):
    cfg = load_config(METHODS[name].config, cfg_options=diffkit_options(METHODS[name], prepared, 3))
    check_config(cfg)
    assert cfg.optim_wrapper.dtype is None and cfg.train_dataloader.dataset.hflip == 0


def test_stand_in_transforms_do_what_their_names_say():
    picture = Image.new("RGB", (40, 20), (255, 0, 0))
    picture.putpixel((0, 0), (0, 255, 0))
    prepare = transforms.Compose([
        transforms.Resize(20, interpolation=transforms.InterpolationMode.LANCZOS), transforms.CenterCrop(16),
        transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])
    tensor = prepare(picture)
    assert tensor.shape == (3, 16, 16) and tensor.dtype == torch.float32
    assert tensor[0].eq(1).all() and tensor[1:].eq(-1).all()
    assert transforms.Resize((10, 30))(picture).size == (30, 10)
    assert transforms.RandomHorizontalFlip(1.0)(picture).getpixel((39, 0)) == (0, 255, 0)
    assert transforms.RandomHorizontalFlip(0.0)(picture).getpixel((0, 0)) == (0, 255, 0)
    assert transforms.RandomCrop(20)(picture).size == (20, 20)
    assert transforms.Lambda(lambda value: value)(picture) is picture


def test_pictures_are_the_same_for_a_seed_and_no_two_are_alike(tmp_path):
    first, again = (draw_folder(tmp_path / name, 3, 32, captions=True) for name in "ab")
    pictures = [(first / f"{number:03d}.png").read_bytes() for number in range(3)]
    assert len(set(pictures)) == 3
    assert pictures == [(again / f"{number:03d}.png").read_bytes() for number in range(3)]
    assert (first / "metadata.csv").read_text().splitlines()[1] == "000.png,a painting of shapes number 0"


def test_a_table_of_nothing_is_still_a_table():
    from diffkit.apis.measure.report import about

    assert "| a step more |" in compare_table({"methods": {}, "about": about("nothing")})
