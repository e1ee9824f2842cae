"""What has changed between the config of a checkpoint and the one that wants to go on from it."""

import re
from typing import Any

from diffkit.engine.errors import ResumeError

# what a call says, and not the experiment
_OF_THE_CALL = re.compile(r"(resume|resume_allow_change|load_from|work_dir|launcher|model_wrapper_cfg)(\.|$)")
_HARMLESS = re.compile(
    r"(log_level|log_processor|visualizer|vis_backends|experiment_name|env_cfg|default_scope)(\.|$)"
    r"|(default|custom)_hooks\b(?!.*\.(decay|update_every)$)"
    r"|(val|test)_(cfg|dataloader|evaluator)(\.|$)|train_cfg\.(max_iters|val_begin|val_interval)$"
    r"|train_dataloader\.(num_workers|persistent_workers|prefetch_factor|pin_memory|timeout)$"
)


def flat_config(cfg: Any) -> dict[str, str]:
    """Returns the leaves of a config as text, by dotted path."""
    leaves: dict[str, str] = {}
    _flatten("", cfg.to_dict(), leaves)
    return {key: text for key, text in leaves.items() if not _OF_THE_CALL.match(key)}


def check_config_change(before: dict[str, str], now: dict[str, str], allow: bool) -> list[str]:
    """Compares two configs.

    Args:
        before: of the checkpoint, by ``flat_config``.
        now: of the training that goes on.
        allow: whether a change of the mathematics is wanted.

    Returns:
        The changes, one line each.

    Raises:
        ResumeError: the mathematics change and ``allow`` is False; the message lists the changes.
    """
    changed = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    lines = {key: f"{key}: {before.get(key, '(not set)')} -> {now.get(key, '(not set)')}" for key in changed}
    refused = [line for key, line in lines.items() if not _HARMLESS.match(key)]
    if refused and not allow:
        raise ResumeError(
            "the config is not that of the checkpoint:\n  "
            + "\n  ".join(refused)
            + "\nSet resume_allow_change=True to go on all the same, or take another work_dir"
        )
    return [f"Changed since the checkpoint: {line}" for line in lines.values()]


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
