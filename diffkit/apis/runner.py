"""Building the runner that a config asks for."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmengine.config import Config


def build_runner(cfg: "Config") -> Any:
    """Builds the runner of ``cfg``: the class or registered name in ``runner_type``, by default diffkit's.

    Raises:
        ValueError: no runner of that name is registered.
    """
    from diffkit.engine import Runner
    from diffkit.registry import RUNNERS

    kind = cfg.get("runner_type") or Runner
    runner = RUNNERS.get(kind) if isinstance(kind, str) else kind
    if runner is None:
        raise ValueError(f"runner_type: no runner {kind!r} is registered; leave the key out for diffkit's")
    return runner.from_cfg(cfg)
