"""A compiled UNet: the same steps, the same names, the same pictures; what cannot be compiled is told."""

import os
import shutil

import pytest
import torch

from diffkit.models.compiler import UNetCompiler
from tests.models.test_latent_diffusion import batch, build
from tests.tiny import tiny_sd

TRACED = {"backend": "eager"}  # traces, guards and counts, and compiles nothing: seconds, not minutes
FULL = {"unet": {"type": "FullTuner", "component": "unet"}}
FEATURES = {"type": "DenoiserDistiller", "objectives": {"loss_output": {}, "loss_feature": {"pairs": "blocks"}}}
INSIDE = {"type": "DenoiserDistiller", "objectives": {
    "loss_feature": {"pairs": [["mid_block.resnets.0.conv1", "mid_block.resnets.0.conv1"]]}}}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Of one level and one width, so that 9 blocks come to few graphs."""
    level = {"block_out_channels": (8,), "down_block_types": ("CrossAttnDownBlock2D",),
             "up_block_types": ("CrossAttnUpBlock2D",), "layers_per_block": 1}
    return tiny_sd(tmp_path_factory.mktemp("small") / "sd", unet=level)


@pytest.fixture(autouse=True)
def fresh():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()


def trained(folder, steps=2, **options):
    """The model after some steps, and the loss of each."""
    torch.manual_seed(0)
    model = build(folder, **options)
    optimizer = torch.optim.SGD(model.trainable_parameters().values(), lr=1e-2)
    losses = []
    for step in range(steps):
        torch.manual_seed(step)
        loss = sum(value for name, value in model(**batch()).items() if "loss" in name)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return model, losses


def assert_same_training(one, other):
    (left, losses), (right, expected) = one, other
    assert losses[0] == pytest.approx(expected[0], rel=1e-6)
    assert left.trainable_state().keys() == right.trainable_state().keys()
    for name, value in right.trainable_state().items():
        assert (left.trainable_state()[name] - value).norm() <= 1e-5 * value.norm() + 1e-12, name


@pytest.mark.parametrize("options", [
    {"tuners": {"unet": {"type": "LoRATuner", "rank": 2, "dropout": 0.3}}, "gradient_checkpointing": True},
    {"tuners": FULL, "distiller": FEATURES},
], ids=["adapters with dropout, checkpointing", "full, features of blocks"])
def test_a_compiled_training_is_the_plain_one(small, options):
    compiled = trained(small, compile=TRACED, **options)
    counts = UNetCompiler.counts()
    assert counts.graphs > 0
    assert counts.breaks == 0
    assert compiled[0].compiler.compiled == 9  # 5 residual and 4 transformer blocks
    assert_same_training(compiled, trained(small, **options))


def test_nothing_is_compiled_again_while_sizes_stay(small):
    model, _ = trained(small, compile=TRACED)
    settled = UNetCompiler.counts().graphs
    for _ in range(3):
        model(**batch())["loss_denoising"].backward()
    assert UNetCompiler.counts().graphs == settled
    model(**batch(size=3))
    assert UNetCompiler.counts().graphs > settled


def test_samples_run_as_they_are(small):
    model, plain = (build(small, compile=options, generation={"num_inference_steps": 1}) for options in (TRACED, None))
    plain.load_trainable_state(model.trainable_state())
    pictures = []
    for each in (model, plain):
        with each.sampling():
            pictures.append(each.generate(["a dog"], seeds=[0])[0].tobytes())
    assert pictures[0] == pictures[1]
    assert UNetCompiler.counts().graphs == 0


def test_names_stay(small):
    model, plain = build(small, compile=TRACED), build(small)
    assert model.state_dict().keys() == plain.state_dict().keys()


def test_blocks_that_a_distiller_listens_inside_of_stay_as_they_are(small):
    compiled = trained(small, compile=TRACED, distiller=INSIDE)
    assert (compiled[0].compiler.compiled, compiled[0].compiler.left) == (8, 1)
    assert "1 are not, a distiller listens" in compiled[0].compiler.describe()
    assert_same_training(compiled, trained(small, distiller=INSIDE))


@pytest.mark.slow
def test_a_quantised_training_is_the_plain_one(small):
    options = {"quantizer": {"type": "QATQuantizer"}}
    assert_same_training(trained(small, compile=TRACED, **options), trained(small, **options))


@pytest.mark.slow
def test_the_whole_unet_is_one_region(small):
    compiled = trained(small, compile={"regions": "unet", **TRACED})
    assert compiled[0].compiler.compiled == 1
    assert_same_training(compiled, trained(small))


@pytest.mark.skipif("DIFFKIT_LONG_TESTS" not in os.environ, reason="a minute of CPU; set DIFFKIT_LONG_TESTS=1")
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_inductor_gives_the_plain_training(small, monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    block = {"unet": {"type": "LoRATuner", "rank": 2, "dropout": 0.3}}
    model, plain = (build(small, compile=options, tuners=block) for options in ({}, None))
    plain.load_trainable_state(model.trainable_state())
    layers = [each.unet.mid_block.resnets[0] for each in (model, plain)]
    given = torch.randn(1, 8, 4, 4), torch.randn(1, 32)
    outputs = [layer(*given) for layer in layers]
    torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("options", "message"), [
    ({"regions": "layers"}, "regions is 'layers'; allowed: blocks, unet"),
    ({"mode": "fast"}, "mode is 'fast'; allowed: default"),
    ({"backend": "tvm"}, "backend is 'tvm'"),
    ({"backend": "eager", "mode": "max-autotune"}, "one of the backend 'inductor'"),
    ({"regions": "unet", "backend": "eager", "gradient_checkpointing": True}, "exclude each other"),
    ({"regions": "unet", "backend": "eager", "distiller": FEATURES}, "does not go with a distiller"),
])
def test_mistakes_are_named(small, options, message):
    options = dict(options)
    model = {name: options.pop(name) for name in ("gradient_checkpointing", "distiller") if name in options}
    with pytest.raises(ValueError, match=message):
        build(small, compile=options, **model)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_cuda_graphs_need_a_gpu(small):
    with pytest.raises(ValueError, match="makes CUDA graphs, and there is no GPU"):
        build(small, compile={"mode": "reduce-overhead"})
