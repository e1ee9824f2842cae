"""Two processes on the CPU."""

import os
import time

import pytest

from diffkit.engine.state_io import load_tensors, read_json
from tests.engine.processes import LONG, PATIENCE, context, train, wait_for
from tests.engine.test_engine_resume import assert_same_checkpoint

VARIANTS = {
    "average and samples": {
        "custom_hooks": [
            {"type": "EMAHook", "decay": 0.9},
            {"type": "SampleHook", "prompts": ["a"], "interval": 2},
        ]
    },
    "incomplete accumulation": {"optim_wrapper.accumulative_counts": 4},
    "incomplete accumulation, written beside": {
        "optim_wrapper.accumulative_counts": 4,
        "default_hooks.checkpoint.async_write": True,
        "default_hooks.checkpoint.interval": 1,
    },
}


@pytest.fixture
def pair(tmp_path):
    """Starts the two processes of a training; they are ended after the test."""
    started = []

    def pair(name, **changes):
        (tmp_path / f"{name}.store").unlink(missing_ok=True)
        ranks = []
        for rank in (0, 1):
            args = (tmp_path / name, tmp_path / f"{name}.log{rank}", changes, rank, 2)
            ranks.append(context().Process(target=train, args=args))
            ranks[-1].start()
        started.extend(ranks)
        return ranks

    yield pair
    for process in started:
        process.kill()
        process.join()


def finish(tmp_path, name, ranks):
    for rank, process in enumerate(ranks):
        process.join(PATIENCE)
        assert process.exitcode == 0, (tmp_path / f"{name}.log{rank}").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_two_processes_resume_bit_for_bit(tmp_path, pair, variant):
    changes = VARIANTS[variant]
    finish(tmp_path, "whole", pair("whole", **changes))
    stop = {"default_hooks.stop": {"type": "StopAfter", "iterations": 3}}
    finish(tmp_path, "parts", pair("parts", **changes, **stop))
    finish(tmp_path, "parts", pair("parts", **changes, resume=True))
    assert_same_checkpoint(tmp_path / "whole/step5", tmp_path / "parts/step5")
    assert "Saved" in (tmp_path / "parts.log0").read_text()
    assert "Saved" not in (tmp_path / "parts.log1").read_text()
    if variant.startswith("incomplete accumulation"):
        assert (tmp_path / "whole/step2/state/gradients_rank1.safetensors").exists()


def test_two_processes_see_what_one_sees_with_twice_the_batch(tmp_path, pair):
    """Without noise and dropout the gradients are the same."""
    quiet = {"model.noise": 0.0, "model.dropout": 0.0, "optim_wrapper.optimizer": {"type": "SGD", "lr": 0.1}}
    finish(tmp_path, "two", pair("two", **quiet))
    process = context().Process(
        target=train,
        args=(tmp_path / "one", tmp_path / "one.log", quiet | {"train_dataloader.batch_size": 4}),
    )
    process.start()
    process.join(PATIENCE)
    assert process.exitcode == 0
    left, right = (load_tensors(tmp_path / name / "step5/state/model.safetensors") for name in ("one", "two"))
    for key in left:
        assert (left[key] - right[key]).abs().max() <= 1e-6


def test_a_signal_to_one_process_stops_both_at_the_same_step(tmp_path, pair):
    ranks = pair("w", **{"train_cfg.max_iters": LONG, "default_hooks.progress": {"interval": 1}})
    wait_for(tmp_path / "w.log0", "it/s", ranks[0])
    os.kill(ranks[1].pid, 15)
    for process in ranks:
        process.join(PATIENCE)
    assert [process.exitcode for process in ranks] == [143, 143]
    assert "Stopped by signal 15" in (tmp_path / "w.log0").read_text()


def test_when_one_process_dies_the_other_ends_and_says_why(tmp_path, pair):
    ranks = pair("w", **{"train_cfg.max_iters": LONG, "default_hooks.progress": {"interval": 1}})
    wait_for(tmp_path / "w.log0", "it/s", ranks[0])
    ranks[1].kill()
    begin = time.monotonic()
    ranks[0].join(PATIENCE)
    assert ranks[0].exitcode == 1 and time.monotonic() - begin < 30
    assert "another process of this training has ended" in (tmp_path / "w.log0").read_text()


@pytest.mark.slow
def test_a_failed_save_ends_both(tmp_path, pair):
    ranks = pair("w", **{"default_hooks.stop": {"type": "BreakExports"}})
    for process in ranks:
        process.join(PATIENCE)
    assert [process.exitcode for process in ranks] == [1, 1]
    assert "process 0 could not write" in (tmp_path / "w.log1").read_text()


@pytest.mark.slow
def test_a_write_that_fails_beside_the_training_ends_both_at_the_next_checkpoint(tmp_path, pair):
    options = {"default_hooks.checkpoint.async_write": True, "default_hooks.checkpoint.interval": 2}
    ranks = pair("w", **options, **{"default_hooks.stop": {"type": "BreakState"}})
    for process in ranks:
        process.join(PATIENCE)
    assert [process.exitcode for process in ranks] == [1, 1]
    assert "the state cannot be written" in (tmp_path / "w.log0").read_text()
    assert "process 0 could not write" in (tmp_path / "w.log1").read_text()
    assert not list((tmp_path / "w").glob("*step*"))


@pytest.mark.slow
def test_another_number_of_processes_is_refused_or_goes_on_with_the_next_sample(tmp_path, pair):
    finish(tmp_path, "w", pair("w", **{"optim_wrapper.accumulative_counts": 4}))
    changes = {"resume": True, "train_cfg.max_iters": 9, "optim_wrapper.accumulative_counts": 4}

    def alone(name, **more):
        process = context().Process(target=train, args=(tmp_path / "w", tmp_path / name, changes | more))
        process.start()
        process.join(PATIENCE)
        return process.exitcode, (tmp_path / name).read_text()

    status, text = alone("refused")
    assert status == 1 and "number of processes: 2 -> 1" in text
    status, text = alone("allowed", resume_allow_change=True)
    assert status == 0, text
    assert "Changed since the checkpoint: number of processes: 2 -> 1" in text
    assert "data from draw 24" in text  # 6 iterations of 2 processes with 2 samples each
    assert "random generators" not in text  # those were of two processes
    record = read_json(tmp_path / "w/step8/state/state.json")
    assert (record["world_size"], record["draws"]) == (1, 24 + 3 * 2)
