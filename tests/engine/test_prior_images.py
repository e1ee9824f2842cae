"""Before the first step the model paints the prior pictures that are missing, and only those."""

import logging
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset

from diffkit.datasets import ConceptDataset
from diffkit.engine.hooks.prior_images import PriorImagesHook


class Painter:
    """A model whose pictures depend on the prompt and the seed alone; it disturbs the global generator."""

    pretrained = "mini-sd"

    def __init__(self):
        self.batches = []
        self.samples = False

    @contextmanager
    def sampling(self):
        self.samples = True
        yield
        self.samples = False

    def generate(self, prompts, *, seeds, **options):
        assert self.samples
        torch.rand(3)
        self.batches.append((prompts, options))
        return [
            Image.fromarray(np.random.default_rng([seed, len(prompt)]).integers(0, 256, (8, 8, 3), np.uint8))
            for prompt, seed in zip(prompts, seeds, strict=True)
        ]


@pytest.fixture
def dataset(tmp_path):
    return lambda **options: ConceptDataset(
        "shapes:striped_heart", "sks", resolution=16, class_prompt="a heart", **options
    )


def runner_for(dataset, work_dir, step=0):
    return SimpleNamespace(
        train_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset)),
        work_dir=work_dir,
        bare_model=Painter(),
        model=None,  # nothing wraps it
        seed=5,
        iter=step,
        logger=logging.getLogger("test"),
    )


def pictures(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.png")}


def test_missing_pictures_are_painted_in_batches_and_opened(tmp_path, dataset):
    data = dataset(num_class_images=5)
    with pytest.raises(ValueError, match=r"5 of 5 prior images are missing .*add PriorImagesHook"):
        data[0]
    runner = runner_for(data, tmp_path)
    state = torch.get_rng_state()
    PriorImagesHook(batch_size=2, num_inference_steps=3, negative_prompt="ugly").before_train(runner)
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(prompts) for prompts, _ in runner.bare_model.batches] == [2, 2, 1]
    assert runner.bare_model.batches[0][1] == dict(
        num_inference_steps=3, guidance_scale=7.5, negative_prompt="ugly", height=None, width=None
    )
    assert len(pictures(tmp_path / "class_images")) == 5
    assert data[0][1]["is_prior"] and data[0][1]["prompt"] == "a heart"


def test_a_second_run_paints_nothing_and_batch_size_makes_no_difference(tmp_path, dataset):
    PriorImagesHook(batch_size=2).before_train(runner_for(dataset(num_class_images=3), tmp_path / "a"))
    PriorImagesHook(batch_size=3).before_train(runner_for(dataset(num_class_images=3), tmp_path / "b"))
    made = pictures(tmp_path / "a" / "class_images")
    assert made == pictures(tmp_path / "b" / "class_images")
    again = runner_for(dataset(num_class_images=3), tmp_path / "a", step=100)
    PriorImagesHook().before_train(again)
    assert not again.bare_model.batches and pictures(tmp_path / "a" / "class_images") == made


def test_another_model_or_setting_is_refused(tmp_path, dataset):
    PriorImagesHook().before_train(runner_for(dataset(num_class_images=2), tmp_path))
    other = runner_for(dataset(num_class_images=2), tmp_path)
    other.bare_model.pretrained = "small-sd"
    with pytest.raises(ValueError, match=r"pretrained: 'mini-sd', now 'small-sd'"):
        PriorImagesHook().before_train(other)
    with pytest.raises(ValueError, match=r"guidance_scale: 7\.5, now 2\.0"):
        PriorImagesHook(guidance_scale=2.0).before_train(runner_for(dataset(num_class_images=2), tmp_path))


def test_a_trained_model_does_not_paint_priors(tmp_path, dataset):
    with pytest.raises(ValueError, match=r"2 of 2 prior images are missing .*trained for 7 steps"):
        PriorImagesHook().before_train(runner_for(dataset(num_class_images=2), tmp_path, step=7))
    assert not (tmp_path / "class_images").exists()


def test_datasets_without_prior_and_inside_others(tmp_path, dataset):
    alone = ConceptDataset("shapes:striped_heart", "sks", resolution=16)
    inner = dataset(num_class_images=2, class_data_root=tmp_path / "mine")
    runner = runner_for(ConcatDataset([alone, inner]), tmp_path)
    PriorImagesHook().before_train(runner)
    assert len(pictures(tmp_path / "mine")) == 2 and inner.prior_pictures is not None
    PriorImagesHook().before_train(runner_for(alone, tmp_path))
    with pytest.raises(ValueError, match=r"batch_size must be at least 1, got 0"):
        PriorImagesHook(batch_size=0)


TWO_PROCESSES = """
import sys
from pathlib import Path
import torch.distributed
from diffkit.datasets import ConceptDataset
from diffkit.engine.hooks.prior_images import PriorImagesHook
from tests.engine.test_prior_images import runner_for
torch.distributed.init_process_group("gloo")
data = ConceptDataset("shapes:striped_heart", "sks", class_prompt=["a heart", "hearts"], num_class_images=5,
                      resolution=16)
runner = runner_for(data, Path(sys.argv[1]))
PriorImagesHook(batch_size=2).before_train(runner)
print(sum(len(prompts) for prompts, _ in runner.bare_model.batches), data[0][1]["key"])
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.slow
def test_two_processes_paint_what_one_paints(tmp_path, dataset):
    environment = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "WORLD_SIZE": "2",
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", TWO_PROCESSES, str(tmp_path / "two")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0].splitlines()[-1].split() for process in processes]  # after the log
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(painted for painted, _ in outputs) == ["2", "3"] and outputs[0][1] == outputs[1][1]
    alone = ConceptDataset(
        "shapes:striped_heart", "sks", class_prompt=["a heart", "hearts"], num_class_images=5, resolution=16
    )
    PriorImagesHook().before_train(runner_for(alone, tmp_path / "one"))
    assert pictures(tmp_path / "one" / "class_images") == pictures(tmp_path / "two" / "class_images")
    assert alone[0][1]["key"] == outputs[0][1]
