"""The best checkpoint of a training by a metric of its validations."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffkit.engine.files import replace_text
from diffkit.utils.near import nearest

RECORD = "best.json"
RULES = ("greater", "less")
#: Ends of names of metrics that are the better the less they are.
_LESS = ("fid", "kid", "lpips", "loss", "error", "mse")


class BestCheckpoint:
    """Remembers the best step of a work folder, in ``best.json``.

    Args:
        metric: its name, as the log shows it.
        rule: ``greater`` or ``less``; None tells it from the name: FID, KID, losses, errors and LPIPS to a reference
            are the better the less they are, all others the greater.
    """

    def __init__(self, metric: str, rule: str | None = None) -> None:
        if rule not in (None, *RULES):
            raise ValueError(f"save_best_rule must be one of {', '.join(RULES)}, or None, given {rule!r}")
        less = metric.rpartition("/")[2].endswith(_LESS) and not metric.startswith("diversity/")
        self.metric, self.rule = metric, rule or ("less" if less else "greater")
        self.step: int | None = None
        self.value: float | None = None

    def load(self, work_dir: str | Path, iteration: int) -> None:
        """Takes what an earlier part of the training has found; nothing where that was another metric.

        Args:
            work_dir: where ``best.json`` lies.
            iteration: iterations done; steps after that are not of this training.
        """
        try:
            record = json.loads((Path(work_dir) / RECORD).read_text(encoding="utf-8"))
            known = (record["metric"], record["rule"]) == (self.metric, self.rule)
            if known and int(record["step"]) < iteration:
                self.step, self.value = int(record["step"]), float(record["value"])
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def forget(self, work_dir: str | Path) -> None:
        """Removes what another training in this folder has found."""
        (Path(work_dir) / RECORD).unlink(missing_ok=True)

    def improved_by(self, metrics: Mapping[str, Any]) -> bool:
        """Whether these metrics are better than the best so far; one that is not finite never is.

        Raises:
            ValueError: the metric is not among them.
        """
        if self.metric not in metrics:
            near = nearest(self.metric, metrics)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"save_best={self.metric!r} is not among the metrics of the validation: "
                             f"{', '.join(sorted(metrics))}{hint}")
        value = float(metrics[self.metric])
        if not math.isfinite(value):
            return False
        return self.value is None or (value > self.value if self.rule == "greater" else value < self.value)

    def keep(self, work_dir: str | Path, step: int, value: float) -> None:
        """Writes down that this step is the best so far."""
        self.step, self.value = step, float(value)
        record = {"metric": self.metric, "rule": self.rule, "step": step, "value": self.value}
        replace_text(Path(work_dir) / RECORD, json.dumps(record, indent=1) + "\n")
