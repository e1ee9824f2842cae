"""A config read as data: the same values as MMEngine finds, and nothing of the file is executed."""

import contextlib
from pathlib import Path

import pytest
from mmengine.config import Config

from diffkit import cli
from diffkit.apis.configs import copy_config, list_configs
from diffkit.utils.config_check import ConfigError, check_config, read_safely

#: The file that a config in these tests makes when it is executed.
MARK = "executed"
MAKE = f"open('{MARK}', 'w')"
HEAD = "from mmengine.config import read_base\n\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(text: str, name: str = "given.py") -> Path:
    path = Path(name)
    path.write_text(text.rstrip("\n") + "\n", encoding="utf-8")
    return path


def faults(path: Path) -> list[str]:
    """What is said about a config that is refused; it must not have been executed."""
    with pytest.raises(ConfigError) as caught:
        read_safely(path)
    assert not Path(MARK).exists()
    assert str(caught.value).count("\n") == len(caught.value.faults)
    return [str(fault) for fault in caught.value.faults]


def execute(path: Path) -> None:
    """Lets MMEngine read the config, whatever comes of it."""
    with contextlib.suppress(Exception):
        Config.fromfile(path)


@pytest.mark.parametrize("path", list_configs(), ids=lambda path: path.stem)
def test_every_shipped_config_is_data_and_says_the_same(path):
    read, executed = read_safely(path), Config.fromfile(path)
    assert read.to_dict() == executed.to_dict()
    assert read._imported_names == executed._imported_names - {"read_base"}
    assert read.filename == executed.filename


@pytest.mark.parametrize("name", ["mini_sd_dreambooth", "mini_sd_vae"])
def test_copies_and_dumps_are_data_too(name):
    copied = copy_config(name, "mine")[0]
    assert read_safely(copied).to_dict() == Config.fromfile(copied).to_dict()
    Config.fromfile(copied).dump("dumped.py")
    assert read_safely(Path("dumped.py")).to_dict() == Config.fromfile("dumped.py").to_dict()


BASE = "work_dir = 'a'\nmodel = dict(x=1, deep=dict(y=[1, 2], z=None), gone=3)\nsizes = [64, 128]\n"
DATA = """
from .base import *

from torch.optim import AdamW
from diffkit.engine import Runner as Ours
import mmengine.hooks
import torch.optim as optimizers
{body}
"""


@pytest.mark.parametrize(
    "body",
    [
        "a = (1, -2.5, 'x' 'y', True, None, b'z', {1, 2}, [*range(3)], {**model, 'k': 1})",
        "a = dict(type=AdamW, lr=10 / 4 ** 0.5 - 3 // 2 + 7 % 4)\nb = dict(a, lr=2)\nc = [a['lr'], b['type']]",
        "runner_type = Ours\ncustom_hooks = [dict(type=mmengine.hooks.LoggerHook), dict(type='IterTimerHook')]",
        "optim_wrapper = dict(optimizer=dict(type=optimizers.SGD, lr=1))",
        "model.update(deep=dict(y=[3]), new=dict(w=1))\nmodel.deep.update(z=dict(q=2))\nmodel.deep.z.q += 3",
        "model.deep.y.append(3)\nmodel.deep.y += [4]\nmodel.deep.y.extend((5, 6))\nmodel.deep.y.insert(0, 0)",
        "model.pop('gone')\ndel model.x\ndel sizes[0]",
        "model.tuners = dict(unet=dict(type=AdamW))\nmodel['more'] = model.deep.y[-1]\ncut = sizes[1:] + sizes[:1]",
        "first, (second, third) = 1, ('b', [2])\n_private = third[0] if second == 'b' and not first > 1 else 0",
        "prompts = [f'a {c!r} {s}' for c, s in (('red', 'x'), ('blue', 'y')) for _ in range(2) if s != 'z']",
        "table = {k: v * 2 for k, v in zip('ab', (1, 2))}\nkeys = sorted(table.keys())\nn = max(len(k) for k in table)",
        "words = ', '.join(str(s) for s in sizes).upper().replace('1', '2').split(',')",
        "model.setdefault('deep', 1)\nmodel.setdefault('other', 2)\nn = model.get('no', 5)\nitems = [*model.items()]",
        "'''A docstring.'''\npass\nchoice = 'a' in 'abc' and 1 <= 2 < 3 or False",
    ],
)
def test_plain_statements_have_the_values_that_they_have_when_executed(body):
    write(BASE, "base.py")
    head, _, rest = DATA.format(body=body).partition("from .base import *\n")
    path = write(f"{HEAD}{head}with read_base():\n    from .base import *\n{rest}")
    read, executed = read_safely(path), Config.fromfile(path)
    assert read.to_dict() == executed.to_dict()


