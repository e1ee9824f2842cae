"""Ways to draw the timesteps of a training batch."""

import torch
from torch import Tensor

from diffkit.registry import TIMESTEPS


@TIMESTEPS.register_module()
class UniformTimesteps:
    """Every timestep is equally likely."""

    def __call__(self, batch_size: int, num_train_timesteps: int, device: torch.device | str = "cpu",
                 generator: torch.Generator | None = None) -> Tensor:
        """Draws long [batch_size] in ``range(num_train_timesteps)``."""
        home = device if generator is None else generator.device
        return torch.randint(num_train_timesteps, (batch_size,), generator=generator, device=home).to(device)


@TIMESTEPS.register_module()
class RangeTimesteps:
    """The timesteps from ``begin`` to ``end`` are ``multiplier`` times as likely as the others.

    Args:
        begin, end: fractions of the schedule, ``0 <= begin < end <= 1``; 0 is the clean end.
        multiplier: above 0; below 1 makes the range rarer.
    """

    def __init__(self, begin: float = 0.25, end: float = 0.75, multiplier: float = 5.0) -> None:
        if not 0 <= begin < end <= 1:
            raise ValueError(f"begin and end must satisfy 0 <= begin < end <= 1, not {begin!r} and {end!r}")
        if not multiplier > 0:
            raise ValueError(f"multiplier must be above 0, not {multiplier!r}")
        self.begin, self.end, self.multiplier = float(begin), float(end), float(multiplier)

    def weights(self, num_train_timesteps: int) -> Tensor:
        """Relative frequencies of all timesteps: float [num_train_timesteps]."""
        weights = torch.ones(num_train_timesteps)
        first, last = (round(edge * num_train_timesteps) for edge in (self.begin, self.end))
        weights[first:last] = self.multiplier
        return weights

    def __call__(self, batch_size: int, num_train_timesteps: int, device: torch.device | str = "cpu",
                 generator: torch.Generator | None = None) -> Tensor:
        """Draws long [batch_size] in ``range(num_train_timesteps)``."""
        weights = self.weights(num_train_timesteps).to(device if generator is None else generator.device)
        return torch.multinomial(weights, batch_size, replacement=True, generator=generator).to(device)


@TIMESTEPS.register_module()
class EarlierTimesteps(RangeTimesteps):
    """The first ``portion`` of the schedule, which has the least noise, is ``multiplier`` times as likely.

    Args:
        portion: in (0, 1].
        multiplier: above 0.
    """

    def __init__(self, portion: float = 0.25, multiplier: float = 5.0) -> None:
        super().__init__(0.0, _checked_portion(portion), multiplier)


@TIMESTEPS.register_module()
class LaterTimesteps(RangeTimesteps):
    """The last ``portion`` of the schedule, which has the most noise, is ``multiplier`` times as likely.

    Args:
        portion: in (0, 1].
        multiplier: above 0.
    """

    def __init__(self, portion: float = 0.25, multiplier: float = 5.0) -> None:
        super().__init__(1.0 - _checked_portion(portion), 1.0, multiplier)


@TIMESTEPS.register_module()
class GridTimesteps:
    """The timesteps that a sampler of consistency models may visit, each equally likely.

    Those are ``k - 1, 2 k - 1, …, T - 1`` with ``k = T // count`` (Luo et al. 2023, arXiv 2310.04378, and
    ``LCMScheduler`` of diffusers, whose ``original_inference_steps`` is ``count``).

    Args:
        count: how many there are, 1 or more.
    """

    def __init__(self, count: int = 50) -> None:
        if count < 1:
            raise ValueError(f"count must be 1 or more, not {count!r}")
        self.count = int(count)

    def __call__(self, batch_size: int, num_train_timesteps: int, device: torch.device | str = "cpu",
                 generator: torch.Generator | None = None) -> Tensor:
        """Draws long [batch_size] in ``range(num_train_timesteps)``."""
        home = device if generator is None else generator.device
        stride = num_train_timesteps // min(self.count, num_train_timesteps)
        chosen = torch.randint(min(self.count, num_train_timesteps), (batch_size,), generator=generator, device=home)
        return ((chosen + 1) * stride - 1).to(device)


@TIMESTEPS.register_module()
class CubicTimesteps:
    """``t = (1 - u**3) * T`` with uniform ``u``: the noisier a timestep, the more likely.

    Timesteps below ``t`` have the probability ``1 - (1 - t / T)**(1 / 3)``.
    """

    def __call__(self, batch_size: int, num_train_timesteps: int, device: torch.device | str = "cpu",
                 generator: torch.Generator | None = None) -> Tensor:
        """Draws long [batch_size] in ``range(num_train_timesteps)``."""
        home = device if generator is None else generator.device
        uniform = torch.rand(batch_size, generator=generator, device=home, dtype=torch.float64)
        drawn = ((1 - uniform**3) * num_train_timesteps).long()
        return drawn.clamp(max=num_train_timesteps - 1).to(device)


def _checked_portion(portion: float) -> float:
    if not 0 < portion <= 1:
        raise ValueError(f"portion must be in (0, 1], not {portion!r}")
    return float(portion)
