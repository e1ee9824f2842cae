"""The full form of the suite: what is tried how often, and what its results say."""

import signal
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.faults import (
    attacks,
    compressor,
    corruption,
    disk,
    each_operation,
    images,
    kill,
    nonfinite,
    ranks,
    save_time,
    soak,
    whole_tests,
)
from tests.faults.training import FULL, LORA, VARIANTS
from tests.faults.trial import undisturbed

Result = dict[str, Any]

KILLS, INSIDE, STOPS, TWICE, STOPS_ALL, DAMAGES, LOST, SOAK = 50, 22, 20, 10, 10, 200, 10, 2000
WITH_WORKER = "LoRA with prior pictures, 1 worker"  # of VARIANTS


@dataclass
class Experiment:
    """A kind of fault.

    Attributes:
        title: what happens.
        expected: what has to be so; the first column of the table is both.
        trials: their keys; each is done once and kept.
        run: does one trial: key, folder for its files, folder of the model -> a result with ``faults``.
        seen: what the results say beside that, in one line.
    """

    title: str
    expected: str
    trials: Sequence[str]
    run: Callable[[str, Path, Path], Result]
    seen: Callable[[dict[str, Result]], str]


def _variant(number: int) -> str:
    return list(VARIANTS)[number % len(VARIANTS)]


@cache
def _reference(work: Path, pretrained: Path, variant: str) -> kill.Reference:
    return kill.reference(work, pretrained, variant)


def _kill(key: str, work: Path, pretrained: Path) -> Result:
    number = int(key)
    known = _reference(work, pretrained, _variant(number))
    return kill.kill_trial(number, number < INSIDE, known, _variant(number), work, pretrained)


def _kills_seen(results: dict[str, Result]) -> str:
    inside = sum(result["inside"] for result in results.values())
    half = sum(result["half"] for result in results.values())
    starts = sum(result["from"] == "the start" for result in results.values())
    return (f"{inside} inside a save, {half} of all left a half written folder beside; {starts} before the first "
            f"checkpoint; {', '.join(VARIANTS)}")


def _each(key: str, work: Path, pretrained: Path) -> Result:
    return each_operation.each_operation_trial(work / "each_operation")


def _each_seen(results: dict[str, Result]) -> str:
    (result,) = results.values()
    return f"{result['operations']} operations, the old checkpoint up to number {result['old']}, then the new one"