EXECUTED = {
    "system": ("import posix\nposix.system('touch executed')", "import of posix"),
    "builtins": ("from builtins import open as dict\nx = dict('executed', 'w')", "import of builtins.open"),
    "__import__": ("x = __import__('os').system('touch executed')", "a call of __import__"),
    "eval": (f'x = eval("{MAKE}")', "a call of eval"),
    "exec": (f'exec("{MAKE}")', "a call of exec"),
    "getattr": ("x = getattr(__import__('os'), 'sys' + 'tem')('touch executed')", "a call of getattr"),
    "open": (f"x = {MAKE}", "a call of open"),
    "attribute of a package": ("from mmengine.config.config import os\nos.system('touch executed')", "config.os"),
    "module of a package": ("import mmengine.config.config as c\nx = c.os.system('touch executed')", "config.config"),
    "decorator": (f"@(lambda f: {MAKE})\ndef f(): ...", "a function"),
    "default of an argument": (f"def f(x={MAKE}): ...", "a function"),
    "class body": (f"class A:\n    x = {MAKE}", "a class"),
    "metaclass": (f"class A(metaclass=lambda *a: {MAKE}): ...", "a class"),
    "lambda": (f"x = (lambda: {MAKE})()", "a lambda"),
    "f-string": (f'x = f"{{{MAKE}}}"', "a call of open"),
    "format of an f-string": (f'x = f"{{1:{{len(str({MAKE}))}}}}"', "a format in an f-string"),
    "comprehension": (f"x = [{MAKE} for _ in range(1)]", "a call of open"),
    "test of a comprehension": (f"x = [1 for _ in range(1) if {MAKE}]", "a call of open"),
    "generator": (f"x = list({MAKE} for _ in range(1))", "a call of open"),
    "key of a function": (f"x = sorted([\"{MAKE}\"], key=eval)", 'the name "eval"'),
    "map": (f"x = list(map(eval, [\"{MAKE}\"]))", 'the name "eval"'),
    "another name": (f"f = open\nx = f('{MARK}', 'w')", 'the name "open"'),
    "walrus": (f"x = (y := {MAKE})", "an assignment inside an expression"),
    "annotation": (f"x: {MAKE} = 1", "an annotation"),
    "assert": (f"assert {MAKE}", "an assert"),
    "if": (f"if {MAKE}:\n    pass", "an if statement"),
    "while": (f"while not {MAKE}: ...", "a loop"),
    "for": (f"for x in [{MAKE}]: ...", "a loop"),
    "try": (f"try:\n    {MAKE}\nfinally:\n    pass", "a try statement"),
    "match": (f"match {MAKE}:\n    case _: ...", "a match statement"),
    "raise": (f"raise ValueError({MAKE})", "a raise"),
    "subscript": (f"x = [1]\nx[len(str({MAKE})) * 0] = 2", "a call of open"),
    "dunder attribute": (f"x = ().__class__.__base__.__subclasses__()\ny = {MAKE}", 'the attribute "__class__"'),
    "method of a text": (f"x = '{{0}}'.format({MAKE})", "a call of '{0}'.format"),
    "star": (f"x = [*{MAKE}.name]", "a call of open"),
    "dict display": (f"x = {{**dict(a={MAKE})}}", "a call of open"),
    "delete": (f"x = [1]\ndel x[len(str({MAKE})) * 0]", "a call of open"),
}


@pytest.mark.parametrize("case", EXECUTED)
def test_what_would_be_executed_is_refused_with_its_line(case):
    text, what = EXECUTED[case]
    path = write(f"# a comment\n{text}")
    found = faults(path)
    first = next(i for i, line in enumerate(path.read_text().splitlines(), 1) if _is_named(found, i, what))
    assert first >= 2
    execute(path)
    assert Path(MARK).exists(), "this config does no harm: the test says nothing"


