"""A config in which classes and functions are names, so that it can be printed, written and compared."""

from typing import Any

from mmengine.config import Config


def plain_config(cfg: Config | dict[str, Any]) -> Config:
    """Returns a copy of ``cfg`` with dotted names in place of classes and functions; MMEngine builds from both."""
    if not isinstance(cfg, Config):
        return Config(_named(cfg))
    return Config(_named(cfg.to_dict()), cfg_text=cfg.text, filename=cfg.filename)


def _named(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _named(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_named(item) for item in value)
    if callable(value) and hasattr(value, "__qualname__"):
        return f"{value.__module__}.{value.__qualname__}"
    return value
