"""Testing on many pictures: they are kept, so that a test that was broken off goes on where it was."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import barrier, is_main_process
from mmengine.evaluator import Evaluator
from mmengine.runner import TestLoop
from PIL import Image
from torch.utils.data import DataLoader

from diffkit.datasets.image_file import BadImageError, open_image
from diffkit.engine.files import replace_text
from diffkit.engine.model_hash import model_hash
from diffkit.models.objectives.base import rows
from diffkit.registry import LOOPS
from diffkit.utils.images import read_png_metadata, save_png, slug

_RECORD = "pictures.json"
_DIGITS = 12


@LOOPS.register_module()
class PictureLoop(TestLoop):
    """Tests on pictures of prompts that are written to a folder, and read from it where they are there already.

    Each sample needs ``prompt`` and ``seed``: its picture depends on these, the model and the settings alone, and so
    neither on the batch nor on the number of processes, each of which makes its share. (Another size of the batch may
    change the last bits of a product of matrices, and with them single levels of a pixel.) A test that was broken off
    goes on where it was; what is damaged is made again.

    Args:
        runner: the runner.
        dataloader: of the samples, or its config.
        evaluator: metrics, or their configs; an empty list only makes the pictures.
        out: the folder; None is ``pictures/<hash of model and settings>`` in the work folder.
        resize: side to which pictures are scaled before they are kept and measured (bicubic, as Pillow's
            ``resize``); None keeps their size.
    """

    def __init__(self, runner: Any, dataloader: DataLoader | dict[str, Any],
                 evaluator: Evaluator | dict[str, Any] | list[Any], out: str | None = None,
                 resize: int | None = None) -> None:
        if resize is not None and (not isinstance(resize, int) or resize < 1):
            raise ValueError(f"test_cfg.resize must be an integer of at least 1, given {resize!r}")
        super().__init__(runner, dataloader, evaluator)
        self.out, self.resize = out, resize
        self.made = self.found = 0
        self._folder: Path | None = None

    def run(self) -> dict[str, float]:
        """Makes what is missing, and measures all."""
        self._folder = self._prepare()
        metrics = super().run()
        self.runner.logger.info(f"Pictures in {self._folder}: {self.made} made, {self.found} found by this process.")
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: dict[str, Any]) -> None:
        """Makes or reads the pictures of one batch."""
        self.runner.call_hook("before_test_iter", batch_idx=idx, data_batch=data_batch)
        samples = rows(data_batch)
        missing = [sample for sample in samples if "prompt" not in sample or "seed" not in sample]
        if missing:
            raise ValueError("test_dataloader.dataset: each sample needs 'prompt' and 'seed', so that its picture can "
                             f"be told; one has only {sorted(missing[0])}")
        images = {place: self._read(sample) for place, sample in enumerate(samples)}
        wanted = [place for place, image in images.items() if image is None]
        if wanted:
            predictions = self.runner.model.test_step(_rows_of(data_batch, wanted))
            for place, prediction in zip(wanted, predictions, strict=True):
                images[place] = self._keep(samples[place], prediction["image"])
        self.made, self.found = self.made + len(wanted), self.found + len(samples) - len(wanted)
        outputs = [{**sample, "image": images[place]} for place, sample in enumerate(samples)]
        self.evaluator.process(data_samples=outputs, data_batch=data_batch)
        self.runner.call_hook("after_test_iter", batch_idx=idx, data_batch=data_batch, outputs=outputs)

    def _prepare(self) -> Path:
        """The folder, with a record of what painted; all processes must call it.

        Raises:
            ValueError: the folder has pictures of another model or of other settings.
        """
        model = self.runner.bare_model
        settings = {name: value for name, value in vars(model.settings).items() if value is not None}
        record = {"model_hash": model_hash(self.runner), "resize": self.resize, **settings}
        digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:_DIGITS]
        folder = Path(self.out).expanduser() if self.out else Path(self.runner.work_dir) / "pictures" / digest
        file = folder / _RECORD
        before = _read_record(file) if file.is_file() else record
        barrier()
        if before != record:
            keys = sorted(key for key in before.keys() | record.keys() if before.get(key) != record.get(key))
            changes = ", ".join(f"{key}: {before.get(key)} -> {record.get(key)}" for key in keys)
            raise ValueError(f"test_cfg.out: the pictures in {folder} are not of this model and these settings "
                             f"({changes}); give another folder, or remove it")
        self._about = record
        if is_main_process() and not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            replace_text(file, json.dumps(record, indent=1) + "\n")
        barrier()
        return folder

    def _path(self, sample: Mapping[str, Any]) -> Path:
        name = json.dumps([sample["prompt"], int(sample["seed"])])
        digest = hashlib.sha256(name.encode()).hexdigest()[:_DIGITS]
        return (self._folder or Path()) / f"{slug(sample['prompt'])}_{int(sample['seed'])}_{digest}.png"

    def _read(self, sample: Mapping[str, Any]) -> np.ndarray | None:
        """The picture, if it is there, whole, and says that it is the one."""
        path = self._path(sample)
        try:
            about = read_png_metadata(path)
            if about.get("prompt") != sample["prompt"] or about.get("seed") != int(sample["seed"]):
                return None
            return np.asarray(open_image(path))
        except (OSError, BadImageError):
            return None

    def _keep(self, sample: Mapping[str, Any], pixels: np.ndarray) -> np.ndarray:
        image = Image.fromarray(np.asarray(pixels))
        if self.resize is not None and image.size != (self.resize, self.resize):
            image = image.resize((self.resize, self.resize), Image.Resampling.BICUBIC)
        save_png(image, self._path(sample), {"prompt": sample["prompt"], "seed": int(sample["seed"]), **self._about})
        return np.asarray(image)


def _read_record(file: Path) -> dict[str, Any]:
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file} cannot be read ({error}); remove its folder, or give another one") from error
    if not isinstance(record, dict):
        raise ValueError(f"{file} is no record of pictures; remove its folder, or give another one")
    return record


def _rows_of(batch: Mapping[str, Any], places: Sequence[int]) -> dict[str, Any]:
    """Some samples of a collated batch, as a batch."""
    return {name: values[list(places)] if isinstance(values, torch.Tensor) else [values[place] for place in places]
            for name, values in batch.items()}
