"""Every kind of adapter behaves alike: one matrix of kinds and layers, and what is asked of each."""

import math

import pytest
import torch
from peft import inject_adapter_in_model
from peft.tuners.lokr.layer import factorization
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import nn

from diffkit.export import apply_adapters, merge_adapters, merged_copy, write_artifacts
from diffkit.models import LatentDiffusion, LoRATuner
from diffkit.models.tuners.adapter_kinds import KINDS, OPTIONS, peft_config
from diffkit.utils.step_folder import read_step_folder
from tests.export.helpers import unet_output
from tests.tiny import tiny_sd_pipeline

#: What makes each kind small on the tiny model.
SMALL = {"lora": {"rank": 2, "alpha": 3}, "dora": {"rank": 2, "alpha": 3}, "loha": {"rank": 2, "alpha": 3},
         "lokr": {"rank": 2, "alpha": 3, "options": {"decompose_factor": 4}}, "oft": {"options": {"oft_block_size": 4}}}
TARGETS = {
    "attention": {"component": "unet"},
    "convolutions": {"component": "unet", "target_modules": r".*resnets\.0\.conv[12]|.*downsamplers\.0\.conv"},
    "1x1 convolutions": {"component": "unet", "target_modules": r".*attentions\.0\.proj_(in|out)"},
    "text encoder": {"component": "text_encoder"}}
MARKS = {"lora": "lora_", "dora": "lora_", "loha": "hada_", "lokr": "lokr_", "oft": "oft_"}
CELLS = [(kind, targets) for kind in KINDS for targets in TARGETS if (kind, targets) != ("oft", "convolutions")]
VARIANTS = {
    "rank-stabilised": ("lora", {"use_rslora": True}),
    "dora, rank-stabilised": ("dora", {"use_rslora": True}),
    "other ranks and strengths": ("loha", {"rank_pattern": {"to_q": 3}, "alpha_pattern": {"to_k": 7}}),
    "tucker loha": ("loha", {"use_effective_conv2d": True}),
    "tucker lokr": ("lokr", {"use_effective_conv2d": True, "decompose_factor": 2}),
    "both sides of lokr": ("lokr", {"decompose_both": True, "rank_pattern": {"to_q": 1}}),
    "shared blocks": ("oft", {"oft_block_size": 4, "block_share": True}),
    "exact Cayley": ("oft", {"oft_block_size": 4, "use_cayley_neumann": False}),
    "constrained": ("oft", {"oft_block_size": 4, "coft": True, "eps": 0.1}),
    "without some layers": ("lora", {"exclude_modules": ["to_q"]})}


def build(folder, kind, **tuner):
    torch.manual_seed(0)
    return LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(folder), tuners={
        "x": {"type": "LoRATuner", "kind": kind, **SMALL[kind], **tuner}})


def move(model, std=0.2):
    """Gives all that is trained other values, as training would."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.trainable_parameters().values():
        parameter.data += std * torch.randn(parameter.shape, generator=generator)


@torch.no_grad()
def outputs(model):
    """What UNet and text encoder make of fixed inputs."""
    pipe = model.pipeline() if isinstance(model, LatentDiffusion) else model
    with_text = pipe.text_encoder.eval()(torch.arange(10)[None])[0]
    return [unet_output(pipe), with_text]


def difference(left, right):
    return max((a - b).abs().max().item() for a, b in zip(left, right, strict=True))


@pytest.fixture(scope="module")
def base():
    return outputs(tiny_sd_pipeline())


@pytest.fixture(scope="module", params=CELLS, ids=" ".join)
def built(request, sd_folder):
    kind, targets = request.param
    model = build(sd_folder, kind, **TARGETS[targets])
    return kind, model, {name: value.clone() for name, value in model.trainable_state().items()}


@pytest.fixture
def cell(built):
    """A kind, and a model with untrained adapters of it."""
    kind, model, state = built
    model.load_trainable_state(state)
    return kind, model


def test_step_zero_is_the_base_and_training_is_not(cell, base):
    _, model = cell
    assert difference(outputs(model), base) <= 2e-6
    move(model)
    assert difference(outputs(model), base) > 1e-3
    with model.adapters_disabled():
        assert difference(outputs(model), base) <= 2e-6


def test_only_adapters_change(cell):
    kind, model = cell
    digest = model.frozen_digest()
    before = {name: value.detach().clone() for name, value in model.trainable_parameters().items()}
    assert before and all(MARKS[kind] in name for name in before)
    optimizer = torch.optim.AdamW(model.trainable_parameters().values(), lr=1e-2)
    for _ in range(3):  # what stands beside a zero moves once that has left zero
        losses = model(mode="loss", pixel_values=torch.rand(2, 3, 32, 32) * 2 - 1, prompt=["a dog", "a cat"],
                       key=[None, None], is_prior=torch.tensor([False, False]))
        optimizer.zero_grad()
        sum(value for name, value in losses.items() if "loss" in name).backward()
        optimizer.step()
    assert [name for name, value in model.trainable_parameters().items() if torch.equal(value, before[name])] == []
    assert model.frozen_digest() == digest


def test_what_is_read_again_and_merged_is_what_was_trained(cell, tmp_path):
    _, model = cell
    move(model)
    shown = outputs(model)
    write_artifacts(model.artifacts(), tmp_path, model.pipeline, step=3)
    again = tiny_sd_pipeline()
    apply_adapters(again.components, read_step_folder(tmp_path), "tiny")
    assert difference(outputs(again), shown) <= 1e-6
    for name in ("unet", "text_encoder"):
        merge_adapters(getattr(again, name))
    assert difference(outputs(again), shown) <= 2e-5
    for name in ("unet", "text_encoder"):
        assert list(getattr(again, name).state_dict()) == list(getattr(tiny_sd_pipeline(), name).state_dict())
    assert difference(outputs(model), shown) == 0  # writing has not altered the live model


def test_parameters_in_closed_form(cell):
    kind, model = cell
    module = model.tuners["x"].module(model)
    layers = [layer.get_base_layer() for layer in module.modules() if isinstance(layer, BaseTunerLayer)]
    assert layers
    assert sum(p.numel() for p in model.trainable_parameters().values()) == sum(count(kind, each) for each in layers)


def count(kind, layer, rank=2, factor=4, block=4):
    """Trained numbers beside one layer: the papers' formulas."""
    window = math.prod(layer.kernel_size) if isinstance(layer, nn.Conv2d) else 1
    rows, columns = layer.weight.shape[0], layer.weight.shape[1] * window
    if kind in ("lora", "dora"):
        return rank * (rows + columns) + (rows if kind == "dora" else 0)
    if kind == "loha":
        return 2 * rank * (rows + columns)
    if kind == "oft":
        return columns // block * block * (block - 1) // 2
    (a, b), (c, d) = factorization(rows, factor), factorization(layer.weight.shape[1], factor)
    return a * c + (b * d * window if rank >= max(b, d) / 2 else rank * (b + d * window))


