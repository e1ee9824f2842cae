"""The optimizer's wrapper and its constructor."""

import copy
import math

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from diffkit.engine import OptimWrapper, TrainableConstructor
from diffkit.engine.errors import NonFiniteError
from diffkit.engine.optimizer_state import load_gradients, load_optimizer_state, optimizer_state, save_gradients
from tests.engine.fakes import FakeModel


def wrapper_of(parameters, lr=0.1, **options):
    return OptimWrapper(torch.optim.SGD(parameters, lr=lr), **options)


def construct(model, paramwise_cfg=None, lr=0.01, **optimizer):
    cfg = {"optimizer": {"type": "AdamW", "lr": lr, "weight_decay": 0.1, **optimizer}}
    return TrainableConstructor(cfg, paramwise_cfg)(model)


def test_accumulation_equals_one_large_batch_and_flushes_the_rest():
    torch.manual_seed(0)
    net, batches = nn.Linear(3, 1), torch.randn(5, 2, 3)
    twin = copy.deepcopy(net)
    wrapper = wrapper_of(net.parameters(), accumulative_counts=2)
    wrapper.initialize_count_status(net, 0, 5)
    stepped = []
    for batch in batches:
        wrapper.update_params(net(batch).square().mean())
        stepped.append(wrapper.stepped)
    assert stepped == [False, True, False, True, True]
    assert wrapper.optimizer_steps == 3
    large = wrapper_of(twin.parameters())
    for batch in (batches[0:2], batches[2:4], batches[4:5]):
        large.update_params(twin(batch.flatten(0, 1)).square().mean())
    torch.testing.assert_close(net.weight, twin.weight)


@pytest.mark.parametrize("clip", [None, {"max_norm": 0.5}, {"max_norm": 0.5, "norm_type": 1}])
def test_clipping_by_norm_and_the_logged_norm(clip):
    weight = nn.Parameter(torch.zeros(2))
    wrapper = wrapper_of([weight], lr=1.0, clip_grad=clip)
    wrapper.update_params((weight * torch.tensor([3.0, 4.0])).sum())
    norm = {None: 5.0, 2: 5.0, 1: 7.0}[clip and clip.get("norm_type", 2)]
    factor = 1.0 if clip is None else 0.5 / norm
    torch.testing.assert_close(weight.detach(), -factor * torch.tensor([3.0, 4.0]))
    assert wrapper.message_hub.get_scalar("train/grad_norm").current() == pytest.approx(norm)


def test_clipping_by_value():
    weight = nn.Parameter(torch.zeros(2))
    wrapper = wrapper_of([weight], lr=1.0, clip_grad={"type": "value", "clip_value": 0.5})
    wrapper.update_params((weight * torch.tensor([3.0, -0.1])).sum())
    torch.testing.assert_close(weight.detach(), torch.tensor([-0.5, 0.1]))


def test_bfloat16_runs_the_forward_pass_in_bfloat16_and_keeps_weights_in_float32():
    net = nn.Linear(4, 4)
    wrapper = wrapper_of(net.parameters(), dtype="bfloat16")
    with wrapper.optim_context(net):
        out = net(torch.randn(2, 4))
    assert out.dtype == torch.bfloat16
    wrapper.update_params(out.float().mean())
    assert net.weight.dtype == net.weight.grad.dtype if net.weight.grad is not None else torch.float32
    with wrapper_of(net.parameters()).optim_context(net):
        assert net(torch.randn(2, 4)).dtype == torch.float32


def test_a_step_that_is_not_finite_is_skipped_and_too_many_end_the_training():
    weight = nn.Parameter(torch.ones(1))
    wrapper = wrapper_of([weight], max_skipped=2)
    for factor in (math.nan, math.inf, 1.0, math.nan, math.nan):
        before = weight.detach().clone()
        wrapper.update_params(weight.sum() * factor)
        assert wrapper.stepped == (factor == 1.0)
        assert torch.equal(before, weight.detach()) != wrapper.stepped
    assert (wrapper.skipped_in_row, wrapper.optimizer_steps) == (2, 1)
    with pytest.raises(NonFiniteError, match=r"iteration 5 .*max_skipped=2"):
        wrapper.update_params(weight.sum() * math.nan)
    assert torch.isfinite(weight).all()


def test_a_skipped_step_says_what_and_where():
    weight = nn.Parameter(torch.ones(1))
    wrapper = wrapper_of([weight], accumulative_counts=3, max_skipped=0)
    wrapper.update_params(weight.sum())
    wrapper.update_params(weight.sum() * math.nan)
    with pytest.raises(NonFiniteError, match=r"the loss is not finite at iterations 0 to 2 \(optimizer step 0\)"):
        wrapper.update_params(weight.sum())
    assert wrapper.skipped_iterations == [1]


