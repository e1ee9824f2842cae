"""Quantisation in the course of a training: the calibrated or the trained model, whichever is closer, is kept."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from torch import Tensor

from diffkit.engine.hooks.calibration import quantizer_of, spare_prompts, spare_samples
from diffkit.engine.seeding import preserved_randomness
from diffkit.registry import HOOKS


@HOOKS.register_module()
class QuantizationHook(Hook):
    """Measures the calibrated model and the trained one against the float model, and keeps the closer one.

    Two figures count, for they rank methods differently: the error of predictions on noisy latents of samples that the
    training does not reach, and the PSNR of pictures to the float model's from the same noise. The trained model is
    kept where it is closer in one of them and not farther in the other; a difference counts from ``margin`` standard
    errors on, item by item. Otherwise the exports of the last checkpoint are those of the calibrated model, and the log
    says so; the training's own state stays as it is. The figures are in ``quantization.json`` in the work folder.

    Args:
        predictions: how many are compared, at least 2.
        pictures: how many are compared, at least 2.
        batch_size: of both, at least 1.
        seed: of noise, timesteps and pictures.
        num_inference_steps: steps of the sampler; None takes the model's own setting.
        guidance_scale: of classifier-free guidance; None takes the model's own setting.
        keep_better: False keeps the trained model, whatever the figures are.
        margin: from how many standard errors of the difference on one model is closer than the other, 0 or more.
        verify_loading: after the training, reads the saved network and compares it with the one that was saved.
    """

    priority = "LOW"  # after averages are updated, before checkpoints are written
    alters_training = False
    state_name = "quantization"
    stores_weights = False  # it swaps in weights that no checkpoint holds

    def __init__(self, predictions: int = 64, pictures: int = 16, batch_size: int = 8, seed: int = 10_000,
                 num_inference_steps: int | None = None, guidance_scale: float | None = None,
                 keep_better: bool = True, margin: float = 2.0, verify_loading: bool = True) -> None:
        for name, value, least in (("predictions", predictions, 2), ("pictures", pictures, 2),
                                   ("batch_size", batch_size, 1)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be an integer of at least {least}, given {value!r}")
        if margin < 0:
            raise ValueError(f"margin must be 0 or more, given {margin!r}")
        self.predictions, self.pictures, self.batch_size, self.seed = predictions, pictures, batch_size, seed
        self.settings = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}
        self.keep_better, self.margin, self.verifies = keep_better, margin, verify_loading
        self.figures: dict[str, Any] = {}
        self.kept = ""
        self._runner: Any = None
        self._weights: dict[str, Tensor] = {}
        self._ranges: dict[str, Tensor] = {}
        self._distances: dict[str, Tensor] = {}
        self._probe: Any = None
        self._reference: Any = None

    # --- moments

    def before_run(self, runner: Any) -> None:
        """Keeps the weights as the model was built with them, before a checkpoint brings others."""
        quantizer_of(runner)
        self._runner = runner
        self._keep_weights()

    def before_train(self, runner: Any) -> None:
        """Measures the calibrated model; a resumed training has its figures already."""
        if runner.iter > 0:
            return
        self._keep_weights()
        self._ranges = self._current_ranges()
        if runner.rank == 0:
            self._measure("calibrated")
            runner.logger.info(f"Calibrated model: {_line(self.figures['calibrated'])}")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """After the last iteration: measures the trained model and decides."""
        if runner.iter + 1 < runner.max_iters:
            return
        decision = [""]
        if runner.rank == 0:
            with runner.averaged_weights():
                if self._has_changed():
                    self._measure("trained")
                    if "calibrated.errors" not in self._distances:
                        with self._as_calibrated():
                            self._measure("calibrated")
            decision = [self._decide()]
        broadcast_object_list(decision, 0)
        self.kept = decision[0]
        if runner.rank == 0:
            self._report()
            self._prove()

    def after_train(self, runner: Any) -> None:
        """Reads what was saved and compares it.

        Raises:
            ValueError: it is not what was saved.
        """
        quantizer = quantizer_of(runner)
        folder = Path(runner.work_dir) / f"step{runner.max_iters - 1}" / f"{quantizer.component}_int8"
        if runner.rank == 0 and self.verifies and self.kept and quantizer.proof is not None and folder.is_dir():
            from diffkit.models.quantizers.verify import verify_loading

            with preserved_randomness():
                runner.logger.info("Verified " + verify_loading(folder, runner.bare_model.pipeline()))

    @contextmanager
    def swapped(self) -> Iterator[None]:
        """Inside the body the model is the calibrated one, if that is what is kept: for exports and samples."""
        if self.kept != "calibrated":
            yield
            return
        with self._as_calibrated():
            yield

    # --- what is measured

    def _measure(self, name: str) -> None:
        """Compares the model as it is with the float model; its figures get the name."""
        from diffkit.models.quantizers.closeness import answers, distances

        model = self._runner.bare_model
        with preserved_randomness():
            if self._probe is None:
                self._probe = self._make_probe()
            if self._reference is None:
                with self._as_calibrated(), model.quantizer.disabled(model):
                    self._reference = answers(model, self._probe)
            found = distances(answers(model, self._probe), self._reference)
        self.figures[name] = found.mean().as_dict()
        self._distances.update({f"{name}.errors": torch.from_numpy(found.errors),
                                f"{name}.psnr": torch.from_numpy(found.psnr)})

    def _make_probe(self) -> Any:
        from diffkit.models.quantizers.closeness import Probe

        runner, model = self._runner, self._runner.bare_model
        begin = 10_000  # beyond what calibration takes
        batches = []
        for first in range(0, self.predictions, self.batch_size):
            size = min(self.batch_size, self.predictions - first)
            batch = runner.train_dataloader.collate_fn(spare_samples(runner, begin + first, size))
            batches.append(model.data_preprocessor(batch, False))
        prompts = spare_prompts(runner, begin + self.predictions, self.pictures)
        return Probe.of_batches(model, batches, prompts, self.seed, self.batch_size, self.settings)

    def _decide(self) -> str:
        from diffkit.models.quantizers.closeness import Distances, gain

        if "trained" not in self.figures:
            return "calibrated"
        calibrated, trained = (
            Distances(*(self._distances[f"{name}.{figure}"].numpy() for figure in ("errors", "psnr")))
            for name in ("calibrated", "trained"))
        gained = gain(trained, calibrated)
        self.figures["gain"] = vars(gained).copy()
        return "trained" if gained.is_better(self.margin) or not self.keep_better else "calibrated"

    def _report(self) -> None:
        path = Path(self._runner.work_dir) / "quantization.json"
        path.write_text(json.dumps({**self.figures, "kept": self.kept}, indent=1) + "\n", encoding="utf-8")
        if "trained" in self.figures:
            self._report_choice()
        else:
            self._runner.logger.info("Nothing was trained: the calibrated model is exported.")

    def _report_choice(self) -> None:
        from diffkit.models.quantizers.closeness import Gain

        runner, gained = self._runner, Gain(**self.figures["gain"])
        runner.logger.info(f"Trained model: {_line(self.figures['trained'])}")
        if self.kept == "trained":
            runner.logger.info(f"Training gained: {gained}. The trained model is exported.")
        else:
            runner.logger.warning(
                f"Training did not bring the quantised model closer to the float model ({gained}; a difference counts "
                f"from {self.margin:g} standard errors on): the calibrated model is exported, not the trained one.")

    def _prove(self) -> None:
        """Lets the model that is exported answer, to be compared with what is read later."""
        from diffkit.models.quantizers.verify import all_float32, make_proof

        runner, model = self._runner, self._runner.bare_model
        if not all_float32(model.components):
            runner.logger.info("Frozen parts are not float32: no proof for --verify-loading is written.")
            return
        latents, times, conditioning = self._probe.steps[0]
        rows = [row for row, _ in zip(conditioning.rows(), range(2), strict=False)]
        with preserved_randomness(), runner.averaged_weights():
            model.quantizer.proof = make_proof(
                model, model.quantizer.component, (latents[:2], times[:2], type(conditioning).stack(rows)),
                self._probe.prompts[:2], self._probe.seeds[:2], self.settings)

    # --- the calibrated model

    def _keep_weights(self) -> None:
        parameters = self._runner.bare_model.trainable_parameters()
        self._weights = {name: value.detach().clone() for name, value in parameters.items()}

    def _current_ranges(self) -> dict[str, Tensor]:
        model = self._runner.bare_model
        found = {**model.quantizer.state(model), **model.quantizer.scale_parameters(model)}
        return {name: value.detach().clone() for name, value in found.items()}

    def _has_changed(self) -> bool:
        """Whether weights or ranges are others than those of step 0."""
        parameters, ranges = self._runner.bare_model.trainable_parameters(), self._current_ranges()
        same = all(torch.equal(value, self._weights[name]) for name, value in parameters.items()
                   if name in self._weights and name not in ranges)
        return not (same and all(torch.equal(value, self._ranges[name]) for name, value in ranges.items()))

    @contextmanager
    def _as_calibrated(self) -> Iterator[None]:
        """Inside the body the model has the weights and ranges of step 0; then its own again, bit for bit."""
        model, own_ranges = self._runner.bare_model, self._current_ranges()
        own = {name: value.detach().clone() for name, value in model.trainable_parameters().items()}
        self._put(self._weights, self._ranges)
        try:
            yield
        finally:
            self._put(own, own_ranges)

    @torch.no_grad()
    def _put(self, weights: dict[str, Tensor], ranges: dict[str, Tensor]) -> None:
        model = self._runner.bare_model
        parameters = model.trainable_parameters()
        scales = model.quantizer.scale_parameters(model)
        for name, value in parameters.items():
            value.copy_(ranges[name] if name in scales else weights[name])
        model.quantizer.load_state(model, {name: value for name, value in ranges.items() if name not in scales})

    # --- checkpoints

    def preflight(self, runner: Any) -> list[tuple[str, str]]:
        """A line for the table before the training."""
        return [("quantised", quantizer_of(runner).describe())]

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds of it."""
        return {"ranges": self._ranges, "figures": self.figures, "kept": self.kept, "distances": self._distances}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` gave."""
        device = self._runner.bare_model.device
        self._ranges = {name: value.to(device) for name, value in state["ranges"].items()}
        self.figures, self.kept = dict(state["figures"]), state["kept"]
        self._distances = dict(state.get("distances", {}))  # checkpoints of older versions have none


def _line(figures: dict[str, Any]) -> str:
    from diffkit.models.quantizers.closeness import Closeness

    return str(Closeness(**figures))