@pytest.mark.parametrize("variant", VARIANTS)
def test_options_of_a_kind(variant, sd_folder, base, tmp_path):
    kind, options = VARIANTS[variant]
    targets = TARGETS["convolutions" if "tucker" in variant else "attention"]
    model = build(sd_folder, kind, **{**targets, "options": options})
    assert difference(outputs(model), base) <= 2e-6
    move(model)
    shown = outputs(model)
    assert difference(shown, base) > 1e-3
    config = model.unet.peft_config["default"]
    assert all(getattr(config, name) == (set(value) if isinstance(value, list) else value)
               for name, value in options.items())
    write_artifacts(model.artifacts(), tmp_path, model.pipeline)
    again = tiny_sd_pipeline()
    apply_adapters(again.components, read_step_folder(tmp_path), "tiny")
    assert difference(outputs(again), shown) <= 2e-6
    again.unet = merged_copy(again.unet)
    assert difference(outputs(again), shown) <= 2e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_options_are_those_of_peft(kind):
    config = peft_config(kind, ["to_q"], 4, 2.0, 0.0, "gaussian", {})
    assert set(OPTIONS[kind]) <= set(vars(config))


@pytest.mark.parametrize(("tuner", "message"), [
    ({"kind": "lohr"}, 'kind is \'lohr\'; did you mean "loha" or "lokr"'),
    ({"kind": "lokr", "options": {"decompose_facto": 4}}, 'decompose_facto is not an option of lokr; did you mean'),
    ({"kind": "loha", "options": {"decompose_factor": 4}}, "decompose_factor is not an option of loha; allowed: al"),
    ({"options": {"bias": "all"}}, "bias is not an option of lora"),
    ({"kind": "oft", "rank": 4}, "rank is not an option of oft"),
    ({"kind": "oft", "alpha": 4}, "alpha is not an option of oft"),
    ({"kind": "oft", "options": {"oft_block_size": 1}}, "oft_block_size is 1; it must be a whole number, 2 or more"),
    ({"kind": "oft", "options": {"eps": 0}}, "eps is 0; it must be a number above 0"),
    ({"kind": "oft", "export_kohya": True}, "export_kohya is not an option of oft"),
    ({"kind": "loha", "dropout": 0.1}, "dropout is not an option of loha"),
    ({"kind": "loha", "init": "gaussian"}, "init is not an option of loha"),
    ({"kind": "loha", "options": {"rank_dropout": 1.0}}, r"rank_dropout is 1\.0; it must be a number in \[0, 1\)"),
    ({"kind": "lokr", "options": {"decompose_both": 1}}, "decompose_both is 1; it must be True or False"),
    ({"kind": "lokr", "options": {"rank_pattern": 3}}, "rank_pattern is 3; it must be a dict"),
    ({"options": {"exclude_modules": 3}}, "exclude_modules is 3; it must be a list of endings"),
    ({"dropout": 1.0}, r"dropout is 1\.0; it must be in \[0, 1\)")])
def test_mistakes(tuner, message):
    with pytest.raises(ValueError, match=message):
        LoRATuner(**tuner)


@pytest.mark.parametrize(("targets", "size", "message"), [
    (["conv1"], 4, "oft cannot act on 'down_blocks.0.resnets.0.conv1' of unet, a convolution of 3x3"),
    (["to_q"], 5, "oft_block_size is 5, which does not divide the 8 inputs of 'down_blocks.0.*to_q'")])
def test_layers_that_cannot_be_turned(sd_folder, targets, size, message):
    with pytest.raises(ValueError, match=message):
        build(sd_folder, "oft", target_modules=targets, options={"oft_block_size": size})


def test_peft_would_add_up_the_windows_of_a_convolution():
    """Why OFT is refused there: the day this fails, it can be allowed."""
    network = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1))
    pixels = torch.ones(1, 4, 8, 8)
    before = network(pixels)
    inject_adapter_in_model(peft_config("oft", ["0"], 8, 8, 0.0, "gaussian", {"oft_block_size": 4}), network)
    assert (network(pixels) - before).abs().max() > 0.1
