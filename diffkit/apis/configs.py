"""The configs that come with diffkit: where they lie, which there are, and copies for users to edit."""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from diffkit.utils.near import did_you_mean, nearest

if TYPE_CHECKING:
    from mmengine.config import Config

PACKAGE = Path(__file__).resolve().parents[1]
BASE_FOLDER = "_base_"


def shipped_folder(name: str) -> Path:
    """The folder ``name`` ("configs" or "tools") of this installation: in ``.mim``, or beside the package.

    Raises:
        FileNotFoundError: where the installation has neither.
    """
    places = (PACKAGE / ".mim" / name, PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place.resolve()
    raise FileNotFoundError(
        f"this installation of diffkit has no {name}: neither {places[0]} nor {places[1]} is a folder; "
        "install it again with pip"
    )


def config_root() -> Path:
    """The folder of the configs that come with diffkit."""
    return shipped_folder("configs")


def list_configs(pattern: str = "") -> list[Path]:
    """Returns the configs whose name or ``folder/name`` matches, sorted.

    Args:
        pattern: a part of the name, or a pattern with ``*``, ``?`` or ``[``; everything by default.
    """
    root = config_root()
    paths = (path for path in root.rglob("*.py") if BASE_FOLDER not in path.relative_to(root).parts)
    return sorted(path for path in paths if _matches(path.relative_to(root).with_suffix(""), pattern))


def find_config(name: str | Path) -> Path:
    """Returns the path of a config: a file of the user's, else the config of that name that comes with
    diffkit.

    Args:
        name: a path (relative to the working directory), or a name with or without ``.py``. Of a path that
            does not exist only the last part counts, as mim does it.

    Raises:
        FileNotFoundError: where there is neither; the message has the nearest names.
        ValueError: the file is not Python. MMEngine builds any object that a YAML file names.
    """
    path = Path(name).expanduser()
    if path.is_file():
        if path.suffix != ".py":
            raise ValueError(
                f"config must be a Python file (.py), given {str(name)!r}; other formats look like data and can run "
                "code all the same when they are read")
        return path
    configs = {config.stem: config for config in list_configs()}
    stem = path.name.removesuffix(".py")
    if stem not in configs:
        beside = _beside(path)
        raise FileNotFoundError(
            f"config: no file {str(name)!r}, and no config of that name comes with diffkit"
            f"{beside}{did_you_mean(stem, nearest(stem, configs) if beside else configs)} (diffkit list-cfg shows all)"
        )
    return configs[stem]


def _beside(path: Path) -> str:
    """The files of the user's that a config may have meant, as part of a message."""
    names = sorted(file.name for file in path.parent.glob("*.py")) if path.parent.is_dir() else []
    near = nearest(f"{path.name.removesuffix('.py')}.py", names)
    return f"; did you mean the file {' or '.join(str(path.with_name(name)) for name in near)}?" if near else ""


def load_config(
    config: "str | Path | Config",
    *,
    work_dir: str | Path | None = None,
    cfg_options: dict[str, Any] | None = None,
) -> "Config":
    """Checks a config, loads it and settles its overrides and its work dir. No model is loaded.

    Args:
        config: see :func:`find_config`; a loaded config is copied.
        work_dir: see :func:`diffkit.apis.train`.
        cfg_options: values that replace those of the config, by dotted key.

    Raises:
        ConfigError: the config has faults; the message lists all.
        FileNotFoundError: there is no such config.
    """
    from mmengine.config import Config
    from mmengine.utils import import_modules_from_strings

    from diffkit.utils.config_check import check_config

    cfg = check_config(config if isinstance(config, Config) else find_config(config), cfg_options or {})
    if cfg.get("custom_imports"):
        import_modules_from_strings(**cfg.custom_imports)
    if work_dir is not None:
        cfg.work_dir = str(work_dir)
    elif cfg.get("work_dir") is None:
        cfg.work_dir = str(Path("work_dirs", Path(cfg.filename or "config").stem))
    return cfg


def summary(path: Path) -> str:
    """Returns the first line of a config's docstring, or an empty text."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    return text.splitlines()[0] if text else ""


def copy_config(name: str | Path, dest: str | Path = ".", *, force: bool = False) -> list[Path]:
    """Copies a config and every base that it needs, so that the copy runs from its new place.

    The config goes to ``dest/<name>.py``, or to ``dest`` itself when that ends in ``.py``. Bases keep their
    place under ``_base_`` beside it; the imports of bases are rewritten to fit.

    Args:
        name: see :func:`find_config`.
        dest: a folder, made where it is missing, or a file that ends in ``.py``.
        force: replace files that exist and differ.

    Returns:
        The files, the config first.

    Raises:
        FileNotFoundError: there is no such config, or one of its bases is missing.
        FileExistsError: a file would be replaced by a different one, without ``force``; nothing is written
            then.
    """
    source = find_config(name).resolve()
    target = Path(dest).expanduser()
    target = target if target.suffix == ".py" else target / source.name
    places = _places(source, target)
    texts = {places[path]: _rewritten(path, places) for path in places}
    taken = [
        path for path, text in texts.items() if path.exists() and path.read_text(encoding="utf-8") != text
    ]
    if taken and not force:
        raise FileExistsError(
            f"dest: {', '.join(map(str, taken))} would be replaced by something different; "
            "choose another place, or say --force"
        )
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(texts)


def base_imports(path: Path) -> list[tuple[ast.ImportFrom, Path]]:
    """Returns the relative imports inside ``with read_base()`` of a config, with the files that they name."""
    found = []
    for block in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(block, ast.With):
            continue
        for node in block.body:
            if isinstance(node, ast.ImportFrom) and node.level and node.module:
                folder = path.parents[node.level - 1]
                base = folder.joinpath(*node.module.split(".")).with_suffix(".py")
                if not base.is_file():
                    raise FileNotFoundError(f"{path}, line {node.lineno}: the base {base} does not exist")
                found.append((node, base))
    return found


def _matches(path: Path, pattern: str) -> bool:
    if any(sign in pattern for sign in "*?["):
        return fnmatch(path.name, pattern) or fnmatch(path.as_posix(), pattern)
    return pattern in path.as_posix()


def _places(source: Path, target: Path) -> dict[Path, Path]:
    """Where the copy of each file goes: ``source`` to ``target``, its bases beside it."""
    places = {source: target}
    waiting = [source]
    while waiting:
        for _, base in base_imports(waiting.pop()):
            base = base.resolve()
            if base not in places:
                places[base] = target.parent / _place_in_folder(base)
                waiting.append(base)
    return places


def _place_in_folder(path: Path) -> Path:
    """``_base_/models/x.py`` for a base, ``x.py`` for a config that another one starts from."""
    parts = path.parts
    if BASE_FOLDER not in parts:
        return Path(path.name)
    return Path(*parts[len(parts) - 1 - parts[::-1].index(BASE_FOLDER) :])


def _rewritten(path: Path, places: dict[Path, Path]) -> str:
    """The text of a config with its base imports turned to the new places."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    folder = places[path].parent
    for node, base in base_imports(path):
        new = places[base.resolve()].with_suffix("")
        up = 0
        while not new.is_relative_to(folder if not up else folder.parents[up - 1]):
            up += 1
        inside = new.relative_to(folder if not up else folder.parents[up - 1])
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = re.sub(
            r"from\s+[.\w]+", f"from {'.' * (up + 1)}{'.'.join(inside.parts)}", line, count=1
        )
    return "".join(lines)
