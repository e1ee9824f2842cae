"""What wheel, sdist and editable installs hold for mim."""

import ast
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from mmengine.config import Config
from packaging.requirements import Requirement

from tests.utils.config_check_kit import faults_of

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted(path for path in (ROOT / "configs").rglob("*.py") if "_base_" not in path.parts)
BUILT = (
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "LICENSE",
    "model-index.yml",
    "requirements",
    "tools",
    "configs",
    "diffkit",
)


def setup_py(checkout: Path, *arguments: str) -> None:
    """Runs setup.py of a checkout."""
    command = [sys.executable, "setup.py", "-q", *arguments]
    result = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def clean_checkout(folder: Path) -> Path:
    """Makes a checkout: links to the folders, but no ``.mim`` and no earlier build."""
    (folder / "diffkit").mkdir(parents=True)
    for name in BUILT:
        if (ROOT / name).is_file():
            (folder / name).write_bytes((ROOT / name).read_bytes())
        elif name != "diffkit":
            (folder / name).symlink_to(ROOT / name, target_is_directory=True)
    for path in (ROOT / "diffkit").iterdir():
        if path.name not in (".mim", "__pycache__"):
            (folder / "diffkit" / path.name).symlink_to(path, target_is_directory=path.is_dir())
    return folder


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    return clean_checkout(tmp_path_factory.mktemp("checkout") / "diffkit")


@pytest.fixture(scope="module")
def built(checkout, tmp_path_factory) -> Path:
    """The package as a wheel holds it."""
    folder = tmp_path_factory.mktemp("built")
    setup_py(checkout, "build_py", "--build-lib", str(folder))
    return folder / "diffkit"


def test_a_wheel_holds_tools_and_configs(built):
    for name in ("tools", "configs"):
        assert _names(built / ".mim" / name) == _names(ROOT / name)
        assert not any(path.is_symlink() for path in (built / ".mim").rglob("*"))
    assert (built / ".mim" / "model-index.yml").is_file()


def test_a_wheel_holds_the_data_of_the_package(built):
    assert (built / "py.typed").is_file()
    wanted = {
        path for end in ("safetensors", "json", "txt", "md") for path in _names(ROOT / "diffkit/miniatures", end)
    }
    assert _names(built / "miniatures", "*") == wanted
    assert _names(built / "app/page", "*") == _names(ROOT / "diffkit/app/page", "*") > {"index.html"}


def test_a_wheel_holds_every_module(built):
    assert _names(built, "py") - _names(built / ".mim", "py", built) == {
        name for name in _names(ROOT / "diffkit", "py") if not name.startswith(".mim")
    }


def test_a_second_build_leaves_nothing_old(built, checkout):
    (built / ".mim" / "tools" / "old.py").write_text("", encoding="utf-8")
    setup_py(checkout, "build_py", "--build-lib", str(built.parent))
    assert not (built / ".mim" / "tools" / "old.py").exists()


def test_an_editable_install_links_to_the_checkout(checkout, monkeypatch):
    sys_path = os.pathsep.join(path for path in sys.path if path)
    code = """
import setuptools, sys, runpy
from setuptools.dist import Distribution
sys.argv = ["setup.py", "-q", "editable_wheel", "--dist-dir", "dist"]
runpy.run_path("setup.py", run_name="__main__")
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": sys_path},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    for name in ("tools", "configs", "model-index.yml"):
        link = checkout / "diffkit" / ".mim" / name
        assert link.is_symlink()
        assert not os.path.isabs(os.readlink(link))
        assert link.resolve() == (ROOT / name if name != "model-index.yml" else checkout / name).resolve()
    import zipfile

    (wheel,) = (checkout / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (top_level,) = (name for name in archive.namelist() if name.endswith("top_level.txt"))
        lines = archive.read(top_level).decode().splitlines()
    # mim joins site-packages with the first line
    assert os.path.join("/somewhere/site-packages", lines[0]) == str(checkout / "diffkit")


def test_an_sdist_holds_what_a_wheel_needs(checkout, tmp_path):
    setup_py(checkout, "sdist", "--dist-dir", str(tmp_path))
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    assert {"setup.py", "LICENSE", "model-index.yml", "requirements/runtime.txt", "diffkit/py.typed"} <= names
    assert {f"tools/{name}" for name in _names(ROOT / "tools")} <= names
    assert {f"configs/{name}" for name in _names(ROOT / "configs")} <= names
    assert not any(".mim" in name for name in names)


def test_mim_finds_each_config_by_its_file_name():
    """mim searches the whole package for the last part of a path, and refuses when there are two."""
    others = [
        path.name
        for folder in ("diffkit", "tools", "configs")
        for path in (ROOT / folder).rglob("*.py")
        if ".mim" not in path.parts
    ]
    assert not [path.name for path in SHIPPED if others.count(path.name) > 1]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_config_that_mim_gridsearch_has_written_out_has_no_faults(path, tmp_path):
    """mim writes all names of a config and their values, so a helper variable is read by nothing in its copy."""
    copy = tmp_path / f"{path.stem}_search_optim_wrapper.optimizer.lr_0.1.py"
    copy.write_text(Config.fromfile(path).pretty_text, encoding="utf-8")
    assert not [str(fault) for fault in faults_of(copy) if fault.kind != "path"]  # pictures are the user's


def test_the_model_index_names_every_config_once():
    lines = (ROOT / "model-index.yml").read_text(encoding="utf-8").splitlines()
    listed = sorted(line.split("Config: ")[1] for line in lines if "Config: " in line)
    assert listed == sorted(path.relative_to(ROOT).as_posix() for path in SHIPPED)
    names = [line.split("- Name: ")[1] for line in lines if "- Name: " in line]
    assert {Path(path).stem for path in listed} <= set(names)


def test_the_pinned_versions_are_within_the_ranges():
    pins = {
        pin.name.lower().replace("_", "-"): str(pin.specifier)[2:]
        for pin in map(Requirement, _lines("constraints"))
    }
    for name in ("runtime", "tests", "docs"):
        for requirement in map(Requirement, _lines(name)):
            pinned = pins[requirement.name.lower()]
            assert requirement.specifier.contains(pinned), f"{requirement} and {pinned}"


def test_every_module_that_is_imported_is_required():
    required = {Requirement(line).name.lower().replace("-", "_") for line in _lines("runtime")}
    known = {"PIL": "pillow"}
    for path in (ROOT / "diffkit").rglob("*.py"):
        for node in ast.parse(
            path.read_text(encoding="utf-8")
        ).body:  # the top level: inside functions it is optional
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for module in modules:
                name = module.split(".")[0]
                if name in sys.stdlib_module_names or name == "diffkit":
                    continue
                assert known.get(name, name).lower() in required, f"{path}, line {node.lineno}: {module}"


@pytest.mark.parametrize("name", ["mini_sd", "mini_sdxl"])
def test_the_weights_fit_the_limit(name):
    """Each miniature that ships with the package is at most 10 MB."""
    files = [path for path in (ROOT / "diffkit/miniatures" / name).rglob("*") if path.is_file()]
    assert 1e6 < sum(path.stat().st_size for path in files) <= 10e6


def _lines(name: str) -> list[str]:
    text = (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    return [line for line in (line.split("#")[0].strip() for line in text.splitlines()) if line]


def _names(folder: Path, end: str = "py", start: Path | None = None) -> set[str]:
    return {
        str(path.relative_to(start or folder))
        for path in folder.rglob(f"*.{end}")
        if path.is_file() and "__pycache__" not in path.parts
    }
