"""The check of a whole config: what is a fault, and what its message says."""

import subprocess
import sys
from pathlib import Path

import pytest
from mmengine.config import Config

from diffkit.utils.config_check import ConfigError, check_config
from tests.utils.config_check_kit import faults_of, only_fault, write_config, write_kit


@pytest.fixture
def kit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return write_kit(tmp_path)


def test_a_good_config_comes_back_with_its_options_and_without_helpers(kit):
    cfg = check_config(kit, {"train_cfg.max_iters": 7, "custom_hooks.0.interval": 3})
    assert (cfg.train_cfg.max_iters, cfg._cfg_dict.get("prompt")) == (7, None)
    assert cfg._to_lazy_dict()["custom_hooks"][0]["interval"] == 3


def test_every_fault_is_in_one_message(kit):
    write_config(
        kit.parent,
        """
        max_iterss = 99
        model.update(widht=3, mode="fasst", layers=[dict(type=Hook), dict(intervall=3, type=Hook)])
        train_dataloader.dataset.update(data_root="nowhere")
        """,
    )
    with pytest.raises(ConfigError) as caught:
        check_config(kit)
    text = str(caught.value)
    assert [fault.key for fault in caught.value.faults] == [
        "max_iterss",
        "model.mode",
        "model.widht",
        "model.layers.1.intervall",
        "train_dataloader.dataset.data_root",
    ]
    assert text.startswith("5 faults in run.py")
    assert 'run.py:15: model.widht: Net takes no argument "widht" (given 3); did you mean' in text
    assert "Literal['fast', 'slow'], given 'fasst'; did you mean \"fast\"?" in text
    assert str(kit.parent / "nowhere") in text


@pytest.mark.parametrize(
    ("line", "key", "words"),
    [
        ("max_iterss = 99", "max_iterss", "has no effect (given 99)"),
        ("optim_wraper = dict(dtype='float32')", "optim_wraper", 'did you mean "optim_wrapper"?'),
        ("prompt_b = 'x'", "prompt_b", "nothing reads it"),
        ("model.update(type='toykit.Nett')", "model.type", 'did you mean "Net"'),
        ("model = dict(typ=model['type'], width=3)", "model.typ", 'did you mean "type"?'),
        ("model = dict(width=3)", "model", "needs a type"),
        ("model = 'net'", "model", "wants dict, given 'net'"),
        ("del model", "", 'needs the argument "model"'),
        ("del model['width']", "model", 'Net needs the argument "width"'),
        ("model.update(width='3')", "model.width", "wants int, given '3'"),
        ("model.update(width=True)", "model.width", "wants int, given True"),
        ("model.update(width=1.5)", "model.width", "wants int, given 1.5"),
        ("model.update(width=0)", "model.width", "width must be at least 1, got 0"),
        ("model.update(depth='deep')", "model.depth", "wants int | None"),
        ("model.update(size=(1, 2, 3))", "model.size", "wants Size"),
        ("model.update(size='big')", "model.size", "wants Size"),
        ("model.update(momentun=0.1)", "model.momentun", 'did you mean "momentum"'),
        ("model.update(momentum='high')", "model.momentum", "wants float"),
        ("model.update(style='z')", "model.style", "style must be one of x, y, got 'z'"),
        (
            "model.update(layers=[dict(type='toykit.Layer', rate=2.0)])",
            "model.layers.0.rate",
            "2.0 is no rate",
        ),
        (
            "model.update(layers=[dict(type='toykit.Layer', rat=2.0)])",
            "model.layers.0.rat",
            'did you mean "rate"?',
        ),
        ("model.update(_delete_=True)", "model._delete_", "assign the whole dict anew"),
        ("train_dataloader.update(batch_sise=3)", "train_dataloader.batch_sise", 'did you mean "batch_size"'),
        ("train_dataloader.update(batch_size=0)", "train_dataloader.batch_size", "1 or more, not 0"),
        ("train_dataloader.update(num_workers=-1)", "train_dataloader.num_workers", "0 or more, not -1"),
        ("train_dataloader.dataset.update(hidden=3)", "train_dataloader.dataset.hidden", "takes no argument"),
        ("train_dataloader.dataset.update(columns='a')", "train_dataloader.dataset.columns", "list[str]"),
        (
            "train_dataloader.collate_fn.update(pax=1)",
            "train_dataloader.collate_fn.pax",
            'did you mean "pad"?',
        ),
        ("train_dataloader.pop('sampler')", "train_dataloader", "sampler must be set"),
        ("optim_wrapper.clip_grad.update(max_norm=0)", "optim_wrapper.clip_grad.max_norm", "above 0"),
        (
            "optim_wrapper.clip_grad.update(max_nrom=1)",
            "optim_wrapper.clip_grad.max_nrom",
            'did you mean "max_norm"',
        ),
        ("optim_wrapper.optimizer.update(betas=0.9)", "optim_wrapper.optimizer.betas", "tuple[float, float]"),
        ("optim_wrapper.optimizer.pop('type')", "optim_wrapper.optimizer", "needs a type"),
        ("custom_hooks[0].update(prompts='a')", "custom_hooks.0.prompts", "Sequence[str]"),
        (
            "custom_hooks.append(dict(type=Hook, intervl=1))",
            "custom_hooks.1.intervl",
            'did you mean "interval"?',
        ),
        ("randomness.update(sead=1)", "randomness.sead", 'did you mean "seed"?'),
        ("log_level = 'LOUD'", "log_level", "wants Literal"),
        ("launcher = 'slrum'", "launcher", 'did you mean "slurm"?'),
        ("env_cfg = dict(dist_cgf=dict())", "env_cfg.dist_cgf", 'did you mean "dist_cfg"?'),
    ],
)
def test_one_fault_names_its_key(kit, line, key, words):
    write_config(kit.parent, f"\n{line}\n")
    fault = only_fault(kit)
    assert fault.key == key
    assert words in fault.message
    if key and not line.startswith("del") and ".pop(" not in line:
        assert fault.file == "run.py"
        assert fault.line == len(kit.read_text().splitlines())


