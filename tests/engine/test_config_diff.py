"""What a changed config means to a training that goes on."""

import pytest
from mmengine.config import Config

from diffkit.engine.config_diff import check_config_change, compare_configs, flat_config
from diffkit.engine.errors import ResumeError
from tests.engine.fakes import make_config

SAMPLES = {"type": "SampleHook", "prompts": ["a"]}
AVERAGE = {"type": "diffkit.engine.hooks.ema.EMAHook", "decay": 0.9}


def flat(**changes):
    cfg = Config(make_config("w"))
    cfg.merge_from_dict(changes)
    return flat_config(cfg)


@pytest.mark.parametrize(
    "changes",
    [
        {"train_cfg.max_iters": 9},
        {"train_dataloader.num_workers": 2},
        {"default_hooks.checkpoint.interval": 1},
        {"default_hooks.logger": None},
        {"default_hooks.progress": {"interval": 5}},
        {"custom_hooks": [SAMPLES]},
        {"val_cfg": {"type": "ValLoop"}},
        {"model.generation": {"guidance_scale": 2.0}},
        {"model.cache_latents": "disk"},
        {"model.offload": "disk"},
        {"model.cache_folder": "elsewhere", "model.cache_text": "disk"},
        {"visualizer": {"type": "Visualizer"}},
    ],
    ids=str,
)
def test_what_is_shown_and_alters_no_result(changes):
    change = compare_configs(flat(), flat(**changes))
    assert change.lines and change.mathematics == []
    check_config_change(flat(), flat(**changes), allow=False)


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"optim_wrapper.optimizer.lr": 0.5}, "optim_wrapper.optimizer.lr"),
        ({"model.noise": 0.3}, "model.noise"),
        ({"model.cache_latents": False}, "model.cache_latents"),
        ({"train_dataloader.batch_size": 3}, "train_dataloader.batch_size"),
        ({"custom_hooks": [AVERAGE]}, "custom_hooks.EMAHook.decay"),
        ({"default_hooks.param_scheduler": None}, "default_hooks.param_scheduler"),
        ({"custom_hooks": [{"type": "MyOwnHook"}]}, "custom_hooks.MyOwnHook.type"),
        ({"randomness.seed": 4}, "randomness.seed"),
    ],
)
def test_what_alters_results_needs_the_flag(changes, key):
    before, now = flat(), flat(**changes)
    assert key in compare_configs(before, now).mathematics
    with pytest.raises(ResumeError, match=rf"(?s){key}: .* -> .*\n.*--allow-change"):
        check_config_change(before, now, allow=False)
    assert key in check_config_change(before, now, allow=True).lines


def test_both_kinds_are_listed_apart():
    with pytest.raises(ResumeError) as caught:
        check_config_change(flat(), flat(**{"model.noise": 0.3, "train_cfg.max_iters": 9}), allow=False)
    refused, _, others = str(caught.value).partition("alters no result")
    assert "model.noise: (not set) -> 0.3" in refused and "max_iters" not in refused
    assert "train_cfg.max_iters: 6 -> 9" in others


def test_a_hook_in_front_does_not_rename_the_others():
    before, now = flat(custom_hooks=[AVERAGE]), flat(custom_hooks=[SAMPLES, AVERAGE])
    change = compare_configs(before, now)
    assert change.mathematics == [] and set(change.lines) == {
        "custom_hooks.SampleHook.type", "custom_hooks.SampleHook.prompts.0"}


def test_two_hooks_of_one_type_are_told_apart():
    change = compare_configs(flat(custom_hooks=[SAMPLES]), flat(custom_hooks=[SAMPLES, SAMPLES | {"interval": 7}]))
    assert "custom_hooks.SampleHook#2.interval: (not set) -> 7" in change.lines.values()


def test_what_the_call_says_is_not_compared():
    assert compare_configs(flat(), flat(work_dir="elsewhere", resume=True, launcher="pytorch")).lines == {}
