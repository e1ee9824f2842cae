"""Packaging of diffkit.

``mim train|test|run|gridsearch|search diffkit`` look for scripts and configs in ``diffkit/.mim``:

* wheel: the folders are copied to ``diffkit/.mim`` of the wheel;
* editable install: ``diffkit/.mim`` of the checkout holds links to them;
* sdist: they stay at the top (MANIFEST.in), so that a wheel can be built from it.
"""

import os
import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.egg_info import egg_info

HERE = Path(__file__).resolve().parent
NAME = "diffkit"
PACKAGE_DATA = ["py.typed", "app/page/*", *(f"miniatures/**/*.{end}" for end in ("safetensors", "json", "txt", "md"))]
MIM_FILES = ("tools", "configs", "model-index.yml")
UNWANTED = shutil.ignore_patterns("__pycache__", "*.py[cod]", ".*")


def read_version() -> str:
    """The version, without importing the package."""
    scope: dict[str, str] = {}
    exec((HERE / NAME / "version.py").read_text(encoding="utf-8"), scope)
    return scope["__version__"]


def read_requirements(name: str) -> list[str]:
    """The requirements in ``requirements/<name>.txt``, without comments."""
    text = (HERE / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = (line.split("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_description() -> str:
    """The README, or an empty text where there is none."""
    readme = HERE / "README.md"
    return readme.read_text(encoding="utf-8") if readme.is_file() else ""


def copy(source: Path, target: Path) -> None:
    """Copies a file or a folder to a new path."""
    if source.is_dir():
        shutil.copytree(source, target, ignore=UNWANTED)
    else:
        shutil.copyfile(source, target)


def link(source: Path, target: Path) -> None:
    """Makes a relative link; copies where links are not allowed (Windows without the privilege)."""
    try:
        target.symlink_to(os.path.relpath(source, target.parent), target_is_directory=source.is_dir())
    except OSError:
        copy(source, target)


class BuildPyWithMim(build_py):
    """Adds ``.mim`` to what is built, or links it in the checkout for an editable install."""

    def run(self) -> None:
        super().run()
        editable = getattr(self, "editable_mode", False)
        place = link if editable else copy
        mim = (HERE if editable else Path(self.build_lib)) / NAME / ".mim"
        if mim.is_dir():
            shutil.rmtree(mim)
        mim.mkdir(parents=True)
        for name in MIM_FILES:
            if (HERE / name).exists():
                place(HERE / name, mim / name)


class EggInfoForMim(egg_info):
    """Lets mim find an editable install.

    mim joins the folder of the metadata with the first line of top_level.txt. The metadata of an editable
    install lies in site-packages, where there is no package; an absolute first line makes the join give the
    checkout. Later lines stay as they are.
    """

    def run(self) -> None:
        super().run()
        if "editable_wheel" not in sys.argv:
            return
        path = Path(self.egg_info) / "top_level.txt"
        names = path.read_text(encoding="utf-8").splitlines()
        package = str(HERE / NAME)
        others = [name for name in names if name != package]
        path.write_text("\n".join([package, *others]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    setup(
        name=NAME,
        version=read_version(),
        description="Personalise and compress text-to-image diffusion models, from configs",
        long_description=read_description(),
        long_description_content_type="text/markdown",
        license="Apache-2.0",
        license_files=["LICENSE"],
        packages=find_packages(include=[NAME, f"{NAME}.*"]),
        package_data={NAME: PACKAGE_DATA},
        python_requires=">=3.11",
        install_requires=read_requirements("runtime"),
        extras_require={name: read_requirements(name) for name in ("optional", "tests", "docs")},
        entry_points={"console_scripts": ["diffkit=diffkit.cli:main"]},
        cmdclass={"build_py": BuildPyWithMim, "egg_info": EggInfoForMim},
        zip_safe=False,
        classifiers=[
            "Development Status :: 4 - Beta",
            "Intended Audience :: Science/Research",
            "Programming Language :: Python :: 3.11",
            "Topic :: Scientific/Engineering :: Artificial Intelligence",
        ],
    )