@pytest.mark.parametrize(
    "line",
    [
        "model.update(width=8, momentum=1, size=(8, 8), depth=None)",
        "model.update(size=[8, 8], layers=(dict(type='toykit.Layer', rate=1),))",
        "custom_hooks = [dict(type=Hook.often, times=3)]",
        "custom_hooks = [dict(type='toykit.parts.Hook')]",
        "visualizer = dict(vis_backends=[dict(type='LocalVisBackend'), dict(type='mmengine.WandbVisBackend')])",
        "optim_wrapper.optimizer = dict(type='AdamW', lr=1e-3, betas=(0.5, 0.9))",
        "optim_wrapper.optimizer = dict(type='torch.optim.SGD', lr=1)",
        "param_scheduler = [dict(type='LinearLR', start_factor=0.5, end=3)]",
        "default_hooks = dict(checkpoint=dict(interval=5), timer=None)",
        "_note = 'private names are left alone'",
        "test_evaluator = dict(type='Evaluator', metrics=[])\ntest_cfg = dict(type='TestLoop')\n"
        "test_dataloader = train_dataloader",
        "part = 'b'\nprompt2 = part + 'c'\nmodel.update(style=prompt2[:0] or 'x')",
        "train_dataloader.dataset.data_root = '~'",
    ],
)
def test_these_are_no_faults(kit, line):
    write_config(kit.parent, f"\n{line}\n")
    assert faults_of(kit) == []


def test_a_fault_in_a_base_names_the_base(kit):
    base = kit.parent / "base_run.py"
    base.write_text(base.read_text().replace("num_workers=0", "num_workers='two'"))
    fault = only_fault(kit)
    assert (fault.key, fault.file, fault.line) == ("train_dataloader.num_workers", "base_run.py", 6)


def test_options_are_checked_like_the_file(kit):
    assert only_fault(kit, train_cfg__max_iterss=3).message.startswith('there is no "max_iterss" in train_cfg; did')
    assert only_fault(kit, train_cgf__max_iters=3).key == "train_cgf.max_iters"
    assert only_fault(kit, custom_hooks__3__interval=3).message.startswith("custom_hooks is a list of 1")
    assert only_fault(kit, model__width__x=3).message.startswith("model.width is 4, which has no keys")
    fault = only_fault(kit, train_cfg__max_iters="abc")
    assert (fault.key, fault.file, fault.line) == ("train_cfg.max_iters", "--cfg-options", None)


