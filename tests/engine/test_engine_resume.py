"""A resumed training is the uninterrupted one, bit for bit."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config

from diffkit.engine import Runner
from diffkit.engine.checkpoint import write_checkpoint
from diffkit.engine.errors import NonFiniteError, ResumeError
from diffkit.engine.seeding import set_generator_states
from diffkit.engine.state_io import load_nest, load_tensors, save_tensors
from tests.engine.fakes import make_config

EMA = {"type": "EMAHook", "decay": 0.9}
VARIANTS = {
    "plain": {},
    "average": {"custom_hooks": [EMA]},
    "accumulation": {"optim_wrapper": {"accumulative_counts": 2}, "custom_hooks": [EMA]},
    "incomplete accumulation": {"optim_wrapper": {"accumulative_counts": 4}},
    "bfloat16": {"optim_wrapper": {"dtype": "bfloat16", "clip_grad": {"max_norm": 0.1}}},
    "workers": {"train_dataloader": {"num_workers": 2}},
    "groups": {
        "optim_wrapper": {"paramwise_cfg": {"custom_keys": {"text_encoder": {"lr_mult": 0.1}}}},
        "param_scheduler": [
            {"type": "LinearLR", "start_factor": 0.1, "end": 3},
            {"type": "CosineAnnealingLR", "begin": 3, "end": 9},
        ],
    },
    "a skipped step": {"model": {"fail_at": (2, 3)}},
    "own order": {"train_dataloader": {"sampler": {"type": "DefaultSampler", "shuffle": True}}},
}


def config(work_dir, max_iters=9, variant="plain", **changes):
    cfg = Config(make_config(work_dir, max_iters))
    cfg.merge_from_dict(VARIANTS[variant])
    cfg.merge_from_dict(changes)
    return cfg


def run(*args, **kwargs):
    runner = Runner.from_cfg(config(*args, **kwargs))
    runner.train()
    return runner


def logged(work_dir):
    """Logged values by step, but for times."""
    rows = {}
    for path in sorted(Path(work_dir).glob("*/vis_data/scalars.json")):
        for line in path.read_text().splitlines():
            row = json.loads(line, parse_constant=str)
            rows[row["step"]] = {k: v for k, v in row.items() if k not in ("time", "data_time")}
    return rows


def assert_same_checkpoint(a, b):
    files = sorted(path.name for path in (a / "state").glob("*.safetensors"))
    assert files == sorted(path.name for path in (b / "state").glob("*.safetensors"))
    for name in files:
        left, right = load_tensors(a / "state" / name), load_tensors(b / "state" / name)
        assert left.keys() == right.keys()
        for key in left:
            if not key.endswith("time"):
                assert torch.equal(left[key].nan_to_num(), right[key].nan_to_num()), (name, key)
    assert (a / "state/optimizer.json").read_text() == (b / "state/optimizer.json").read_text()
    records = [json.loads((folder / "state/state.json").read_text()) for folder in (a, b)]
    assert records[0]["param_schedulers"] == records[1]["param_schedulers"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_resumed_equals_uninterrupted(tmp_path, variant):
    run(tmp_path / "whole", variant=variant)
    stop = {"stop": {"type": "StopAfter", "iterations": 5}}
    run(tmp_path / "parts", variant=variant, default_hooks=stop)
    resumed = run(tmp_path / "parts", variant=variant, resume=True)
    assert resumed.iter == 9
    assert_same_checkpoint(tmp_path / "whole/step8", tmp_path / "parts/step8")
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")
    assert len(logged(tmp_path / "whole")) == 9


def test_the_data_are_not_read_again(tmp_path):
    whole = run(tmp_path / "whole")
    run(tmp_path / "parts", default_hooks={"stop": {"type": "StopAfter", "iterations": 4}})
    parts = run(tmp_path / "parts", resume=True)
    assert parts.bare_model.seen == whole.bare_model.seen[8:]


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path, capfd):
    run(tmp_path / "whole")
    run(tmp_path / "parts", default_hooks={"stop": {"type": "StopAfter", "iterations": 6}})
    victim = tmp_path / "parts/step5/state/model.safetensors"
    victim.write_bytes(victim.read_bytes()[:-1])
    run(tmp_path / "parts", resume="auto")
    assert "step5 is not valid and is passed over: state/model.safetensors" in capfd.readouterr().out
    assert_same_checkpoint(tmp_path / "whole/step8", tmp_path / "parts/step8")


def test_where_no_checkpoint_is_valid_the_user_decides(tmp_path):
    run(tmp_path, 6)
    for step in tmp_path.glob("step*"):
        (step / "state/model.safetensors").unlink()
    with pytest.raises(ResumeError, match=r"none of the 2 checkpoints .* without --resume"):
        run(tmp_path, resume=True)


def test_exports_alone_are_nothing_to_go_on_from(tmp_path):
    write_checkpoint(tmp_path / "step3", [lambda folder: (folder / "unet.txt").write_text("x")], {"step": 3})
    for source in ("auto", str(tmp_path / "step3")):
        with pytest.raises(ResumeError, match="step3 holds exports but no state"):
            run(tmp_path, resume=source)


def test_every_generator_comes_back(tmp_path):
    def draw(runner):
        return [random.random(), random.gauss(0, 1), np.random.randn(), torch.randn(3).tolist()]

    after = []
    runner = Runner.from_cfg(config(tmp_path, 3))
    random.gauss(0, 1)  # leaves a second value behind
    runner.train()
    set_generator_states(load_nest(tmp_path / "step2/state/random_rank0"))
    expected = draw(runner)
    again = Runner.from_cfg(config(tmp_path, 3, resume=True))
    original = again.train_loop.run

    def run_and_draw():
        after.extend(draw(again))
        return original()

    again.train_loop.run = run_and_draw
    again.train()
    assert after == expected


def test_resume_from_a_path_and_from_nothing(tmp_path, capfd):
    run(tmp_path / "a")
    again = run(tmp_path / "b", resume=True)
    assert "Nothing to resume" in capfd.readouterr().out
    assert again.iter == 9
    by_path = run(tmp_path / "c", resume=str(tmp_path / "a/step5"))
    by_load_from = run(tmp_path / "d", resume=True, load_from=str(tmp_path / "a/step5"))
    assert len(by_path.bare_model.seen) == len(by_load_from.bare_model.seen) == 6
    for other in "bcd":
        assert_same_checkpoint(tmp_path / "a/step8", tmp_path / other / "step8")


def test_a_finished_training_stays_as_it_is(tmp_path):
    run(tmp_path)
    before = (tmp_path / "step8/manifest.json").read_bytes()
    runner = run(tmp_path, resume=True)
    assert runner.bare_model.seen == []
    assert (tmp_path / "step8/manifest.json").read_bytes() == before


def test_resume_says_what_it_restored(tmp_path, capfd):
    run(tmp_path, 5, "accumulation")
    run(tmp_path, 9, "accumulation", resume=True)
    text = capfd.readouterr().out
    assert "Resumed" in text and "iteration 5 comes next; 6 trained tensors, 18 optimizer tensors" in text
    assert "Changed since the checkpoint: train_cfg.max_iters: 5 -> 9" in text
    assert "CosineAnnealingLR now goes from optimizer step 0 to 5, before from 0 to 3" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optim_wrapper": {"optimizer": {"lr": 0.5}}}, r"optim_wrapper.optimizer.lr: 0.01 -> 0.5"),
        ({"randomness": {"seed": 4}}, "randomness.seed: 3 -> 4"),
        ({"custom_hooks": [{"type": "EMAHook", "decay": 0.5}]}, "decay: 0.9 -> 0.5"),
    ],
)
def test_a_change_of_the_mathematics_is_shown_and_refused(tmp_path, changes, message):
    run(tmp_path, 3, "average")
    with pytest.raises(ResumeError, match=message) as caught:
        run(tmp_path, 6, "average", resume=True, **changes)
    assert "resume_allow_change" in str(caught.value)
    run(tmp_path, 6, "average", resume=True, resume_allow_change=True, **changes)


@pytest.mark.parametrize("schedule", [None, [{"type": "LinearLR", "start_factor": 0.5, "end": 8}]])
def test_an_allowed_change_of_the_optimizer_takes_effect(tmp_path, schedule):
    options = {"type": "AdamW", "lr": 0.01, "betas": (0.8, 0.9)}
    run(tmp_path, 4, param_scheduler=schedule, optim_wrapper={"optimizer": options})
    new = options | {"lr": 0.03, "weight_decay": 0.5, "betas": (0.7, 0.9)}
    changes = {"param_scheduler": schedule, "optim_wrapper": {"optimizer": new}, "resume": True}
    group = run(tmp_path, 5, resume_allow_change=True, **changes).optim_wrapper.optimizer.param_groups[0]
    twin = run(tmp_path / "from the start", 5, **changes).optim_wrapper.optimizer.param_groups[0]
    assert (group["weight_decay"], tuple(group["betas"])) == (0.5, (0.7, 0.9))
    assert group["lr"] == pytest.approx(twin["lr"], rel=1e-12)


def test_another_batch_size_goes_on_where_the_data_are(tmp_path):
    first = run(tmp_path, 2)
    second = run(tmp_path, 4, resume=True, resume_allow_change=True, train_dataloader={"batch_size": 3})
    third = run(tmp_path, 6, resume=True, resume_allow_change=True)
    whole = run(tmp_path / "whole", 7)
    seen = first.bare_model.seen + second.bare_model.seen + third.bare_model.seen
    assert [len(runner.bare_model.seen) for runner in (first, second, third)] == [4, 6, 4]
    assert seen == whole.bare_model.seen


def test_other_accumulation_drops_what_was_half_done(tmp_path):
    run(tmp_path, 9, "incomplete accumulation", default_hooks={"stop": {"type": "StopAfter", "iterations": 3}})
    again = run(tmp_path, 9, resume=True, resume_allow_change=True)
    assert again.optim_wrapper.optimizer_steps == 6


def test_other_hooks_with_a_state_are_refused(tmp_path):
    run(tmp_path, 3, "average")
    with pytest.raises(ResumeError, match=r"hooks with a state .*ema"):
        run(tmp_path, 6, resume=True, resume_allow_change=True)


def test_other_frozen_weights_or_data_are_refused(tmp_path):
    run(tmp_path, 3)
    with pytest.raises(ResumeError, match=r"train_dataloader\.dataset\.length"):
        run(tmp_path, 6, resume=True, train_dataloader={"dataset": {"length": 8}})
    runner = Runner.from_cfg(config(tmp_path, 6, resume=True))
    runner.bare_model.frozen.weight.data += 1
    with pytest.raises(ResumeError, match="frozen weights"):
        runner.train()


@pytest.mark.parametrize("source", ["nowhere", "."])
def test_what_is_no_checkpoint_is_refused(tmp_path, source):
    with pytest.raises(ResumeError, match="checkpoint"):
        run(tmp_path / "w", resume=str(tmp_path / source))


def test_load_from_takes_weights_only_and_the_averaged_ones(tmp_path):
    run(tmp_path / "a", 3, "average")
    runner = Runner.from_cfg(config(tmp_path / "b", 1, load_from=str(tmp_path / "a/step2")))
    runner.load_or_resume()
    shadow = load_nest(tmp_path / "a/step2/state/ema")["shadow"]
    for name, value in runner.bare_model.trainable_parameters().items():
        assert torch.equal(value, shadow[name])
    assert runner.train().calls == 1


def test_no_pickle_is_ever_written(tmp_path):
    run(tmp_path, 4, "incomplete accumulation")
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes <= {".safetensors", ".json", ".py", ".log", ""}


def test_rotation_and_the_last_step(tmp_path):
    run(tmp_path, 8, default_hooks={"checkpoint": {"interval": 2, "max_keep_ckpts": 2}})
    assert sorted(path.name for path in tmp_path.glob("step*")) == ["step5", "step7"]
    run(tmp_path / "last", 5, default_hooks={"checkpoint": {"interval": -1}})
    assert [path.name for path in (tmp_path / "last").glob("step*")] == ["step4"]


@pytest.mark.parametrize("counts", [1, 4])
def test_the_loss_of_a_skipped_step_is_logged_and_not_kept(tmp_path, counts):
    changes = {"model": {"fail_at": (2,)}, "optim_wrapper": {"accumulative_counts": counts}}
    run(tmp_path, 6, **changes)
    rows = logged(tmp_path)
    assert rows[3]["loss"] == "NaN" and isinstance(rows[4]["loss"], float)
    for path in tmp_path.glob("step*/state/*.safetensors"):
        for name, value in load_tensors(path).items():
            assert not value.is_floating_point() or value.isfinite().all(), (path, name)


def test_an_export_that_is_not_finite_is_refused(tmp_path, monkeypatch):
    def write(artifacts, folder, pipeline, **_):
        save_tensors({"lora_A": torch.tensor([1.0, float("inf")])}, folder / "lora.safetensors")

    monkeypatch.setattr("diffkit.export.write_artifacts", write)
    with pytest.raises(NonFiniteError, match=r"iteration 2.*first: lora.safetensors: lora_A"):
        run(tmp_path)
    assert list(tmp_path.glob("*step*")) == []


def test_a_checkpoint_never_holds_what_is_not_finite(tmp_path):
    runner = Runner.from_cfg(config(tmp_path, 3))
    runner.bare_model.net[0].weight.data[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match=r"iteration 2.*net.0.weight"):
        runner.train()
    assert list(tmp_path.glob("*step*")) == []


def test_schedules_count_optimizer_steps(tmp_path):
    runner = run(tmp_path, 9, "accumulation")
    assert [schedule._global_step for schedule in runner.param_schedulers] == [5]
    assert runner.optimizer_steps() == 5
    rates = [row["lr"] for _, row in sorted(logged(tmp_path).items())]
    assert rates[0] == rates[1] > rates[2] == rates[3] > rates[4]


def test_epochs_are_refused_as_a_unit(tmp_path):
    with pytest.raises(ValueError, match="by_epoch"):
        run(tmp_path, 2, param_scheduler=[{"type": "LinearLR", "by_epoch": True}])


def test_scale_lr_is_explicit_and_printed(tmp_path, capfd):
    runner = run(tmp_path, 2, "accumulation", scale_lr=True, param_scheduler=None)
    assert runner.optim_wrapper.optimizer.param_groups[0]["lr"] == pytest.approx(0.04)
    text = capfd.readouterr().out
    assert "scale_lr: 0.01 x 2 (accumulation) x 2 (batch) x 1 (processes) = 0.04" in text


def test_the_seed_builds_the_model(tmp_path):
    def weight(name, seed):
        runner = Runner.from_cfg(config(tmp_path / name, randomness={"seed": seed}))
        return runner.bare_model.net[0].weight

    assert torch.equal(weight("a", 1), weight("b", 1))
    assert not torch.equal(weight("a", 1), weight("c", 2))


def test_a_checkpoint_never_holds_a_broken_optimizer_state(tmp_path):
    runner = Runner.from_cfg(config(tmp_path, 3))
    original = runner.call_hook

    def call_hook(name, **kwargs):
        if name == "after_train_iter" and runner.iter == 2:
            next(iter(runner.optim_wrapper.optimizer.state.values()))["exp_avg"].fill_(float("inf"))
        original(name, **kwargs)

    runner.call_hook = call_hook
    with pytest.raises(NonFiniteError, match=r"optimizer/net.0.weight/exp_avg"):
        runner.train()
    assert list(tmp_path.glob("*step*")) == []


def test_starting_anew_beside_old_checkpoints_is_told(tmp_path, capfd):
    run(tmp_path, 3)
    run(tmp_path, 2)
    assert "holds 1 checkpoints of an earlier training, up to step2" in capfd.readouterr().out


def test_a_config_of_classes_is_written_with_their_names(tmp_path):
    cfg = config(tmp_path, 2)
    cfg.optim_wrapper.optimizer.type = torch.optim.AdamW
    Runner.from_cfg(cfg).train()
    text = (tmp_path / "step1/state/config.py").read_text()
    assert "type='torch.optim.adamw.AdamW'" in text and text == (tmp_path / "config.py").read_text()
    again = Config.fromfile(tmp_path / "config.py")
    again.merge_from_dict({"resume": True, "train_cfg.max_iters": 4})
    Runner.from_cfg(again).train()
