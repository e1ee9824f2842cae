"""What a quantised miniature is compared with its float model on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from diffusers import DDIMScheduler

from diffkit.apis.measure import report
from diffkit.apis.measure.pictures import Say, score
from diffkit.datasets import ShapesDataset, ShapesPrompts, collate_samples
from diffkit.evaluation import PromptAccuracy
from diffkit.export.quantized import load_quantized
from diffkit.models import FullTuner, LatentDiffusion, StableDiffusion
from diffkit.models.quantizers.closeness import Answers, Probe, answers, compare
from diffkit.utils.step_folder import QUANTIZED_UNET

#: Of the pictures, their noise and the prompts of training seed 0; a training draws others (see ``spare_samples``).
SEED = 31_000
#: Of sampling, with DDIM (Song et al. 2021): a step depends on one prediction, where DPM-Solver++ extrapolates two.
SETTINGS = {"num_inference_steps": 25, "guidance_scale": 4.0}
BATCH = 16


class SampledWithDDIM(StableDiffusion):
    """Stable Diffusion whose pipeline samples with DDIM."""

    def pipeline(self, parts: Mapping[str, Any]) -> Any:
        pipe = super().pipeline(parts)
        pipe.scheduler = DDIMScheduler.from_config(
            parts["noise_scheduler"].config, clip_sample=False, set_alpha_to_one=False, steps_offset=1)
        return pipe


class QuantizationExam:
    """Compares quantised UNets with the float one: predictions, pictures from the same noise, shape and colour.

    Args:
        pretrained: the float model.
        predictions: noisy latents that the UNets are compared on.
        pictures: how many are compared with the float model's from the same noise.
        prompts: pictures whose shape and colour are read; at least ``pictures``.
        seed: of a training. Each has prompts, pictures and noise of its own.
        say: called with lines of progress.

    Raises:
        ValueError: there are fewer prompts than pictures.
    """

    def __init__(self, pretrained: str, predictions: int, pictures: int, prompts: int, seed: int, say: Say
                 ) -> None:
        if prompts < pictures:
            raise ValueError(f"prompts is {prompts} and pictures {pictures}: pictures are the first of the prompts'")
        self.pretrained, self.seed, self.say = pretrained, SEED + seed, say
        self.settings: dict[str, Any] = {
            "weights": report.pretrained_digest(pretrained), "predictions": predictions, "pictures": pictures,
            "prompts": prompts, "seed": SEED, "sampler": "DDIM", **SETTINGS}
        self.prompts = ShapesPrompts(prompts, self.seed, "train", "mixed")
        self._model: Any = None
        self._probe: Any = None
        self._float: Any = None

    def take(self, step: Path | None) -> dict[str, Any]:
        """The figures of a step folder's UNet; of the float one for None.

        Returns:
            ``prompts``: what :class:`~diffkit.evaluation.PromptAccuracy` says; ``closeness``: see
            :class:`~diffkit.models.quantizers.closeness.Closeness`. Of the float model not that, but the number of its
            ``weights`` and their ``bytes`` in FP32.
        """
        if self._model is None:
            self._prepare()
        if step is None:
            weights = sum(value.numel() for value in self._model.get_submodule("unet").parameters())
            return {"prompts": self._read(self._float), "weights": weights, "bytes": 4 * weights}
        own = self._model.get_submodule("unet")
        self._model.add_module("unet", load_quantized(step / QUANTIZED_UNET))
        try:
            found = answers(self._model, self._probe)
        finally:
            self._model.add_module("unet", own)
        count = self.settings["pictures"]
        closeness = compare(Answers(found.predictions, found.pictures[:count]),
                            Answers(self._float.predictions, self._float.pictures[:count]))
        return {"closeness": closeness.as_dict(), "prompts": self._read(found)}

    def _read(self, found: Any) -> dict[str, float]:
        return score(PromptAccuracy(), [
            {**self.prompts[number], "image": picture} for number, picture in enumerate(found.pictures)])

    def _prepare(self) -> None:
        """Loads the float model and lets it answer."""
        from diffkit.engine.seeding import preserved_randomness

        self.say("the float model")
        self._model = model = LatentDiffusion(
            family={"type": SampledWithDDIM}, pretrained=self.pretrained,
            tuners={"unet": {"type": FullTuner, "component": "unet"}})
        width = (model.native_resolution or (64, 64))[0]
        data = ShapesDataset(length=self.settings["predictions"], seed=self.seed, textured=0.4, resolution=width)
        batches = [model.data_preprocessor(collate_samples(
            [data[i] for i in range(first, min(first + BATCH, len(data)))]), False)
            for first in range(0, len(data), BATCH)]
        prompts: list[dict[str, Any]] = [self.prompts[i] for i in range(len(self.prompts))]
        with preserved_randomness():
            probe = Probe.of_batches(model, batches, [item["prompt"] for item in prompts], self.seed, BATCH, SETTINGS)
        self._probe = Probe(probe.steps, probe.prompts, [int(item["seed"]) for item in prompts], BATCH, SETTINGS)
        self._float = answers(model, self._probe)