def test_a_gradient_that_is_not_finite_is_told_from_a_loss():
    weight = nn.Parameter(torch.ones(1))
    weight.register_hook(lambda grad: grad * math.inf)
    wrapper = wrapper_of([weight], max_skipped=0)
    with pytest.raises(NonFiniteError, match="the gradient is not finite at iteration 0 "):
        wrapper.update_params(weight.sum())
    assert wrapper.skipped_iterations == [0]


def scaled(weight, **options):
    """A wrapper with a loss scaler, which on a CPU only tests want."""
    wrapper = wrapper_of([weight], lr=1e-3, **options)
    wrapper.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**120, growth_interval=3)
    return wrapper


def test_a_loss_that_is_not_finite_counts_whatever_the_loss_scale():
    weight = nn.Parameter(torch.ones(1))
    wrapper = scaled(weight, max_skipped=1)
    wrapper.update_params(weight.sum() * 1e30)  # the scale's fault: not counted
    assert wrapper.skipped_in_row == 0 and not wrapper.stepped
    wrapper.update_params(weight.sum() * math.nan)
    with pytest.raises(NonFiniteError):
        wrapper.update_params(weight.sum() * math.nan)


def test_the_loss_scaler_comes_back():
    weights = [nn.Parameter(torch.ones(4)) for _ in range(2)]
    wrapper, other = map(scaled, weights)
    for _ in range(9):
        wrapper.update_params((weights[0] * 1e10).sum())
    weights[1].data.copy_(weights[0].data)
    names = [{id(weight): "weight"} for weight in weights]
    saved = optimizer_state(wrapper, names[0])
    assert 0 < saved["counters"]["loss_scaler"]["scale"] < 2.0**120
    load_optimizer_state(other, saved, names[1])
    for _ in range(30):
        wrapper.update_params((weights[0] * 1e10).sum())
        other.update_params((weights[1] * 1e10).sum())
    assert wrapper.optimizer_steps == other.optimizer_steps > 0
    assert wrapper.counters() == other.counters()
    assert torch.equal(*weights)


@pytest.mark.parametrize("processes", [1, 2])
def test_half_done_gradients_come_back_and_what_is_not_finite_by_name_only(tmp_path, monkeypatch, processes):
    weights = [nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))]
    wrapper = wrapper_of(weights, accumulative_counts=4)
    names = {id(weight): f"w{number}" for number, weight in enumerate(weights)}
    ranks = [[torch.tensor([rank, -0.0]), torch.tensor([math.inf, 1.0]), None] for rank in (1.0, 3.0)]
    save_gradients(tmp_path, [names[id(value)] for value in wrapper.parameters()], ranks[:processes])
    for path in tmp_path.glob("*.safetensors"):
        assert all(value.isfinite().all() for value in load_file(path).values())
    assert load_gradients(wrapper, tmp_path, names) == 2
    assert weights[0].grad.tolist() == [1.0 if processes == 1 else 2.0, 0.0]  # one process goes on: the mean of two
    assert weights[1].grad.isnan().all() and weights[2].grad is None


def test_an_infinite_loss_with_finite_gradients_is_skipped_too():
    weight = nn.Parameter(torch.ones(1))
    wrapper = wrapper_of([weight])
    wrapper.update_params(weight.sum() + math.inf)
    assert not wrapper.stepped and weight.item() == 1.0


def test_one_bad_iteration_spoils_its_accumulation_only():
    weight = nn.Parameter(torch.ones(1))
    wrapper = wrapper_of([weight], accumulative_counts=2)
    results = []
    for factor in (math.nan, 1.0, 1.0, 1.0):
        wrapper.update_params(weight.sum() * factor)
        results.append(wrapper.stepped)
    assert results == [False, False, False, True]
    assert float(weight) == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float16"}, "needs a GPU"),
        ({"dtype": "half"}, "'bfloat16'"),
        ({"accumulative_counts": 0}, "accumulative_counts"),
        ({"max_skipped": -1}, "max_skipped"),
    ],
)
def test_faults_name_the_argument(options, message):
    with pytest.raises(ValueError, match=message):
        wrapper_of(nn.Linear(1, 1).parameters(), **options)


def test_the_optimizer_gets_only_what_is_trained():
    model = FakeModel()
    wrapper = construct(model)
    assert {id(p) for p in wrapper.parameters()} == {id(p) for p in model.trainable_parameters().values()}
    assert len(wrapper.optimizer.param_groups) == 1


