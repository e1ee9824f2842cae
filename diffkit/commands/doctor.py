"""Report versions, devices and what is missing; status 1 where something needed is missing."""

import argparse
import importlib.util
import json
import os
import platform
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

OPTIONAL = {
    "bitsandbytes": "8-bit optimizers",
    "datasets": "data sets of the hub",
    "onnx": "export to ONNX",
    "openvino": "fast quantised UNets on a CPU",
    "scikit-image": "photographs for the training of a miniature",
    "tensorboard": "TensorBoard",
    "wandb": "Weights & Biases",
}

#: Seconds that the hub has to answer, names and connections included.
HUB_TIMEOUT = 5.0
#: Less free space than this, in GiB, is said: a checkpoint of SDXL alone takes more.
LITTLE_SPACE = 2.0


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        name: what was looked at.
        value: what was found.
        fault: what is wrong with it and what to do; empty where it is right.
    """

    name: str
    value: str
    fault: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument of the command."""
    parser.add_argument("--json", action="store_true", help="print the report as JSON, for bug reports and programs")


def run(args: argparse.Namespace) -> int:
    """Prints the report."""
    found, faults = [], 0
    for finding in findings():
        found.append(finding._asdict())
        faults += bool(finding.fault)
        if not args.json:
            print(f"{finding.name:24} {finding.value}" + (f"  <- {finding.fault}" if finding.fault else ""))
    if args.json:
        print(json.dumps({"problems": faults, "findings": found}, indent=1))
    else:
        print(f"{faults} problem(s)" if faults else "no problems")
    return 1 if faults else 0


def findings() -> Iterator[Finding]:
    """Yields everything that the report holds."""
    yield Finding("python", f"{sys.version.split()[0]} ({platform.platform()})")
    yield from required_packages()
    yield from optional_packages()
    yield from devices()
    yield from files()
    yield from spaces()
    yield hub()


def required_packages() -> Iterator[Finding]:
    """Yields the packages that diffkit requires, each with a fault where its version does not fit."""
    from packaging.requirements import Requirement

    try:
        lines = metadata.requires("diffkit") or []
    except metadata.PackageNotFoundError:
        yield Finding("diffkit", "not installed", "run: pip install -e . (mim cannot find it)")
        return
    yield Finding("diffkit", metadata.version("diffkit"))
    for requirement in map(Requirement, lines):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        yield _package(requirement.name, str(requirement.specifier), requirement.specifier.contains)
    for module, reason in (
        ("cpuinfo", "peft needs it: pip install 'neural-compressor[pt]'"),
        ("pkg_resources", "mim needs it: pip install 'setuptools<82'"),
    ):
        if importlib.util.find_spec(module) is None:
            yield Finding(module, "missing", reason)


def optional_packages() -> Iterator[Finding]:
    """Yields the packages that some features need."""
    for name, use in OPTIONAL.items():
        try:
            yield Finding(f"{name} (optional)", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(f"{name} (optional)", f"not installed, needed for {use}")


def devices() -> Iterator[Finding]:
    """Yields torch's build and the devices that it sees."""
    import torch

    if torch.version.cuda:
        build = f"CUDA {torch.version.cuda}"
    else:
        build = f"ROCm {torch.version.hip}" if torch.version.hip else "for CPUs alone"
    yield Finding("torch build", build)
    yield Finding("CPU", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads, "
                         f"{torch.backends.cpu.get_cpu_capability()}")
    if not torch.cuda.is_available():
        yield Finding("GPU", "none: trainings run on the CPU")
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        bf16 = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
        yield Finding(f"GPU {index}", f"{properties.name}, {properties.total_memory / 2**30:.0f} GiB, {bf16}")


def files() -> Iterator[Finding]:
    """Yields the configs, the packaged models and the space for results."""
    from diffkit.apis.configs import PACKAGE, list_configs, shipped_folder

    for name in ("configs", "tools"):
        try:
            yield Finding(name, str(shipped_folder(name)))
        except FileNotFoundError as error:
            yield Finding(name, "missing", str(error))
            return
    yield Finding("configs in it", str(len(list_configs())))
    models = sorted(path.parent.name for path in PACKAGE.glob("miniatures/*/model_index.json"))
    yield Finding("packaged models", ", ".join(models) or "none")


def spaces() -> Iterator[Finding]:
    """Yields the free space where results, downloads and what can be made again are written."""
    from diffkit.utils.user_cache import cache_folder

    places = {"free space here": Path.cwd(), "free space for models": _hub_cache(),
              "free space of the cache": cache_folder()}
    for name, place in places.items():
        there = next(folder for folder in (place, *place.parents) if folder.is_dir())
        free = shutil.disk_usage(there).free / 2**30
        yield Finding(name, f"{free:.1f} GiB ({place})",
                      "" if free >= LITTLE_SPACE else "a training may fill the disk: make room")


def _hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def hub() -> Finding:
    """Whether the Hugging Face hub answers; it has some seconds to do so. To be offline is no fault."""
    from huggingface_hub import constants, get_token

    name = "Hugging Face hub"
    if constants.HF_HUB_OFFLINE:
        return Finding(name, "off (HF_HUB_OFFLINE is set)")
    known = "logged in" if get_token() else "not logged in"
    answer: list[str] = []
    asking = threading.Thread(target=lambda: answer.append(_ask(constants.ENDPOINT)), daemon=True)
    asking.start()  # in a thread: to look up a name may take longer than any time that is set
    asking.join(HUB_TIMEOUT)
    said = answer[0] if answer else f"gave no answer in {HUB_TIMEOUT:g} s"
    shown = re.sub("//[^/@]*@", "//…@", constants.ENDPOINT)  # a report is shown to others, a password is not
    return Finding(name, f"{shown} {said}; {known}")


def _ask(endpoint: str) -> str:
    """What became of one small request, without a token."""
    import http.client
    import urllib.error
    import urllib.request

    request = urllib.request.Request(f"{endpoint}/api/models?limit=1", headers={"User-Agent": "diffkit"})
    try:
        with urllib.request.urlopen(request, timeout=HUB_TIMEOUT) as reply:
            return "answers" if reply.status < 400 else f"answers with status {reply.status}"
    except urllib.error.HTTPError as error:
        return f"answers with status {error.code}"
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        return f"cannot be reached ({reason.splitlines()[0]})"


def _package(name: str, specifier: str, fits: Callable[[str], bool]) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", f"run: pip install '{name}{specifier}'")
    return Finding(name, version, "" if fits(version) else f"needs {specifier}")
