"""What the hub says of a model, and what is done without it. The hub is one on this machine."""

import re
import time

import pytest

from diffkit.apis.configs import config_root
from diffkit.utils.pretrained import PretrainedError
from diffkit.utils.pretrained_hub import KNOWN, look_up
from tests.utils.hub import hub, online, put_into_cache


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "nothing"))


def test_a_model_of_the_hub_is_its_name_and_its_files(monkeypatch):
    with hub(monkeypatch, {"a/b": ["model_index.json", "unet/config.json"]}) as asked:
        assert look_up("a/b") == ("a/b", frozenset({"model_index.json", "unet/config.json"}))
    assert len(asked) == 1


@pytest.mark.parametrize(("name", "message"), [
    ("segmnd/small-sd", "'segmnd/small-sd' is neither a folder here nor a model .* Did you mean 'segmind/small-sd'"),
    ("nobody/nothing", r"or it is private; then log in with: hf auth login\.$"),
    ("some/terms", "accept its terms on https://huggingface.co/some/terms and log in"),
])
def test_a_name_that_the_hub_does_not_give(monkeypatch, name, message):
    with hub(monkeypatch, {"some/terms": "GatedRepo"}) as asked, pytest.raises(PretrainedError, match=message):
        look_up(name)
    assert len(asked) == 1


def test_a_hub_that_cannot_be_reached_is_asked_once(monkeypatch):
    online(monkeypatch, "http://127.0.0.1:9")  # nothing listens there
    begin = time.monotonic()
    with pytest.raises(PretrainedError, match=r"nor in the cache .* the hub cannot be reached \(.*refused"):
        look_up("a/b")
    assert time.monotonic() - begin < 30  # libraries try five times, with longer and longer breaks, for every file


def test_a_hub_that_is_forbidden():
    with pytest.raises(PretrainedError, match="HF_HUB_OFFLINE is set"):  # as it is in all tests
        look_up("a/b")
    with pytest.raises(PretrainedError, match="Did you mean 'segmind/small-sd'"):
        look_up("segmnd/small-sd")
    with pytest.raises(PretrainedError, match=r"forbids to download it\.$"):
        look_up("segmind/small-sd")


@pytest.mark.parametrize("files", [
    ["model_index.json", "unet/config.json"], ["unet/config.json"], ["config.json"], ["vae/config.json"]])
def test_without_the_hub_the_cache_serves(monkeypatch, tmp_path, files):
    for file in files:
        (tmp_path / "model" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "model" / file).write_text("{}")
    snapshot = put_into_cache(monkeypatch, tmp_path / "cache", "a/b", tmp_path / "model")
    for reach in (lambda: None, lambda: online(monkeypatch, "http://127.0.0.1:9")):
        reach()
        assert look_up("a/b") == (snapshot, frozenset(files))
    with hub(monkeypatch, {"a/b": ["unet/config.json"]}):
        assert look_up("a/b")[0] == "a/b"  # the hub knows better what is newest


def test_the_models_of_all_configs_are_known():
    texts = [path.read_text(encoding="utf-8") for path in config_root().rglob("*.py")]
    named = {name for text in texts for name in re.findall(r'pretrained="([\w.-]+/[\w.-]+)"', text)}
    named = {name for name in named if not name.startswith("work_dirs/")}
    assert len(named) >= 4 and named <= set(KNOWN)