def _stop(key: str, work: Path, pretrained: Path) -> Result:
    number = int(key)
    known = _reference(work, pretrained, _variant(number))
    kind = (signal.SIGTERM, signal.SIGINT)[number // len(VARIANTS) % 2]
    return kill.stop_trial(number, int(kind), number >= STOPS, known, _variant(number), work, pretrained)


def _stop_all(key: str, work: Path, pretrained: Path) -> Result:
    number = int(key)
    kind = (signal.SIGTERM, signal.SIGINT)[number % 2]
    known = _reference(work, pretrained, WITH_WORKER)
    return kill.stop_trial(number, int(kind), False, known, WITH_WORKER, work, pretrained, group=True)


def _stops_seen(results: dict[str, Result]) -> str:
    count = {kind: sum(result["signal"] == kind for result in results.values()) for kind in (15, 2)}
    most = max(result["steps"] for result in results.values())
    states = sorted({result["status"] for result in results.values()})
    twice = sum(result["twice"] for result in results.values())
    return (f"SIGTERM {count[15]}, SIGINT {count[2]}, {twice} of them twice; at most {most} steps begun after it; "
            f"exit status {_list(states)}")


def _corrupt(key: str, work: Path, pretrained: Path) -> Result:
    return corruption.corruption_trial(int(key), undisturbed(work, pretrained, {}), work)


def _damages_seen(results: dict[str, Result]) -> str:
    counts = [f"{kind} {sum(result['kind'] == kind for result in results.values())}" for kind in corruption.KINDS]
    files = len({name for result in results.values() for name in result["files"]})
    return f"{', '.join(counts)}; {files} different files"


def _disk(key: str, work: Path, pretrained: Path) -> Result:
    try:
        return disk.disk_trial(key, work, pretrained)
    except disk.NoSmallDisk as error:
        return {"skipped_because": str(error), "faults": []}


def _nonfinite(key: str, work: Path, pretrained: Path) -> Result:
    return nonfinite.nonfinite_trial(key, work, pretrained)


def _ends_seen(results: dict[str, Result]) -> str:
    ended = [key for key, result in results.items() if result["status"]]
    went_on = [key for key, result in results.items() if not result["status"]]
    return f"ended, and went on when it could: {'; '.join(ended)}. Did not end: {'; '.join(went_on)}"


def _lost(key: str, work: Path, pretrained: Path) -> Result:
    return ranks.lost_rank_trial(int(key), int(key) % 4 < 2, work, pretrained)


def _lost_seen(results: dict[str, Result]) -> str:
    seconds = [result["seconds"] for result in results.values()]
    inside = sum(result["inside"] for result in results.values())
    middle, most = statistics.median(seconds), max(seconds)
    return f"{inside} around a save; the other ended after {middle:.1f} s, at most {most:.1f} s"


def _gradients(key: str, work: Path, pretrained: Path) -> Result:
    tuner = {"LoRA": LORA["unet"] | {"dropout": 0.0}, "cross attention": FULL["unet"]}[key]
    result = ranks.gradients_trial(tuner, work, pretrained)
    return result | {"faults": [] if result["difference"] <= 1e-6 else [f"they differ by {result['difference']:g}"]}


def _gradients_seen(results: dict[str, Result]) -> str:
    parts = (f"{key}: {result['difference']:.1e} at most, the largest gradient is {result['largest']:.1e}"
             for key, result in results.items())
    return "; ".join(parts)


def _soak(key: str, work: Path, pretrained: Path) -> Result:
    result = soak.soak_trial(SOAK, work, pretrained)
    faults = [] if result["growth"] < 0.01 else [f"memory grew by {100 * result['growth']:.2f} %"]
    faults += [] if len(result["files"]) == 1 else [f"open files: {_list(result['files'])}"]
    return result | {"faults": faults}


def _soak_seen(results: dict[str, Result]) -> str:
    (result,) = results.values()
    first, last = ([row["bytes"] / 1e6 for row in result["rows"]][i] for i in (int(20 * soak.WARM_UP), -1))
    return (f"{result['iterations']} steps, {result['samplings']} samplings; memory {first:.1f} MB after a fifth, "
            f"{last:.1f} MB at the end, at most {100 * result['growth']:.2f} % more; "
            f"open files {_list(result['files'])}")


def _compressor(key: str, work: Path, pretrained: Path) -> Result:
    result = compressor.compressor_trial(key, work, pretrained)
    first = work / "compressor" / "first_digest"
    if not first.exists() and result["digest"]:
        first.write_text(result["digest"])
    if result["digest"] and result["digest"] != first.read_text():
        result["faults"].append("the weights differ from those of the first trial")
    return result


def _compressor_seen(results: dict[str, Result]) -> str:
    digests = {result["digest"] for result in results.values()}
    return f"{'; '.join(results)}: {len(digests)} different result{'s' * (len(digests) != 1)}"


def _save_time(key: str, work: Path, pretrained: Path) -> Result:
    result = save_time.save_time_trial(key, work)
    return result | {"faults": [] if result["share"] <= 0.05 else [f"{100 * result['share']:.1f} %"]}


def _save_time_seen(results: dict[str, Result]) -> str:
    parts = (f"`{key}` {100 * result['share']:.2f} % ({result['save']:.2f} s, {result['bytes'] / 1e6:.1f} MB; a step "
             f"{result['step']:.2f} s)" for key, result in results.items())
    return "; ".join(parts)


def _images(key: str, work: Path, pretrained: Path) -> Result:
    return images.images_trial(key, work / "images")


def _attack(key: str, work: Path, pretrained: Path) -> Result:
    return attacks.attack_trial(key, pretrained, work / "attack")


def _list(values: Sequence[Any]) -> str:
    return ", ".join(map(str, values))


def _numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


#: All, in the order of the table.
EXPERIMENTS: dict[str, Experiment] = {
    "kill": Experiment("kill -9 at a random moment, then `--resume`",
                       "the end is bit for bit that of the undisturbed training, and so is the log",
                       _numbers(KILLS), _kill, _kills_seen),
    "each_operation": Experiment("kill -9 at each operation on files of a save that replaces a checkpoint",
                                 "the old or the new checkpoint is there and valid", ["all"], _each, _each_seen),
    "stop": Experiment("SIGTERM or SIGINT at a random moment, then `--resume`",
                       "the step is finished and saved, exit status 143 or 130; the end is bit for bit the same",
                       _numbers(STOPS + TWICE), _stop, _stops_seen),
    "stop_all": Experiment("SIGTERM or SIGINT to the training and the worker that reads its data, then `--resume`",
                           "the same", _numbers(STOPS_ALL), _stop_all, _stops_seen),
    "corruption": Experiment("a file of the newest checkpoint is damaged", "found, named, the one before is taken",
                             _numbers(DAMAGES), _corrupt, _damages_seen),
    "disk": Experiment("the disk is full", "nothing is lost, the bytes needed and free are told; later it goes on",
                       list(disk.CASES), _disk, _ends_seen),
    "nonfinite": Experiment("a value is not finite", "file or step is named, at most 2 steps in a row are skipped, no "
                            "checkpoint holds any", list(nonfinite.CASES), _nonfinite, _ends_seen),
    "ranks": Experiment("one of two processes is killed", f"the other ends within {ranks.GRACE} s and says why",
                        _numbers(LOST), _lost, _lost_seen),
    "gradients": Experiment("two processes in the place of one with the same batch",
                            "all gradients are equal to 1e-6", ["LoRA", "cross attention"], _gradients,
                            _gradients_seen),
    "soak": Experiment("a long training", "after a fifth of it memory grows by less than 1 %, open files not at all",
                       ["soak"], _soak, _soak_seen),
    "compressor": Experiment("LoRA beside neural-compressor", "the same weights", list(compressor.KINDS), _compressor,
                             _compressor_seen),
    "save_time": Experiment(f"a checkpoint every {save_time.INTERVAL} iterations", "it takes 5 % of the time at most",
                            save_time.configs(), _save_time, _save_time_seen),
    "images": Experiment("odd and bad images, bombs among them", "each is read or refused as it should be, before "
                         "step 0; a bomb within 1 s and 200 MB", ["cases", "bombs", *images.FORMATS], _images,
                         images.seen),
    "attacks": Experiment("a model with a pickle, an archive or code in it, for training and for sampling",
                          "it is refused, its code is not run", list(attacks.ATTACKS), _attack, attacks.seen),
    **{name: Experiment(kind.title, kind.expected, ["tests"], whole_tests.runner(kind), whole_tests.seen)
       for name, kind in whole_tests.KINDS.items()},
}
