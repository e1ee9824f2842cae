"""The least that a step can take: its multiplications at the rate of the machine's best multiplication."""

import time
from statistics import median
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

_ATEN = torch.ops.aten


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, key, value)


def _attention_backward(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_backward_flop_count(gradient, query, key, value)


def flop_counter() -> FlopCounterMode:
    """Counts floating-point operations of matrix products, convolutions and attention inside ``with``.

    It knows the attention of a CPU too, which PyTorch's own table lacks. A multiplication with its addition counts as
    two. ``get_total_flops()`` says what has been counted so far.
    """
    return FlopCounterMode(display=False, custom_mapping={
        _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention,
        _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward})


class MachineRate:
    """Times a large product of matrices and a convolution, each now and then, as the machine's load changes.

    Args:
        side: of the square matrices; the convolution has ``3 * side / 8`` channels on ``side / 32`` places a side.
    """

    def __init__(self, side: int = 1024) -> None:
        generator = torch.Generator().manual_seed(0)
        self._a, self._b = (torch.randn(side, side, generator=generator) for _ in range(2))
        self._c = torch.empty(side, side)
        channels, places = 3 * side // 8, max(side // 32, 4)
        self._maps = torch.randn(1, channels, places, places, generator=generator)
        self._kernel = torch.randn(channels, channels, 3, 3, generator=generator)
        self.flops = {"matrices": 2 * side**3, "convolution": 2 * 9 * channels**2 * places**2}
        self.seconds: dict[str, list[float]] = {name: [] for name in self.flops}
        self._run()

    @torch.no_grad()
    def _run(self) -> tuple[float, float]:
        times = [time.process_time()]
        torch.mm(self._a, self._b, out=self._c)
        times.append(time.process_time())
        torch.nn.functional.conv2d(self._maps, self._kernel, padding=1)
        times.append(time.process_time())
        return times[1] - times[0], times[2] - times[1]

    def measure(self) -> None:
        """Times both once."""
        for name, seconds in zip(self.seconds, self._run(), strict=True):
            self.seconds[name].append(max(seconds, 1e-9))

    def rates(self) -> dict[str, float]:
        """Operations in a second of one thread's processor time: the medians by name."""
        return {name: self.flops[name] / median(seconds) for name, seconds in self.seconds.items()}
