"""Whether two programs compute the same: the loss of one step in which both draw the same noise and timestep."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.methods import Method, Setting
from benchmarks.pictures import draw_folder
from benchmarks.process import run
from benchmarks.programs import diffkit_command, own_environment, peer_command

#: Relative; the sums of a UNet in float32 differ by less between two orders of adding.
SAME = 1e-5


def first_losses(method: Method, script: Path, at: Setting, work_dir: Path,
                 environment: Mapping[str, str]) -> dict[str, Any]:
    """Lets both programs take one step on one picture, with draws that depend on shapes alone.

    Returns:
        ``peer`` and ``diffkit``: the losses; ``difference``: relative; ``same``: whether it is below
        :data:`SAME`. Where the peer logs no loss, ``peer`` is None.

    Raises:
        RuntimeError: the losses should be the same and are not.
    """
    one = replace(at, count=1, class_count=1, batch=1,
                  pictures=draw_folder(work_dir / "one" / "captioned", 1, at.pixels, captions=True),
                  instances=draw_folder(work_dir / "one" / "instances", 1, at.pixels),
                  classes=draw_folder(work_dir / "one" / "classes", 1, at.pixels, seed=100))
    log = work_dir / "peer_losses.jsonl"
    log.unlink(missing_ok=True)
    launch = ["--fixed-draws", "--losses", str(log)]
    run(peer_command(method, script, one, work_dir / "peer", 1, launch), work_dir / "peer.log", environment)
    own = work_dir / "diffkit"
    more = {"default_hooks.logger.interval": 1, **method.loss_options}
    run(diffkit_command(method, one, own, 1, more, ["--fixed-draws"]), work_dir / "diffkit.log", own_environment())
    peer, ours = _peer_loss(log), _own_loss(own)
    if peer is None:
        return {"peer": None, "diffkit": ours}
    difference = abs(peer - ours) / abs(peer)
    if method.same_loss and difference > SAME:
        raise RuntimeError(f"the first losses of {method.label} differ: {peer:.8g} and {ours:.8g}; what is compared "
                           "is not the same training")
    return {"peer": peer, "diffkit": ours, "difference": difference, "same": difference <= SAME}


def _peer_loss(log: Path) -> float | None:
    if not log.is_file():
        return None
    first = json.loads(log.read_text(encoding="utf-8").splitlines()[0])
    return next((value for name, value in first.items() if "loss" in name), None)


def _own_loss(work_dir: Path) -> float:
    for file in sorted(work_dir.glob("*/vis_data/*.json")):
        for line in file.read_text(encoding="utf-8").splitlines():
            values = json.loads(line)
            if "loss" in values:
                return float(values["loss"])
    raise RuntimeError(f"{work_dir}: no loss was logged")