def _is_named(found: list[str], line: int, what: str) -> bool:
    return any(fault.startswith(f"given.py:{line}: refused: ") and what in fault for fault in found)


def test_all_that_is_refused_is_listed():
    found = faults(write("import os\nx = 1\ny = eval('1')\n\n\ndef f(): ...\n"))
    assert [fault.split(": refused: ")[0] for fault in found] == ["given.py:1", "given.py:3", "given.py:6"]


def test_text_that_mmengine_replaces_before_it_reads_is_refused():
    path = write("x = 1\ny = dict(note='{{$NOT_SET:os.system}}')")
    assert faults(path) == ["given.py:2: refused: {{, which MMEngine may replace before it reads the file"]
    assert Config.fromfile(path).y.note == "os.system"


def test_a_path_that_mmengine_would_execute_is_refused():
    path = write("from diffkit.engine import Runner\nx = 1", f"""a", {MAKE}, "b.py""")
    assert "a quote or a backslash in the path" in faults(path)[0]
    execute(path)
    assert Path(MARK).exists()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("import os\nos.system('touch executed')", "import of os"),
        ("from os import path", "import of os.path"),
        ("from subprocess import run\nx = run(['touch', 'executed'])", "import of subprocess.run"),
        ("import torch", "import of torch"),
        ("import diffkit, os", "several modules in one import"),
        ("from torch.hub import load", "import of torch.hub.load"),
        ("from torch.optim import Nothing", '"torch.optim" has no "Nothing"'),
        ("from torch.optim.adamw import torch", "torch.optim.adamw.torch"),
        ("from diffkit.engine.runner import os", "diffkit.engine.runner.os: it is no registered part"),
        ("from mmengine.utils.package_utils import subprocess", "package_utils.subprocess (it comes from subprocess)"),
        ("from mmengine.config import Config", "import of mmengine.config.Config"),
        ("from mmengine.utils import import_modules_from_strings", "it is no registered part"),
        ("from mmengine.runner import Runner", "mmengine.runner.Runner"),
        ("from mmengine.hooks import EMAHook", "mmengine.hooks.EMAHook"),
        ("from diffkit.cli import main", "diffkit.cli.main"),
        ("from diffkit.engine import Runner as dict", 'another meaning for "dict"'),
        ("from .other import x", "an import of a file outside of `with read_base():`"),
        ("from diffkit.models import *", "an import of a file outside of `with read_base():`"),
        ("dict = 1", 'another meaning for "dict"'),
        ("__builtins__ = 1", 'the name "__builtins__"'),
        ("_base_ = ['other.py']", 'the name "_base_"'),
        ("x = print", 'the name "print"'),
        ("x = ...", "the constant Ellipsis"),
        ("x = __file__", 'the name "__file__"'),
        ("x = 1 << 10 ** 9", "the operator of `1 << 10 ** 9`"),
        ("from torch.optim import AdamW\nx = AdamW(lr=1)", "a call of AdamW: write dict(type=AdamW, …)"),
        ("x = 'a'.encode()", "a call of 'a'.encode"),
        ("x = 'a'.join.__self__", 'the attribute "__self__"'),
        ("with open('x') as f:\n    pass", "a with block other than `with read_base():`"),
        ("async def f(): ...", "a function"),
        ("global x", "a global statement"),
    ],
)
def test_what_is_no_data_is_refused(text, what):
    assert any(what in fault and fault.startswith("given.py:") for fault in faults(write(text)))


@pytest.mark.parametrize("inner", ["import os", "x = 1", "pass", "with read_base():\n        from .base import *"])
def test_only_bases_stand_inside_read_base(inner):
    write(BASE, "base.py")
    found = faults(write(f"{HEAD}with read_base():\n    {inner}"))
    assert found[0].startswith("given.py:4: refused: ")
    assert found[0].endswith("inside `with read_base():`")


