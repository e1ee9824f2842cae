"""A tiny model with the public methods of the real one, and data for it: engine tests take milliseconds."""

from contextlib import contextmanager

import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from PIL import Image
from torch import nn
from torch.utils.data import Dataset

from diffkit.datasets.draw import as_draw
from diffkit.engine import checkpointing
from diffkit.models.generation import GenerationSettings
from diffkit.registry import DATASETS, HOOKS, MODELS


class FakeTuner:
    def describe(self):
        return "all of net"


@MODELS.register_module(force=True)
class FakeModel(BaseModel):
    """Regression with noise and dropout from the global generators; ``frozen`` is what is not trained."""

    def __init__(self, width=4, fail_at=(), noise=0.1, dropout=0.2):
        super().__init__()
        self.frozen = nn.Linear(width, width).requires_grad_(False)
        self.net = nn.Sequential(nn.Linear(width, 8), nn.Dropout(dropout), nn.Linear(8, width))
        self.text_encoder = nn.Linear(width, width)
        self.tuners = {"net": FakeTuner()}
        self.fail_at = tuple(fail_at)
        self.noise = noise
        self.settings = GenerationSettings(guidance_scale=4.0)
        self.calls = 0
        self.seen = []

    def forward(self, x, index=None, mode="loss"):
        if mode != "loss":
            return [{"image": value} for value in x]
        noise = torch.randn_like(x)
        predicted = self.net(self.frozen(x) + self.noise * noise + self.text_encoder(x))
        loss = (predicted - x).square().mean()
        self.seen += [int(i) for i in index]
        if self.fail_at and MessageHub.get_current_instance().get_info("iter") in self.fail_at:
            loss = loss * float("nan")
        self.calls += 1
        return {"loss_fit": loss}

    def trainable_parameters(self):
        return {name: value for name, value in self.named_parameters() if value.requires_grad}

    def trainable_state(self):
        return {name: value.detach() for name, value in self.trainable_parameters().items()}

    def load_trainable_state(self, state):
        own = self.trainable_parameters()
        if set(own) != set(state):
            raise ValueError("keys differ")
        with torch.no_grad():
            for name, value in state.items():
                own[name].copy_(value)

    def frozen_digest(self):
        return f"{float(self.frozen.weight.double().sum()):.12f}"

    def artifacts(self):
        return []

    def export_bytes(self):
        return 0

    def pipeline(self, scheduler=None):
        return None

    @contextmanager
    def sampling(self):
        training = self.training
        self.eval()
        with torch.inference_mode():
            yield
        self.train(training)

    def generate(
        self,
        prompts,
        *,
        negative_prompt=None,
        num_inference_steps=25,
        guidance_scale=7.5,
        height=None,
        width=None,
        seeds,
    ):
        torch.randn(7)  # draws from the global generator, as a careless pipeline would
        level = int(self.net[0].weight.detach().abs().mean() * 255)
        return [Image.new("RGB", (width or 8, height or 8), (level, seed % 256, 0)) for seed in seeds]


@DATASETS.register_module(force=True)
class FakeData(Dataset):
    def __init__(self, length=7, width=4):
        self.length, self.width = length, width

    def __len__(self):
        return self.length

    def __getitem__(self, item):
        draw = as_draw(item)
        generator = torch.Generator().manual_seed(draw.seed % 2**31)
        x = torch.full((self.width,), float(draw.index)) / 7 + 0.1 * torch.randn(self.width, generator=generator)
        return {"x": x, "index": draw.index}


def make_config(work_dir, max_iters=6, **changes):
    """A config of the fake training; ``changes`` replace top-level keys."""
    return {
        "model": {"type": "FakeModel"},
        "work_dir": str(work_dir),
        "train_dataloader": {
            "batch_size": 2,
            "num_workers": 0,
            "dataset": {"type": "FakeData"},
            "sampler": {"type": "DrawSampler"},
            "collate_fn": {"type": "default_collate"},
        },
        "train_cfg": {"type": "StepLoop", "max_iters": max_iters},
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1e-2}},
        "param_scheduler": [{"type": "CosineAnnealingLR"}],
        "randomness": {"seed": 3},
        "default_hooks": {"checkpoint": {"interval": 3}, "logger": {"interval": 1}},
        **changes,
    }


@HOOKS.register_module(force=True)
class StopAfter(Hook):
    """Ends a training early, as a time limit would; it runs before the checkpoint is written."""

    alters_training = False

    def __init__(self, iterations):
        self.iterations = iterations

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        runner.train_loop.stop_training = runner.iter + 1 == self.iterations


@HOOKS.register_module(force=True)
class BreakExports(Hook):
    """Lets the first process fail when it writes exports."""

    def before_train(self, runner):
        runner.bare_model.artifacts = None


@HOOKS.register_module(force=True)
class BreakState(Hook):
    """Lets the first process fail when it writes the state."""

    def before_train(self, runner):
        def broken(tensors, path):
            raise ValueError("the state cannot be written")

        checkpointing.save_tensors = broken
