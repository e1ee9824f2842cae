"""Every shipped config: it passes the check, and its names are its own."""

import ast
import subprocess
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest
from mmengine.config import Config

from diffkit.utils.config_check import check_config
from diffkit.utils.config_check.places import base_files
from diffkit.utils.config_check.roles import DEFAULT_HOOKS
from tests.utils.config_check_kit import faults_of

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.py"))
RUNNABLE = [path for path in CONFIGS if "_base_" not in path.parts]
OVERRIDES = {
    "train_cfg.max_iters": 3,
    "train_dataloader.batch_size": 1,
    "train_dataloader.dataset.data_root": ".",
    "default_hooks.checkpoint.interval": 7,
    "randomness.seed": 5,
}


def name_of(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", RUNNABLE, ids=name_of)
def test_a_shipped_config_has_no_faults(path):
    """Only pictures and weights may be missing, which the user brings or the first stages make."""
    faults = [str(fault) for fault in faults_of(path) if fault.kind != "path"]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", RUNNABLE, ids=name_of)
def test_the_overrides_that_work_everywhere_work_here(path):
    trains = Config.fromfile(path).get("train_cfg") is not None
    options = {key: value for key, value in OVERRIDES.items() if trains or not key.startswith("train_")}
    takes_photos = any(fault.key.endswith("data_root") for fault in faults_of(path, **_dashed(options)))
    if takes_photos or not trains:
        options.pop("train_dataloader.dataset.data_root", None)
    faults = [fault for fault in faults_of(path, **_dashed(options)) if fault.kind != "path"]
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize("name", ["mini_sd_vae", "stable_diffusion_xl_dreambooth_lora_dog"])
def test_a_checked_config_passes_again_when_it_was_dumped(tmp_path, name):
    path = next(path for path in RUNNABLE if path.stem == name)
    options = {"train_dataloader.dataset.data_root": str(tmp_path)} if "dog" in name else {}
    dumped = tmp_path / "config.py"
    check_config(path, options).dump(dumped)
    assert [str(fault) for fault in faults_of(dumped)] == []


def test_the_check_is_light():
    """It imports no library that takes seconds, and is done in one second of CPU."""
    code = """
import sys, time
from diffkit.utils.config_check import ConfigError, check_config
try:
    check_config(sys.argv[1])
except ConfigError as error:
    assert {fault.kind for fault in error.faults} == {"path"}
print(time.process_time())
print(*[name for name in ("torch", "diffusers", "transformers", "peft", "diffkit.models") if name in sys.modules])
"""
    path = next(path for path in RUNNABLE if path.stem == "stable_diffusion_v15_dreambooth_lora_dog")
    ran = subprocess.run([sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, text=True, capture_output=True)
    seconds, heavy = ran.stdout.split("\n")[:2]
    assert heavy == ""
    assert float(seconds) < 2.5  # 0.5 on an idle machine


def _dashed(options: dict[str, object]) -> dict[str, object]:
    return {key.replace(".", "__"): value for key, value in options.items()}


def test_the_basename_of_a_config_is_its_own():
    """mim looks for a config by its basename among all Python files of the installed package."""
    installed = [path for folder in ("configs", "tools", "diffkit") for path in (ROOT / folder).rglob("*.py")]
    count = Counter(path.name for path in installed if ".mim" not in path.parts)
    assert [path.name for path in RUNNABLE if count[path.name] > 1] == []


def test_the_basename_of_a_tool_is_its_own():
    count = Counter(path.name for path in (ROOT / "tools").rglob("*.py"))
    assert [name for name, number in count.items() if number > 1] == []


@pytest.mark.parametrize("path", CONFIGS, ids=name_of)
def test_no_two_bases_of_a_config_set_the_same_name(path):
    """Of two bases that set one name, the later wins without a word."""
    for one, other in combinations(list(base_files(path)), 2):
        both = public_names(one) & public_names(other)
        assert not both, f"{one.name} and {other.name} both set {', '.join(sorted(both))}"


def public_names(path: Path) -> set[str]:
    """Returns the names that a config sets and those that it inherits; what it imports is not among them."""
    own = {
        target.id
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and not target.id.startswith("_")
    }
    return own.union(*(public_names(base) for base in base_files(path)))


def test_the_default_hooks_are_those_of_the_runner():
    """The check knows by heart what the runner adds by itself."""
    from diffkit.engine.defaults import DEFAULT_HOOKS as OF_THE_RUNNER

    assert list(DEFAULT_HOOKS) == list(OF_THE_RUNNER)
    for name, dotted in DEFAULT_HOOKS.items():
        assert dotted.rpartition(".")[2] == OF_THE_RUNNER[name]["type"].rpartition(".")[2]


def test_the_keys_of_a_run_are_those_of_the_runner():
    import inspect

    from mmengine.runner import Runner

    from diffkit.utils.config_check.keys import keys_of_a_run

    keys = set(keys_of_a_run().params)
    assert set(inspect.signature(Runner.__init__).parameters) - {"self", "cfg"} <= keys
    assert {"scale_lr", "resume_allow_change", "runner_type", "model_wrapper_cfg"} <= keys