def test_an_option_may_set_what_the_config_leaves_out(kit):
    assert faults_of(kit, model__depth=3, work_dir="somewhere", resume=True, env_cfg__num_threads=1) == []
    assert check_config(kit, {"randomness.deterministic": True}).randomness.deterministic is True


def test_the_given_config_is_left_alone(kit):
    cfg = Config.fromfile(kit)
    check_config(cfg, {"train_cfg.max_iters": 3})
    assert cfg._to_lazy_dict()["train_cfg"]["max_iters"] == 10


def test_a_dumped_config_passes_again(kit):
    dumped = kit.parent / "dumped.py"
    check_config(kit).dump(dumped)
    assert "toykit.Net" in dumped.read_text()
    assert faults_of(dumped) == []
    dumped.write_text(dumped.read_text() + "\nmax_iters = 3\n")
    assert only_fault(dumped).key == "max_iters"


def test_a_config_without_a_file_is_checked(kit):
    cfg = Config(dict(model=dict(type="toykit.Net", width=1), helper=3))
    assert only_fault(cfg).key == "helper"


def test_an_import_that_leads_nowhere_is_a_fault_at_its_line(kit):
    write_config(kit.parent, "\nfrom toykit import Hok\nfrom not_there import X\n")
    first, second = faults_of(kit)
    assert (first.key, first.line) == ("import Hok", 14)
    assert 'did you mean "Hook"' in first.message
    assert second.message == 'no package "not_there" is installed'


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("model = dict(", "no valid Python", 1),
        ("model = dict(type=Nett)", 'nothing is called "Nett" here', 1),
        ("model = dict()\nmodel.tuners.update(a=1)", "no such key to change", 2),
        ("text = 1", "keeps this name for itself", 1),
        ("x = 1\n1 / 0", "ZeroDivisionError", 2),
        (
            "from mmengine.config import read_base\nwith read_base():\n    from .nope import *",
            "there is no base .nope (looked for nope.py)",
            3,
        ),
    ],
)
def test_a_config_that_cannot_be_read_says_where(kit, text, words, line):
    path = write_config(kit.parent, text=f"{text}\n", name="broken.py")
    fault = only_fault(path)
    assert (fault.kind, fault.file) == ("load", "broken.py")
    assert words in fault.message
    assert fault.line == line


def test_a_wrong_attribute_names_the_near_key(kit):
    write_config(kit.parent, "\ntrain_dataloader.datset.update(data_root='.')\n")
    fault = only_fault(kit)
    assert (fault.key, fault.line) == ("train_dataloader.datset", 14)
    assert 'did you mean "dataset"?' in fault.message


def test_a_missing_config_names_its_neighbours(kit):
    assert "did you mean" in only_fault(kit.parent / "rum.py").message
    assert "is a folder" in only_fault(kit.parent).message


def test_a_helper_that_a_base_has_used_is_stale(kit):
    base = kit.parent / "base_run.py"
    base.write_text("root = '.'\n" + base.read_text().replace('data_root="."', "data_root=root"))
    assert faults_of(kit) == []
    write_config(kit.parent, "\nroot = 'elsewhere'\n")
    assert "a base has used its value already" in only_fault(kit).message


def test_names_registered_by_custom_imports_are_found(kit):
    (kit.parent / "mine.py").write_text(
        "from diffkit.registry import HOOKS\n\n\n@HOOKS.register_module()\nclass MyHook:\n"
        "    def __init__(self, often: int = 1): ...\n"
    )
    write_config(
        kit.parent,
        "\ncustom_imports = dict(imports=['mine'])\ncustom_hooks = [dict(type='MyHook', oftn=1)]\n",
    )
    assert only_fault(kit).key == "custom_hooks.0.oftn"


def test_nothing_heavy_is_imported(kit):
    code = f"""
import sys, time
from diffkit.utils.config_check import check_config
check_config({str(kit)!r})
heavy = [m for m in ("torch", "diffusers", "transformers", "diffkit.models", "toykit") if m in sys.modules]
assert not heavy, heavy
assert time.process_time() < 3, time.process_time()
"""
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": f"{Path.cwd()}:{':'.join(sys.path)}"})
