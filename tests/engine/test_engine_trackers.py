"""What trackers are given: never a secret, and they never end a training."""

import logging
from types import SimpleNamespace

from mmengine.config import Config

from diffkit.engine.trackers import guard_trackers
from diffkit.utils.secrets import without_secrets

TOKEN = "hf_" + "aBcD" * 8


class Tracker:
    def __init__(self):
        self.configs = []

    def add_config(self, config, **kwargs):
        self.configs.append(config)

    def add_scalar(self, name, value):
        raise RuntimeError("the server is gone")


def guarded():
    tracker = Tracker()
    guard_trackers(SimpleNamespace(_vis_backends={"mine": tracker}), logging.getLogger("test"))
    return tracker


def test_a_config_goes_to_trackers_without_its_secrets():
    tracker = guarded()
    secret = {"api_key": "very", "path": f"https://user:{TOKEN}@hub"}
    tracker.add_config(Config({"a": [1, secret], "placeholder": "<t>"}))
    (seen,) = tracker.configs
    assert seen.to_dict() == {"a": [1, {"api_key": "***", "path": "https://user:***@hub"}], "placeholder": "<t>"}
    assert TOKEN not in seen.pretty_text


def test_a_config_without_secrets_is_the_same_object():
    tracker, config = guarded(), Config({"model": {"tokens": ["<t>"], "token": "sks", "hf_like": "hf_short"}})
    tracker.add_config(config)
    assert tracker.configs == [config] and tracker.configs[0] is config
    values = {"a": (1, 2.5, None)}
    assert without_secrets(values) is values


def test_failures_are_told_once(caplog):
    tracker = guarded()
    for _ in range(3):
        tracker.add_scalar("loss", 1)
    assert caplog.text.count("the server is gone") == 1