@pytest.mark.parametrize(
    "name",
    [
        "builtins.eval", "os.system", "os", "subprocess.run", "torch.load", "torch.hub.load", "posix.system",
        "mmengine.utils.import_modules_from_strings", "mmengine.utils.package_utils.subprocess.run",
        "mmengine.fileio.load", "mmengine.runner.Runner", "mmengine.EMAHook", "PretrainedInit", "EMA_Hook",
        "diffkit.cli.main", "diffkit.apis.train", "diffkit.apis.train.train", "diffkit.engine.runner.os.system",
        "diffkit./tmp/evil.Hook", "diffkit.engine.hooks.SampleHook.generate", "..os.system", "", "__main__.x",
        "diffkit.engine.Runner.from_cfg", "torch.optim.AdamW.step", "torch.optim.sgd._single_tensor_sgd",
    ],
)  # fmt: skip
@pytest.mark.parametrize("place", ["custom_hooks = [dict(type={})]", "model = dict(a=dict(b=[dict(type={}, c=1)]))"])
def test_a_type_that_is_no_part_is_refused(place, name):
    (fault,) = faults(write("x = 1\n" + place.format(repr(name))))
    assert fault.startswith("given.py:2: ")
    assert ".type: refused: " in fault


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("import mmengine.utils\nx = dict(type=mmengine.utils.package_utils.subprocess.run)", "x.type"),
        ("import mmengine.utils\nx = [mmengine.utils]", "x.0"),
        ("import diffkit\nx = dict(type=diffkit.engine.runner.os.system)", "x.type"),
        ("import torch.optim as o\nx = dict(type=o.lr_scheduler.types.FunctionType)", "x.type"),
        ("import torch.optim as o\nx = dict(type=o.AdamW.build)", "x.type"),
        ("x = dict(type=['os.system'])", "x.type"),
        ("optim_wrapper = dict(constructor='os.system')", "optim_wrapper.constructor"),
        ("runner_type = 'os.system'", "runner_type"),
        ("custom_imports = dict(imports=['evil'])", "custom_imports"),
        ("default_scope = 'evil'", "default_scope"),
        ("x = dict(type='AdamW', _scope_='evil')", "x._scope_"),
    ],
)
def test_what_names_code_in_another_way_is_refused(text, key):
    assert any(f"{key}: refused: " in fault for fault in faults(write(text)))


@pytest.mark.parametrize(
    "text",
    [
        "x = 9 ** 9 ** 9",
        "x = 'a' * 10 ** 9",
        "x = [0] * 10 ** 9",
        "x = list(range(10 ** 12))",
        "x = [0] * 1000\ny = [x] * 1000",
        "x = [0] * 90\ny = [x] * 90\nz = dict(a=y, b=y, c=[y] * 20)",
        "x = '%1000000000d' % 1",
        "x = 'a' * 1000\ny = x.join([x] * 90)\nz = y.join([y] * 90)",
        "x = 'a' * 9000\ny = x.replace('a', x)",
        "x = [i for i in range(1000) for j in range(1000)]",
        "x = [0]\n" + "x += x\n" * 40,
        "x = [0]\nx.append(x)",
        "x = 1\n" + "x = x * 999999999999\n" * 300,
        "x = []\n" + "x = [x]\n" * 3000,
        "x = " + "[" * 3000 + "]" * 3000,
        "x = " + "-" * 50_000 + "1",
        "x = 0\n" + "x = x + 1\n" * 30_000,
        "# " + "x" * 1_000_001,
    ],
)
def test_a_config_that_would_fill_the_memory_is_refused(text):
    assert len(faults(write(text))) == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("x = y", 'given.py:1: cannot be read as data: nothing is called "y" here'),
        ("x = dict(a=1)\ny = x.a", 'given.py:2: cannot be read as data: {\'a\': 1} has no "a"; in a dict of this file'),
        ("x = dict(a=1)\nx.a = 2", "given.py:2: cannot be read as data: {'a': 1} takes no \"a\""),
        ("x = {}['a']", "given.py:1: cannot be read as data: KeyError: 'a'"),
        ("x, y = 1, 2, 3", "given.py:1: cannot be read as data: 2 names for 3 values"),
        ("x = 1 / 0", "given.py:1: cannot be read as data: ZeroDivisionError"),
        ("import torch.optim as o\nx = o.get('a')", "given.py:2: cannot be read as data: a call of o.get"),
        ("x = f'{[1]}'", "given.py:1: cannot be read as data: a text made of [1]"),
        ("text = 1", "text is reserved for config file"),
        ("x = (", "given.py:1: this is no valid Python"),
    ],
)
def test_a_config_that_cannot_be_read_says_where(text, what):
    assert faults(write(text))[0].startswith(what) or what in faults(write(text))[0]


