"""What has changed between the config of a checkpoint and the one that wants to go on from it."""

import re
from typing import Any, NamedTuple

from diffkit.engine.defaults import DEFAULT_HOOKS
from diffkit.engine.errors import ResumeError
from diffkit.registry import HOOKS

# what a call says, and not the experiment
_OF_THE_CALL = re.compile(r"(resume|resume_allow_change|load_from|work_dir|launcher|model_wrapper_cfg)(\.|$)")
_HARMLESS = re.compile(
    r"(log_level|log_processor|visualizer|vis_backends|experiment_name|env_cfg|default_scope)(\.|$)"
    r"|(val|test)_(cfg|dataloader|evaluator)(\.|$)|train_cfg\.(max_iters|val_begin|val_interval)$"
    r"|train_dataloader\.(num_workers|persistent_workers|prefetch_factor|pin_memory|timeout)$"
    r"|model\.generation(\.|$)|optim_wrapper\.max_skipped$"
)
_CACHE = re.compile(r"model\.(cache_(latents|text|folder)|offload)$")
_HOOK = re.compile(r"((?:default|custom)_hooks\.[^.]+)\.")
#: Hooks of MMEngine that look at a training and do not touch it.
_ONLOOKERS = ("RuntimeInfoHook", "IterTimerHook", "LoggerHook", "ProfilerHook", "EmptyCacheHook", "CheckpointHook")


class ConfigChange(NamedTuple):
    """How two configs differ.

    Attributes:
        lines: one for each key that differs: ``key: before -> now``.
        mathematics: the keys among them that alter what is computed.
    """

    lines: dict[str, str]
    mathematics: list[str]


def flat_config(cfg: Any) -> dict[str, str]:
    """Returns the leaves of a config as text, by dotted path; a custom hook is known by its type."""
    leaves: dict[str, str] = {}
    tree = cfg.to_dict()
    if isinstance(tree.get("custom_hooks"), list):
        tree["custom_hooks"] = _by_type(tree["custom_hooks"])
    _flatten("", {key: value for key, value in tree.items() if value or not key.endswith("_hooks")}, leaves)
    return {key: text for key, text in leaves.items() if not _OF_THE_CALL.match(key)}


def compare_configs(before: dict[str, str], now: dict[str, str]) -> ConfigChange:
    """Compares two configs, both by ``flat_config``."""
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    lines = {key: f"{key}: {before.get(key, '(not set)')} -> {now.get(key, '(not set)')}" for key in changed}
    return ConfigChange(lines, [key for key in changed if not _is_harmless(key, before, now)])


def check_config_change(before: dict[str, str], now: dict[str, str], allow: bool) -> ConfigChange:
    """Compares the config of a checkpoint with that of the training that goes on.

    Args:
        before: of the checkpoint, by ``flat_config``.
        now: of the training that goes on.
        allow: whether a change of the mathematics is wanted.

    Raises:
        ResumeError: the mathematics change and ``allow`` is False; the message lists all changes.
    """
    change = compare_configs(before, now)
    if change.mathematics and not allow:
        harmless = [line for key, line in change.lines.items() if key not in change.mathematics]
        raise ResumeError(
            "the config is not that of the checkpoint:\n  "
            + "\n  ".join(change.lines[key] for key in change.mathematics)
            + ("\nThis has changed too, which alters no result:\n  " + "\n  ".join(harmless) if harmless else "")
            + "\nGo on all the same with --allow-change (resume_allow_change=True), or take another work_dir"
        )
    return change


def _is_harmless(key: str, before: dict[str, str], now: dict[str, str]) -> bool:
    if _CACHE.match(key):  # in memory and on disk is the same; without one pictures are encoded in batches
        return "False" not in (before.get(key), now.get(key))
    hook = _HOOK.match(f"{key}.")
    if hook is None:
        return _HARMLESS.match(key) is not None
    default = DEFAULT_HOOKS.get(hook[1].rpartition(".")[2], {}).get("type", "")
    kinds = {leaves.get(f"{hook[1]}.type", repr(default)).strip("'") for leaves in (before, now)} - {""}
    return bool(kinds) and not any(_alters_training(kind) for kind in kinds)


def _alters_training(kind: str) -> bool:
    """Whether hooks of this type alter what is computed; only those that are known not to do not."""
    if kind.rpartition(".")[2] in _ONLOOKERS:
        return False
    try:
        return bool(getattr(HOOKS.get(kind), "alters_training", True))
    except (ImportError, KeyError):
        return True


def _by_type(hooks: list[Any]) -> dict[str, Any]:
    """Hooks by the last part of their type, so that one more in front does not rename the others."""
    named: dict[str, Any] = {}
    for hook in hooks:
        kind = str(hook.get("type", "")).rpartition(".")[2] if isinstance(hook, dict) else type(hook).__name__
        count = sum(name.partition("#")[0] == kind for name in named)
        named[f"{kind}#{count + 1}" if count else kind] = hook
    return named


def _flatten(path: str, value: Any, leaves: dict[str, str]) -> None:
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    if not items and path:
        leaves[path] = repr(value)
    for key, item in items:
        _flatten(f"{path}.{key}" if path else str(key), item, leaves)
