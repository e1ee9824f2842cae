"""Report versions, devices and what is missing; status 1 where something needed is missing."""

import argparse
import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from typing import NamedTuple

OPTIONAL = {
    "bitsandbytes": "8-bit optimizers",
    "datasets": "data sets of the hub",
    "openvino": "export to OpenVINO",
    "onnxruntime": "running exported ONNX models",
    "tensorboard": "TensorBoard",
    "wandb": "Weights & Biases",
}


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
    """The command has no arguments."""


def run(args: argparse.Namespace) -> int:
    """Prints the report."""
    faults = 0
    for finding in findings():
        print(f"{finding.name:24} {finding.value}" + (f"  <- {finding.fault}" if finding.fault else ""))
        faults += bool(finding.fault)
    print(f"{faults} problem(s)" if faults else "no problems")
    return 1 if faults else 0


def findings() -> Iterator[Finding]:
    """Yields everything that the report holds."""
    yield Finding("python", f"{sys.version.split()[0]} ({platform.platform()})")
    yield from required_packages()
    yield from optional_packages()
    yield from devices()
    yield from files()


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
    """Yields the devices that torch sees."""
    import torch

    yield Finding("CPU", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")
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
    yield Finding("free space here", f"{shutil.disk_usage('.').free / 2**30:.1f} GiB")
    offline = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    yield Finding("Hugging Face hub", "off (HF_HUB_OFFLINE is set)" if offline else "on")


def _package(name: str, specifier: str, fits: Callable[[str], bool]) -> Finding:
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "missing", f"run: pip install '{name}{specifier}'")
    return Finding(name, version, "" if fits(version) else f"needs {specifier}")
