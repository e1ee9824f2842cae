"""LoRA with neural-compressor absent, broken and present, each in a Python of its own."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

STEPS = {"train_cfg.max_iters": 3}
ROOT = Path(__file__).resolve().parents[2]
_MODULE = "torch/algorithms/fp8_quant/_quant_common/helper_modules.py"

#: What stands in for the package: the content of its files, or None for no package at all.
KINDS: dict[str, dict[str, str] | None] = {
    "absent": None,
    "broken: a module is missing": {"__init__.py": "", "torch/__init__.py": "import cpuinfo_that_is_not_there\n"},
    "broken: fails when imported": {"__init__.py": "raise RuntimeError('no such device')\n"},
    "broken: another layout": {"__init__.py": "", "torch/__init__.py": ""},
    "present": {"__init__.py": "", "torch/__init__.py": "", "torch/algorithms/__init__.py": "",
                "torch/algorithms/fp8_quant/__init__.py": "",
                "torch/algorithms/fp8_quant/_quant_common/__init__.py": "",
                _MODULE: "class PatchedLinear:\n    pass\n"},
    "as it is installed here": {},
}

_SCRIPT = """
import importlib.abc, os, sys
class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "neural_compressor":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
work, pretrained, kind = sys.argv[1:]
if kind == "absent":
    import importlib.util
    found = importlib.util.find_spec
    importlib.util.find_spec = lambda name, *a: None if name == "neural_compressor" else found(name, *a)
    sys.meta_path.insert(0, Hidden())
else:
    sys.path.insert(0, os.path.join(work, "fake"))
from pathlib import Path
from diffkit.engine import Runner
from tests.faults.training import config
from tests.faults.compressor import STEPS
Runner.from_cfg(config(Path(work) / "run", Path(pretrained), STEPS)).train()
from diffkit.apis.load_pipeline import load_pipeline
load_pipeline(pretrained, [Path(work) / "run" / "step2"], device="cpu")
print("imported" if "neural_compressor" in sys.modules else "left out")
if os.path.exists(os.path.join(work, "fake")):
    import importlib.util
    assert importlib.util.find_spec("neural_compressor").origin.startswith(work), "the fake was not used"
"""


def compressor_trial(kind: str, work: Path, pretrained: Path) -> dict[str, Any]:
    """Trains a LoRA and loads it again beside one kind of the package.

    Returns:
        ``digest`` of the weights, ``faults``: empty at best.
    """
    place = work / "compressor" / "".join(filter(str.isalnum, kind))
    package = place / "fake" / "neural_compressor"
    shutil.rmtree(place, ignore_errors=True)
    for name, content in (KINDS[kind] or {}).items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(content)
    place.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-c", _SCRIPT, str(place), str(pretrained), kind]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=_environment())
    said = result.stdout + result.stderr
    if result.returncode:
        return {"digest": None, "faults": [said[-3000:]]}
    faults = [] if "left out" in said else ["neural-compressor was imported"]
    return {"digest": digest(place / "run"), "faults": faults}


def digest(work_dir: Path) -> str:
    """Of the LoRA that a training of ``STEPS`` has left: its tensors, for a file's header has no fixed order."""
    tensors = load_file(work_dir / "step2/pytorch_lora_weights.safetensors")
    content = b"".join(name.encode() + tensors[name].numpy().tobytes() for name in sorted(tensors))
    return hashlib.sha256(content).hexdigest()[:16]


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
