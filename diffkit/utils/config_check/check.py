"""The check of a whole config: every fault in one message, before anything heavy is imported or loaded."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.config import Config

from diffkit.utils.config_check.annotations import fits
from diffkit.utils.config_check.bind import bind
from diffkit.utils.config_check.classes import forget_bases
from diffkit.utils.config_check.faults import ConfigError, Fault, shown_path
from diffkit.utils.config_check.helpers import helper_fault, helper_names
from diffkit.utils.config_check.imported import is_imported
from diffkit.utils.config_check.keys import keys_of_a_run
from diffkit.utils.config_check.loading import lazy_types, load_config
from diffkit.utils.config_check.options import SOURCE, Room, apply_options, set_by
from diffkit.utils.config_check.places import ConfigFiles, read_config_files
from diffkit.utils.config_check.roles import role_of
from diffkit.utils.config_check.rules import RULES, View, type_name
from diffkit.utils.config_check.safe import read_safely
from diffkit.utils.config_check.sharding import sharded_weights  # noqa: F401  adds itself to the rules
from diffkit.utils.config_check.signatures import Signature
from diffkit.utils.config_check.source import forget_sources
from diffkit.utils.config_check.walk import Walker


def check_config(
    config: str | Path | Config,
    cfg_options: dict[str, Any] | None = None,
    *,
    keep_sources: bool = False,
    safe: bool = False,
) -> Config:
    """Checks a config strictly, and returns it with the options merged.

    torch, diffusers, transformers and ``diffkit.models`` are not imported: the arguments of the classes that a
    config names are read from their source.

    Args:
        config: a config file, or a loaded config (which is left as it is).
        cfg_options: values that replace those of the config, by dotted key.
        keep_sources: keep what was read for further checks in this process (some 20 MB).
        safe: read the file as data and execute nothing of it; what is more than data is refused.

    Returns:
        The config to run: with the options, without helper variables.

    Raises:
        ConfigError: the config has faults; ``faults`` holds all of them.
    """
    with _paused_collection():
        try:
            loaded = read_safely(Path(config)) if safe and not isinstance(config, Config) else load_config(config)
            return _Check(loaded, cfg_options or {}).run()
        finally:
            if not keep_sources:
                forget_sources()
                forget_bases()


@contextmanager
def _paused_collection() -> Iterator[None]:
    """Inside, Python looks for no garbage: parsed files are many objects, and that takes half of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Check:
    def __init__(self, cfg: Config, options: dict[str, Any]) -> None:
        self.cfg, self.options = cfg, options
        path = Path(cfg.filename) if cfg.filename else None
        self.path = path
        self.files = read_config_files(path) if path is not None and path.is_file() else ConfigFiles()
        self.faults: list[Fault] = []
        self.before = self._plain()
        self.walker = Walker(self._report, _custom_modules(cfg))

    def run(self) -> Config:
        self.faults += apply_options(self.cfg, self.options, self._room_at)
        plain = self._plain()
        self._check_imports()
        signature = keys_of_a_run(plain.get("runner_type"))
        helpers = helper_names(plain, set(signature.params), self.cfg._imported_names)
        for name in helpers:
            message = helper_fault(name, plain[name], set(signature.params), self.files)
            if message:
                self._report(name, message, "key")
        run = {name: plain[name] for name in plain if name in signature.params}
        sound, _ = bind(run, signature, "", self._report)
        for name in sound:
            self.walker.visit(run[name], name)
        for rule in RULES:
            for key, message in rule(View(run)):
                self._report(key, message, "conflict")
        if self.faults:
            raise ConfigError(self.faults, shown_path(self.path) if self.path else "")
        with lazy_types():
            for name in helpers:
                self.cfg._cfg_dict.pop(name)
        return self.cfg

    def _plain(self) -> dict[str, Any]:
        return self.cfg._to_lazy_dict()

    def _room_at(self, key: str) -> Room:
        node: Any = self._plain()
        if not key:
            return Room(_may_be_dicts(keys_of_a_run(node.get("runner_type"))), is_closed=True)
        for name in key.split("."):
            if isinstance(node, dict):
                node = node.get(name, {})
            else:
                node = node[int(name)] if isinstance(node, list | tuple) else {}
        signature = self.walker.arguments(node if isinstance(node, dict) else {}, key)
        if signature is not None:
            return Room(_may_be_dicts(signature), signature.open)
        of_objects = bool(role_of(f"{key}.x").registry)
        return Room(dict.fromkeys(role_of(key).names, True), is_open=not of_objects, of_objects=of_objects)

    def _check_imports(self) -> None:
        """Every name that the config imports must be there, used or not."""
        for name, value in dict.items(self.cfg._cfg_dict):
            if name in self.cfg._imported_names and is_imported(value):
                before = len(self.faults)
                self.walker.visit(value, name)
                location = getattr(value, "location", None)
                if len(self.faults) > before and isinstance(location, str) and ", line " in location:
                    file, _, line = location.rpartition(", line ")
                    fault = self.faults.pop()
                    self.faults.append(Fault(f"import {name}", fault.message, shown_path(file), int(line), "type"))

    def _report(self, key: str, message: str, kind: str) -> None:
        if any(self._says_the_same(fault, key, message, kind) for fault in self.faults):
            return
        if kind == "key":
            message += self._merge_hint(key)
        file, line = self._where(key)
        self.faults.append(Fault(key, message, file, line, kind))

    def _merge_hint(self, key: str) -> str:
        """A key that comes from another place than its type may be left over from another type."""
        option = self._changes_type(key)
        if option:
            owner = option.removesuffix(".type")
            return (
                f"; {option} changes the type and leaves the rest of {owner} as it was: give it as a whole, "
                f"{owner}=\"{{'_delete_': True, 'type': …}}\""
            )
        own, kind = self.files.find(key), self.files.find(f"{key.rpartition('.')[0]}.type")
        if own is None or kind is None or own.file == kind.file or kind.parts:
            return ""
        where = f"{shown_path(kind.file)}:{kind.line}"
        return f"; the type is set in {where}, where update() merges: assign the whole dict anew"

    @staticmethod
    def _says_the_same(fault: Fault, key: str, message: str, kind: str) -> bool:
        if fault.key == key:
            return fault.message == message or fault.kind == kind == "type"
        return fault.key.startswith("import ") and fault.message == message

    def _changes_type(self, key: str) -> str:
        """Returns the option that changes the type of the dict at a key or around it, if none sets the key itself."""
        if set_by(self.options, key):
            return ""
        for owner in (key.rpartition(".")[0], key):
            option = set_by(self.options, f"{owner}.type")
            if option and _type_at(self.before, owner) not in (None, _type_at(self._plain(), owner)):
                return option
        return ""

    def _where(self, key: str) -> tuple[str, int | None]:
        if self._changes_type(key) or any(key == option or key.startswith(f"{option}.") for option in self.options):
            return SOURCE, None
        place = self.files.find(key) if key else None
        if place is not None:
            return shown_path(place.file), place.line
        return (shown_path(self.path), None) if self.path else ("", None)


def _type_at(plain: Any, key: str) -> str | None:
    """Returns the last name of the type of the dict at a key path, or None."""
    for name in key.split("."):
        if isinstance(plain, list | tuple) and name.isdigit() and int(name) < len(plain):
            plain = plain[int(name)]
        else:
            plain = plain.get(name) if isinstance(plain, dict) else None
    return type_name(plain) or None


def _may_be_dicts(signature: Signature) -> dict[str, bool]:
    """Returns the arguments, and of each whether a dict can be given for it."""
    return {
        name: param.annotation is None or fits({}, param.annotation, param.source)
        for name, param in signature.params.items()
    }


def _custom_modules(cfg: Config) -> list[str]:
    imports = cfg._to_lazy_dict().get("custom_imports")
    modules = imports.get("imports", []) if isinstance(imports, dict) else []
    return [modules] if isinstance(modules, str) else list(modules)
