"""Operations are counted as closed forms say, on a CPU with values as without them."""

from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.floor import MachineRate, flop_counter
from benchmarks.pipelines import build_pipeline
from diffkit.evaluation import unet_macs


def test_attention_of_a_cpu_is_counted() -> None:
    """Two products forwards; five backwards, one of which makes the weights of the values anew."""
    batch, heads, places, others, width = 2, 3, 16, 5, 8
    query = torch.randn(batch, heads, places, width, requires_grad=True)
    key, value = (torch.randn(batch, heads, others, width, requires_grad=True) for _ in range(2))
    product = 2 * batch * heads * places * others * width
    with flop_counter() as counter:
        out = nn.functional.scaled_dot_product_attention(query, key, value)
    assert counter.get_total_flops() == 2 * product
    with flop_counter() as counter:
        out.sum().backward()
    assert counter.get_total_flops() == 5 * product


@pytest.mark.parametrize("inference", [False, True])
def test_a_unet_has_the_operations_that_the_evaluation_counts(inference: bool) -> None:
    """Also under inference mode, which the teacher runs in."""
    unet: Any = build_pipeline("tiny").unet.eval()
    side, tokens, batch = unet.config.sample_size, 7, 2
    states = torch.zeros(batch, tokens, unet.config.cross_attention_dim)
    with torch.inference_mode(inference), torch.no_grad(), flop_counter() as counter:
        unet(torch.zeros(batch, 4, side, side), torch.zeros(batch, dtype=torch.long), states)
    assert counter.get_total_flops() == 2 * batch * unet_macs(unet.config, tokens=tokens).total


def test_the_machine_does_the_operations_that_its_rate_is_made_of() -> None:
    machine = MachineRate(side=64)
    with flop_counter() as counter:
        machine.measure()
    assert counter.get_total_flops() == sum(machine.flops.values())
    machine.measure()
    assert all(len(seconds) == 2 for seconds in machine.seconds.values())
    machine.seconds = {"matrices": [1.0, 2.0, 4.0], "convolution": [2.0]}
    assert machine.rates() == {name: flops / 2 for name, flops in machine.flops.items()}