def test_a_base_is_read_in_the_same_way_and_named():
    write(f"a = 1\nb = {MAKE}", "base.py")
    path = write(f"{HEAD}with read_base():\n    from .base import *")
    assert faults(path) == ["base.py:2: refused: a call of open"]
    write("a = 1 / 0", "base.py")
    assert faults(path)[0].startswith("base.py:1: cannot be read as data: ZeroDivisionError")
    write("custom_hooks = [\n    dict(type='os.system')]", "base.py")
    assert faults(path)[0].startswith("base.py:2: custom_hooks.0.type: refused: os.system")


def test_a_base_is_named_by_its_place(here, monkeypatch):
    """MMEngine finds a package in another way than Python does."""
    monkeypatch.syspath_prepend(here)
    path = write(f"{HEAD}with read_base():\n    from diffkit.configs.x import *")
    (here / "evil").mkdir()
    for name in ("__init__", "base"):
        write("x = 1", f"evil/{name}.py")
    found = faults(path)
    assert "there is no base diffkit.configs.x" in found[0]
    path = write(f"{HEAD}with read_base():\n    from evil.base import *")
    assert faults(path)[0].startswith("given.py:4: refused: a base that is not named by its place")


def test_the_folder_above_a_link_is_that_of_its_target(here):
    """Else another base would be judged than the one that is executed."""
    (here / "real/inside").mkdir(parents=True)
    (here / "link").symlink_to("real/inside")
    for folder, text in ((here, "x = 1"), (here / "real", f"x = {MAKE}")):
        (folder / "base.py").write_text(text)
    path = write(f"{HEAD}with read_base():\n    from ..base import *", "link/given.py")
    assert "refused: a call of open" in faults(path)[0]
    execute(path)
    assert Path(MARK).exists()


def test_a_dot_in_a_key_does_not_hide_a_type():
    (fault,) = faults(write("optim_wrapper = {'clip_grad': dict(type='norm'), 'a.b': dict(type='os.system')}"))
    assert "os.system" in fault
    (fault,) = faults(write("model = {'family.scratch.unet': dict(type='os.system')}"))
    assert "os.system" in fault


def test_bases_that_lead_in_a_circle_or_nowhere():
    path = write(f"{HEAD}with read_base():\n    from .given import *")
    assert "inherits from itself" in faults(path)[0]
    with pytest.raises(ConfigError, match=r"given\.py inherits from itself"):
        check_config(path)
    path = write(f"{HEAD}with read_base():\n    from .gone import *")
    assert faults(path)[0].startswith("given.py:4: there is no base .gone")
    assert "there is no such file" in faults(Path("gone.py"))[0]


@pytest.mark.parametrize("name", ["given.yaml", "given.yml", "given.json", "given"])
def test_only_python_is_read(name):
    write("a: !!python/object/apply:os.system ['touch executed']\n", name)
    assert "--safe reads configs in Python only" in faults(Path(name))[0]


def test_the_command(capsys):
    assert cli.main(["check", "--safe", "mini_sd_dreambooth_lora"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("mini_sd_dreambooth_lora.py: only data; nothing of it was executed")
    assert said[1].endswith("mini_sd_dreambooth_lora.py: no faults")
    write(f"model = dict(type='LatentDiffusion')\nx = {MAKE}")
    assert cli.main(["check", "--safe", "given.py"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "given.py:2: refused: a call of open" in captured.err
    assert not Path(MARK).exists()


def test_the_command_still_finds_faults(capsys):
    write("model = dict(type='LatentDiffusion', tunes=3)")
    assert cli.main(["check", "--safe", "given.py"]) == 1
    captured = capsys.readouterr()
    assert "only data" in captured.out
    assert "model.tunes: LatentDiffusion takes no argument" in captured.err