def test_learning_rates_by_component():
    keys = {"text_encoder": {"lr_mult": 0.1}, "text_encoder.bias": {"lr_mult": 2, "decay_mult": 0}}
    wrapper = construct(FakeModel(), {"custom_keys": keys})
    groups = [(g["lr"], g["weight_decay"], len(g["params"])) for g in wrapper.optimizer.param_groups]
    assert groups == [(0.01, 0.1, 4), (pytest.approx(0.001), 0.1, 1), (0.02, 0.0, 1)]


@pytest.mark.parametrize(
    ("paramwise", "message"),
    [
        ({"custom_keys": {"txt": {"lr_mult": 1}}}, "matches no trained parameter.*net, text_encoder"),
        ({"custom_keys": {"net": {"lr": 1}}}, "unknown keys .'lr'.*lr_mult"),
        ({"keys": {}}, "unknown keys .'keys'"),
    ],
)
def test_paramwise_faults(paramwise, message):
    with pytest.raises(ValueError, match=message):
        construct(FakeModel(), paramwise)


def test_nothing_to_train_names_the_tuners():
    with pytest.raises(ValueError, match=r"nothing to train .*net: all of net"):
        construct(FakeModel().requires_grad_(False))


def test_trained_weights_must_be_float32():
    with pytest.raises(TypeError, match=r"not float32 \(first: net.0.weight is torch.bfloat16\)"):
        construct(FakeModel().bfloat16())


def test_eight_bit_adam_says_what_it_needs(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "bitsandbytes", None)
    with pytest.raises(ImportError, match="pip install bitsandbytes"):
        construct(FakeModel(), type="AdamW8bit")


@pytest.mark.parametrize("name", ["SGD", "RMSprop", "Adagrad", "NAdam", "Adafactor", "Lion8bit"])
def test_any_optimizer_by_name(name):
    if name == "Lion8bit":
        with pytest.raises(ValueError, match="Lion8bit"):
            construct(FakeModel(), type=name)
        return
    more = {"relative_step": False} if name == "Adafactor" else {}
    wrapper = construct(FakeModel(), type=name, **more)
    assert type(wrapper.optimizer).__name__ == name


@pytest.mark.parametrize("name", ["AdamW", "SGD", "RMSprop", "Adagrad", "NAdam", "RAdam", "Adafactor"])
def test_optimizer_state_comes_back_by_name(name):
    torch.manual_seed(0)
    more = {"relative_step": False} if name == "Adafactor" else {}
    more |= {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    paramwise = {"custom_keys": {"text_encoder": {"lr_mult": 0.1}}}
    models = [FakeModel(), FakeModel()]
    models[1].load_state_dict(models[0].state_dict())
    wrappers = [construct(model, paramwise, type=name, **more) for model in models]
    x = torch.randn(4, 4)

    def step(i):
        torch.manual_seed(1)
        wrappers[i].update_params(models[i](x, range(4))["loss_fit"])

    for _ in range(3):
        step(0)
    names = [{id(p): n for n, p in model.trainable_parameters().items()} for model in models]
    saved = copy.deepcopy(optimizer_state(wrappers[0], names[0]))
    models[1].load_trainable_state(models[0].trainable_state())
    load_optimizer_state(wrappers[1], saved, names[1])
    for i in (0, 1):
        step(i)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b)
    assert wrappers[1].optimizer_steps == 4


def test_other_parameters_than_in_the_checkpoint_are_refused():
    from diffkit.engine.errors import ResumeError

    model = FakeModel()
    wrapper = construct(model)
    names = {id(p): n for n, p in model.trainable_parameters().items()}
    saved = optimizer_state(wrapper, names)
    saved["param_groups"][0]["params"][0] = "unet.other"
    with pytest.raises(ResumeError, match=r"1 missing .*net.0.weight.*1 only in the checkpoint .*unet.other"):
        load_optimizer_state(wrapper, saved, names)
    other = construct(model, {"custom_keys": {"text_encoder": {"lr_mult": 0.1}}})
    with pytest.raises(ResumeError, match="groups of"):
        load_optimizer_state(other, optimizer_state(wrapper, names), names)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_float16_lowers_its_scale_and_then_steps():
    weight = nn.Parameter(torch.ones(4, device="cuda"))
    wrapper = wrapper_of([weight], lr=1e-3, dtype="float16", loss_scale=2.0**100, max_skipped=0)
    for _ in range(200):
        wrapper.update_params((weight * 1e10).sum())
    assert wrapper.optimizer_steps > 0
    state = wrapper.counters()
    other = wrapper_of([weight], dtype="float16")
    other.load_counters(state)
    assert other.scaler.get_scale() == wrapper.scaler.get_scale()
