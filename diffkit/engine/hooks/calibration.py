"""Calibration at step 0 of a training with a quantizer, and the samples that such a training leaves for measuring."""

from collections.abc import Sequence
from typing import Any

from mmengine.dist import broadcast
from mmengine.hooks import Hook

from diffkit.engine.seeding import preserved_randomness
from diffkit.registry import HOOKS


def spare_samples(runner: Any, first: int, count: int) -> list[Any]:
    """Samples of the training's data from draws that the training does not reach.

    Raises:
        ValueError: the sampler of the data cannot say what comes later.
    """
    loader = runner.train_dataloader
    if not hasattr(loader.sampler, "draw"):
        raise ValueError(f"{type(loader.sampler).__name__} cannot say what it draws after the training: quantisation "
                         "needs sampler=dict(type=DrawSampler).")
    begin = runner.train_loop.draws_before(runner.max_iters) + first
    return [loader.dataset[loader.sampler.draw(begin + number)] for number in range(count)]


def spare_prompts(runner: Any, first: int, count: int) -> list[str]:
    """Prompts of such samples, without empty ones."""
    collate, position = runner.train_dataloader.collate_fn, first
    found: list[str] = []
    while len(found) < count and position < first + 10 * count:
        batch = collate(spare_samples(runner, position, 1))
        found += [prompt for prompt in batch["prompt"][:1] if prompt]
        position += 1
    if not found:
        raise ValueError("the training's data give no prompts: give prompts to the hook.")
    return found


def quantizer_of(runner: Any) -> Any:
    """The model's quantizer.

    Raises:
        ValueError: it has none.
    """
    quantizer = getattr(runner.bare_model, "quantizer", None)
    if quantizer is None:
        raise ValueError("custom_hooks: this hook needs model.quantizer, which is None.")
    return quantizer


@HOOKS.register_module()
class CalibrationHook(Hook):
    """Finds the ranges of quantised layers before the first step, on what they see while the float model samples.

    Sampling visits its own timesteps, with guidance: half of the inputs are those of the empty prompt.

    Args:
        prompts: what is sampled; None takes prompts of the training's data, from draws that it does not reach.
        num_prompts: how many of the data's, at least 1.
        batch_size: pictures at once, at least 1.
        seed: of the first picture.
        num_inference_steps: steps of the sampler, at least 1; None takes the model's own setting.
        guidance_scale: of classifier-free guidance; None takes the model's own setting.
    """

    priority = "ABOVE_NORMAL"  # before averages begin

    def __init__(self, prompts: Sequence[str] | None = None, num_prompts: int = 32, batch_size: int = 8,
                 seed: int = 0, num_inference_steps: int | None = None, guidance_scale: float | None = None) -> None:
        if isinstance(prompts, str) or (prompts is not None and not prompts):
            raise ValueError(f"prompts must be a list of at least one text, or None, given {prompts!r}")
        for name, value in (("num_prompts", num_prompts), ("batch_size", batch_size)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, given {value!r}")
        self.given = None if prompts is None else list(prompts)
        self.num_prompts, self.batch_size, self.seed = num_prompts, batch_size, seed
        self.settings = {"num_inference_steps": num_inference_steps, "guidance_scale": guidance_scale}

    def before_train(self, runner: Any) -> None:
        """Calibrates; a resumed training has its ranges already."""
        quantizer, model = quantizer_of(runner), runner.bare_model
        if runner.iter > 0:
            return
        prompts = self.given or spare_prompts(runner, 0, self.num_prompts)
        with preserved_randomness():
            quantizer.calibrate(model, prompts, seed=self.seed, batch_size=self.batch_size, **self.settings)
        state = quantizer.state(model)
        for value in [*state.values(), *(value.data for value in quantizer.scale_parameters(model).values())]:
            broadcast(value, 0)
        quantizer.load_state(model, state)
        for line in quantizer.calibration_report(model, len(prompts)):
            runner.logger.info(line)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Lets ranges that move do so."""
        quantizer_of(runner).after_step(runner.bare_model, runner.iter)
