"""Values that are not finite: where they come from, and that no checkpoint holds any."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object
from safetensors import safe_open

from diffkit.engine.errors import NonFiniteError
from diffkit.engine.files import files_below
from diffkit.engine.seeding import preserved_randomness
from diffkit.export.tensors import names_not_finite

#: Values that are read at once to look for those that are not finite.
AT_ONCE = 8_000_000


def culprits(runner: Any) -> list[str]:
    """Names the pictures of a skipped step whose pixels or latents are not finite; all processes must call it.

    Their batches are read once more, which costs nothing to a step that is finite.

    Returns:
        One line for each such picture of any process.
    """
    wanted = getattr(runner.optim_wrapper, "skipped_iterations", ())
    own = [line for iteration in wanted for line in _bad_pictures(runner, iteration)]
    return [line for lines in all_gather_object(own) for line in lines]


def check_finite(tensors: Mapping[str, torch.Tensor], step: int) -> None:
    """Refuses to keep weights, averages or an optimizer's state that are not finite.

    Raises:
        NonFiniteError: the message names the first of them.
    """
    if bad := names_not_finite(tensors):
        raise NonFiniteError(
            f"no checkpoint was written after iteration {step}: {len(bad)} tensors are not finite "
            f"(first: {bad[0]}); resume from the last checkpoint"
        )


def check_finite_files(folder: Path, step: int) -> None:
    """Refuses a folder with a safetensors file that holds a value that is not finite.

    Raises:
        NonFiniteError: the message names file and tensor.
    """
    for path in files_below(folder):
        if path.suffix == ".safetensors":
            prefix = f"{path.relative_to(folder).as_posix()}: "
            for names in _portions(path):
                with safe_open(path, framework="pt") as file:  # what was read is in memory until it is closed
                    for name in names:
                        check_finite({prefix + name: file.get_tensor(name)}, step)


def _portions(path: Path) -> Iterator[list[str]]:
    """The names of a safetensors file, so many at once that their tensors have about ``AT_ONCE`` values."""
    portion: list[str] = []
    values = 0
    with safe_open(path, framework="pt") as file:
        for name in file.keys():  # noqa: SIM118
            portion.append(name)
            values += math.prod(file.get_slice(name).get_shape())
            if values >= AT_ONCE:
                yield portion
                portion, values = [], 0
    if portion:
        yield portion


def _bad_pictures(runner: Any, iteration: int) -> list[str]:
    loader, model = runner.train_dataloader, runner.bare_model
    if not hasattr(loader.sampler, "draw") or not hasattr(model, "non_finite_inputs"):
        return []
    first = runner.train_loop.draws_before(iteration) + runner.rank
    draws = [loader.sampler.draw(first + number * runner.world_size) for number in range(loader.batch_size)]
    with preserved_randomness(), torch.no_grad(), runner.optim_wrapper.optim_context(model):
        batch = model.data_preprocessor(loader.collate_fn([loader.dataset[draw] for draw in draws]), False)
        found = model.non_finite_inputs(batch)
    keys = batch.get("key") or [None] * len(batch["pixel_values"])
    return [
        f"Iteration {iteration}: the {what} of {_name(loader.dataset, keys[row], draws, row)} are not finite."
        for what, rows in found.items()
        for row in rows
    ]


def _name(dataset: Any, key: str | None, draws: list[Any], row: int) -> str:
    """The picture in a row of a batch: instances come in the order of the draws, then their priors."""
    if key is not None and (name := getattr(dataset, "name_of", lambda key: None)(key)):
        return str(name)
    if row >= len(draws):
        return f"a prior picture beside {_name(dataset, None, draws, row % len(draws))}"
    index = draws[row].index
    return str(dataset.name_at(index)) if hasattr(dataset, "name_at") else f"sample {index} of the data"
