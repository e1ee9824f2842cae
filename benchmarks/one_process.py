"""One process of a training in several: ``python -m benchmarks.one_process CONFIG OPTIONS FOLDER STEPS``."""

import json
import math
import os
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.stepping import stepped, stepped_config
from diffkit.utils.launch import launched
from diffkit.utils.quiet import quieten_libraries


def main(argv: Sequence[str]) -> None:
    """Sees all pictures once, times so many steps, and writes ``rank<N>.json`` into the folder.

    It holds ``cpu_seconds`` of each step and ``peak_rss`` in bytes. The processes are those that torchrun started;
    without it there is one.
    """
    config, options, folder, steps = argv
    quieten_libraries()
    values = json.loads(Path(options).read_text(encoding="utf-8"))
    cfg = stepped_config(config, Path(folder) / "run", values)
    with launched("pytorch" if "LOCAL_RANK" in os.environ else "none", cfg):
        runner = stepped(cfg)
        loader = runner.train_dataloader
        for _ in range(math.ceil(len(loader.dataset) / loader.batch_size) + 1):
            runner.train_loop.step()
        seconds = []
        for _ in range(int(steps)):
            began = time.process_time()
            runner.train_loop.step()
            seconds.append(time.process_time() - began)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        found = {"cpu_seconds": seconds, "peak_rss": peak, "processes": runner.world_size}
        (Path(folder) / f"rank{runner.rank}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
