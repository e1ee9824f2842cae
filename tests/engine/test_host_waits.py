"""How often a step waits for the device: counted, by the operations that read a tensor's value."""

import pytest
import torch
from mmengine.hooks import Hook
from torch.utils._python_dispatch import TorchDispatchMode

from diffkit.engine import Runner
from diffkit.engine.logs import numbers
from tests.faults.training import config, small_model

STEPS = 5
DISTILLER = {"type": "DenoiserDistiller", "objectives": {"loss_output": {}, "loss_feature": {"pairs": "blocks"}}}
_READS = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default, torch.ops.aten.equal.default,
          torch.ops.aten.masked_select.default)


class Reads(TorchDispatchMode):
    """Counts the operations that need a value on the host."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in _READS
        return func(*args, **(kwargs or {}))


class Counter(Hook):
    """Counts in each iteration, from its begin to its end with all other hooks."""

    alters_training = False

    def __init__(self, monkeypatch):
        self.counts, self.reads = [], None
        tolist = torch.Tensor.tolist

        def counted(tensor):
            if self.reads is not None:
                self.reads.count += 1
            return tolist(tensor)

        monkeypatch.setattr(torch.Tensor, "tolist", counted)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.reads = Reads().__enter__()

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.reads.__exit__(None, None, None)
        self.counts.append(self.reads.count)
        self.reads = None


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return small_model(tmp_path_factory.mktemp("small") / "sd")


@pytest.mark.parametrize("changes", [
    {}, {"model.distiller": DISTILLER}, {"optim_wrapper.dtype": "bfloat16"},
], ids=["adapters and averages", "a teacher with two terms", "bfloat16"])
def test_a_step_waits_twice(small, tmp_path, monkeypatch, changes):
    """Once for what is not finite and the norm, once for the terms of the loss; the first steps fill caches."""
    options = {"train_cfg.max_iters": STEPS, "default_hooks.checkpoint.interval": -1}
    runner = Runner.from_cfg(config(tmp_path, small, options | changes))
    counter = Counter(monkeypatch)
    runner.register_hook(counter, priority="VERY_HIGH")
    runner.train()
    assert counter.counts[2:] == [2] * (STEPS - 2)


def test_a_read_is_counted():
    with Reads() as reads:
        value = torch.ones(3)
        value.sum().item()
        bool(value.sum() > 2)
        value.nonzero()
    assert reads.count == 3


def test_terms_become_numbers():
    terms = {"loss": torch.tensor(0.1), "loss_a": torch.tensor([0.25], dtype=torch.bfloat16), "name": "x"}
    assert numbers(terms) == {"loss": float(torch.tensor(0.1)), "loss_a": 0.25, "name": "x"}
    assert numbers({}) == {}
