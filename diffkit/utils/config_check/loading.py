"""Reads a config file, and turns what goes wrong on the way into faults."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mmengine.config import Config, ConfigDict

from diffkit.utils.config_check.blame import load_fault
from diffkit.utils.config_check.faults import ConfigError, Fault, shown_path
from diffkit.utils.config_check.keys import keys_of_a_run
from diffkit.utils.near import nearest


@contextmanager
def lazy_types() -> Iterator[None]:
    """Inside, a ConfigDict hands out the imported names of a config without importing them."""
    before = ConfigDict.lazy
    ConfigDict.lazy = True
    try:
        yield
    finally:
        ConfigDict.lazy = before


def load_config(config: str | Path | Config) -> Config:
    """Returns the config of a file, or a copy of one that is given.

    Raises:
        ConfigError: the file is missing or cannot be read.
    """
    with lazy_types():
        if isinstance(config, Config):
            return copy.deepcopy(config)
        path = Path(config)
        if not path.is_file():
            raise ConfigError([_missing_file(path)], shown_path(path))
        try:
            loaded = Config.fromfile(path, import_custom_modules=False)
        except Exception as error:  # a config is a program: anything can go wrong in it
            fault = load_fault(path, error, set(keys_of_a_run().params))
            raise ConfigError([fault], shown_path(path)) from error
        return loaded


def _missing_file(path: Path) -> Fault:
    if path.is_dir():
        return Fault("", f'"{path}" is a folder; name a config file in it', kind="load")
    folder = path.parent
    names = [p.name for p in folder.glob("*.py")] if folder.is_dir() else []
    near = nearest(path.name, names)
    hint = f"; did you mean {' or '.join(str(folder / n) for n in near)}?" if near else ""
    return Fault("", f'there is no config file "{path}" (tried {path.absolute()}){hint}', kind="load")
