"""Finding and copying the configs that come with diffkit."""

from pathlib import Path

import pytest
from mmengine.config import Config

from diffkit.apis import configs
from diffkit.apis.configs import copy_config, find_config, list_configs, summary

BASE = 'model = dict(type="X", width=1)\n'
FIRST = '''"""The first experiment.

More about it.
"""
from mmengine.config import read_base

with read_base():
    from .._base_.models.thing import *
    from .._base_.runtime import *

model.update(width=2)
'''
SECOND = '''"""The second one."""
from mmengine.config import read_base

with read_base():
    from ..method.first_config import *

model.update(height=3)
'''


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A folder of shipped configs, and an empty working directory."""
    files = {
        "_base_/models/thing.py": "from mmengine.config import read_base\n\nwith read_base():\n"
        "    from ..shared import *\n\nmodel.update(depth=4)\n",
        "_base_/shared.py": BASE,
        "_base_/runtime.py": "work_dir = None\n",
        "method/first_config.py": FIRST,
        "other/second_config.py": SECOND,
    }
    folder = tmp_path / "shipped"
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(configs, "config_root", lambda: folder)
    return folder


def test_list_leaves_out_bases(root):
    assert [path.stem for path in list_configs()] == ["first_config", "second_config"]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("first", ["first_config"]),
        ("other/", ["second_config"]),
        ("*_config", ["first_config", "second_config"]),
        ("method/*", ["first_config"]),
        ("nothing", []),
    ],
)
def test_list_by_pattern(root, pattern, names):
    assert [path.stem for path in list_configs(pattern)] == names


def test_a_file_of_the_user_comes_first(root):
    Path("first_config.py").write_text("x = 1\n", encoding="utf-8")
    assert find_config("first_config.py") == Path("first_config.py")
    assert find_config("first_config") == root / "method" / "first_config.py"


@pytest.mark.parametrize("name", ["first_config", "first_config.py", "configs/method/first_config.py"])
def test_find_by_name(root, name):
    assert find_config(name) == root / "method" / "first_config.py"


def test_find_names_the_nearest(root):
    with pytest.raises(FileNotFoundError, match=r"no file 'frist_config'.*did you mean \"first_config\""):
        find_config("frist_config")


def test_find_names_the_nearest_file_beside_it(root):
    Path("my_dog.py").write_text("x = 1\n", encoding="utf-8")
    Path("sub").mkdir()
    Path("sub/second.py").write_text("x = 1\n", encoding="utf-8")
    for name in ("my_dogg.py", "my_dogg", "my-dog.py"):
        with pytest.raises(FileNotFoundError, match=r"did you mean the file my_dog\.py\?"):
            find_config(name)
    with pytest.raises(FileNotFoundError, match=r"did you mean the file sub/second\.py\? \("):
        find_config("sub/secnd.py")
    with pytest.raises(FileNotFoundError) as caught:
        find_config("first_confgi.py")
    assert 'did you mean "first_config"?' in str(caught.value)
    assert "the file" not in str(caught.value)


def test_summary(root):
    assert summary(root / "method" / "first_config.py") == "The first experiment."
    assert summary(root / "_base_" / "runtime.py") == ""


@pytest.mark.parametrize("name", ["first_config", "second_config"])
@pytest.mark.parametrize("dest", [".", "new/folder", "new/mine.py"])
def test_a_copy_loads_from_its_new_place(root, name, dest):
    original = Config.fromfile(find_config(name))
    written = copy_config(name, dest)
    assert written[0] == (Path(dest) if dest.endswith(".py") else Path(dest) / f"{name}.py")
    assert all(path.is_file() and path.parts[0] != ".." for path in written)
    for path in root.rglob("*.py"):
        path.unlink()
    copied = Config.fromfile(written[0])
    assert copied.to_dict() == original.to_dict()
    assert copied.model.width == 2


def test_a_copy_can_be_copied(root):
    first = copy_config("second_config", "one")[0]
    second = copy_config(first, "two/three.py")[0]
    assert Config.fromfile(second).to_dict() == Config.fromfile(first).to_dict()


def test_a_different_file_is_not_replaced(root):
    written = copy_config("first_config")
    assert copy_config("first_config") == written
    written[0].write_text("mine = 1\n", encoding="utf-8")
    before = {path: path.read_text(encoding="utf-8") for path in written}
    with pytest.raises(FileExistsError, match=r"first_config.py would be replaced"):
        copy_config("first_config")
    assert {path: path.read_text(encoding="utf-8") for path in written} == before
    copy_config("first_config", force=True)
    assert written[0].read_text(encoding="utf-8") != "mine = 1\n"


def test_a_missing_base_is_named(root):
    (root / "_base_" / "runtime.py").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"first_config.py, line 9: the base .*runtime.py does not exist"
    ):
        copy_config("first_config")


@pytest.mark.parametrize("path", list_configs(), ids=lambda path: path.stem)
def test_every_shipped_config_can_be_copied(path, tmp_path):
    copied = copy_config(path.stem, tmp_path / "mine")[0]
    assert Config.fromfile(copied).to_dict() == Config.fromfile(path).to_dict()
    assert summary(path), "a config needs a docstring for diffkit list-cfg"
