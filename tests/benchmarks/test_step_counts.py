"""What a training computes, counted: the benchmarks' form without seconds, which depend on the machine."""

from collections import Counter

import pytest
import torch
from diffusers import AutoencoderKL
from mmengine.config import Config
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import CLIPTextModel

from benchmarks.pictures import draw_folder
from diffkit.datasets import collate_samples
from diffkit.engine import Runner

LORA = {"unet": {"type": "LoRATuner", "component": "unet", "rank": 2}}
STEPS, PICTURES, CLASSES = 6, 3, 2


def training(sd_folder, folder, **model):
    """A runner; it trains on three pictures and two of their class, one of each in a step, two epochs long."""
    instances = draw_folder(folder / "instances", PICTURES, 32)
    classes = draw_folder(folder / "classes", CLASSES, 32, seed=100)
    return Runner.from_cfg(Config({
        "work_dir": str(folder / "work"),
        "model": {"type": "LatentDiffusion", "family": {"type": "StableDiffusion"}, "pretrained": str(sd_folder),
                  "tuners": LORA, **model},
        "train_dataloader": {
            "batch_size": 1, "num_workers": 0,
            "dataset": {"type": "ConceptDataset", "data_root": str(instances), "instance_prompt": "a sks dog",
                        "class_prompt": "a dog", "class_data_root": str(classes), "resolution": 32},
            "sampler": {"type": "DrawSampler"}, "collate_fn": {"type": collate_samples}},
        "train_cfg": {"max_iters": STEPS},
        "optim_wrapper": {"type": "OptimWrapper", "optimizer": {"type": "AdamW", "lr": 1e-3}},
        "default_hooks": {"checkpoint": {"interval": -1}}}))


@pytest.fixture
def encoded(monkeypatch):
    """Counts of pictures and prompts that were encoded."""
    counts = Counter()
    encode, forward = AutoencoderKL.encode, CLIPTextModel.forward

    def pictures(self, pixels, *args, **options):
        counts["pictures"] += len(pixels)
        return encode(self, pixels, *args, **options)

    def prompts(self, input_ids, *args, **options):
        counts["prompts"] += len(input_ids)
        return forward(self, input_ids, *args, **options)

    monkeypatch.setattr(AutoencoderKL, "encode", pictures)
    monkeypatch.setattr(CLIPTextModel, "forward", prompts)
    return counts


def calls_of(network):
    """The batch sizes of a network's calls, as a list that grows."""
    calls = []
    network.register_forward_pre_hook(lambda _, args: calls.append(len(args[0])))
    return calls


def test_a_step_with_prior_calls_the_unet_once_and_each_picture_and_prompt_is_encoded_once(
        sd_folder, tmp_path, encoded):
    runner = training(sd_folder, tmp_path)
    calls = calls_of(runner.bare_model.unet)
    runner.train()
    assert calls == [2] * STEPS  # instance and prior together
    assert encoded == {"pictures": PICTURES + CLASSES, "prompts": 2}


def test_without_caches_each_step_encodes_its_pictures_and_prompts(sd_folder, tmp_path, encoded):
    training(sd_folder, tmp_path, cache_latents=False, cache_text=False).train()
    assert encoded == {"pictures": 2 * STEPS, "prompts": 2 * STEPS}


def test_a_step_with_a_teacher_calls_teacher_and_student_once(sd_folder, tmp_path, encoded):
    runner = training(
        sd_folder, tmp_path, tuners={"unet": {"type": "FullTuner", "component": "unet"}},
        pruner={"type": "BlockRemoval", "variant": "sd_small"},
        distiller={"type": "DenoiserDistiller", "objectives": {
            "loss_output": {"loss": {"type": "MSELoss"}},
            "loss_feature": {"loss": {"type": "MSELoss"}, "pairs": "sd_small"}}})
    student, teacher = (calls_of(unet) for unet in (runner.bare_model.unet, runner.bare_model.distiller.teacher.unet))
    runner.train()
    assert student == teacher == [2] * STEPS
    assert encoded["pictures"] == PICTURES + CLASSES


class WeightGradients(TorchDispatchMode):
    """Counts convolutions' backward passes, and those that also compute the gradient of the weight."""

    def __init__(self):
        super().__init__()
        self.passes = self.of_weights = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution_backward.default:
            self.passes += 1
            self.of_weights += bool(args[-1][1])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("tuner, of_weights", [(LORA["unet"], False),
                                               ({"type": "FullTuner", "component": "unet"}, True)])
def test_frozen_weights_get_no_gradients(sd_folder, tmp_path, tuner, of_weights):
    runner = training(sd_folder, tmp_path, tuners={"unet": tuner})
    model = runner.bare_model
    batch = model.data_preprocessor(next(iter(runner.build_dataloader(runner.train_dataloader, seed=0))))
    loss = sum(value for name, value in model(mode="loss", **batch).items() if name.startswith("loss"))
    with WeightGradients() as counted:
        loss.backward()
    assert counted.passes and (counted.of_weights == counted.passes if of_weights else counted.of_weights == 0)
    frozen = [parameter for parameter in model.parameters() if not parameter.requires_grad]
    assert frozen and sum(0 if each.grad is None else each.grad.nbytes for each in frozen) == 0
