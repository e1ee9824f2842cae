"""Sharded training: weights, gradients and the optimizer's state are spread over the processes (torch's FSDP2)."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any, Literal, TypeGuard

import torch
from mmengine.device import get_device
from torch import Tensor, nn

from diffkit.registry import MODEL_WRAPPERS
from diffkit.utils.sharded import ShardedNetwork, gathered, shown

Take = Callable[[Tensor], Tensor]

_DTYPES = {"float32": None, "bfloat16": torch.bfloat16}


@MODEL_WRAPPERS.register_module()
class ShardedDataParallel(nn.Module):
    """Every process keeps a part of each weight of what is trained, and of the teacher; a block is whole while it runs.

    The steps are those of ``MMDistributedDataParallel``, which it takes the place of in ``model_wrapper_cfg``. A
    training in one process, and a test, have nothing to share and are not sharded.

    Args:
        module: the model, with all its slots filled.
        dtype: number format in which the weights of what is trained are gathered: ``bfloat16`` sends and holds half as
            much, and needs ``optim_wrapper.dtype="bfloat16"``. The optimizer steps in float32 all the same.
    """

    def __init__(self, module: nn.Module, dtype: Literal["float32", "bfloat16"] = "float32") -> None:
        super().__init__()
        if dtype not in _DTYPES:
            raise ValueError(f"model_wrapper_cfg.dtype is {dtype!r}; allowed: {', '.join(_DTYPES)}")
        check_shardable(module)
        from torch.distributed.device_mesh import init_device_mesh

        model: Any = module
        device = get_device()
        mesh = init_device_mesh(torch.device(device).type, (torch.distributed.get_world_size(),))
        spread = partial(ShardedNetwork, mesh=mesh)
        self.networks = {name: spread(model.get_submodule(name), dtype=_DTYPES[dtype])
                         for name in _sharded_parts(model)}
        if model.distiller is not None:
            model.distiller.shard(spread)
        self.module = module.to(device)
        self._is_whole = False

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the model."""
        return self.module(*args, **kwargs)

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """One iteration, as MMEngine's models have it.

        Gradients are shared at each iteration of an accumulation: what is not shared would have to be kept whole.
        """
        model: Any = self.module
        with optim_wrapper.optim_context(self):
            losses = self(**model.data_preprocessor(data, True), mode="loss")
        loss, logged = model.parse_losses(losses)
        optim_wrapper.update_params(loss)
        return dict(logged)

    def val_step(self, data: Any) -> Any:
        """Predictions, from whole weights: call it inside of :meth:`whole`."""
        return self.module.val_step(data)  # type: ignore[operator]

    def test_step(self, data: Any) -> Any:
        """Predictions, as :meth:`val_step`."""
        return self.module.test_step(data)  # type: ignore[operator]

    @contextmanager
    def whole(self, device: str | None = None, keep: bool = True) -> Iterator[None]:
        """Inside the body the model is an ordinary one with whole weights; all processes must enter it.

        What is done to the weights inside is lost. Inside of itself it does nothing.

        Args:
            device: where the weights are wanted; None is the device of the training.
            keep: False helps the others to gather them, and leaves the model as it is.
        """
        with ExitStack() as stack:
            if not self._is_whole:
                for name, network in self.networks.items():
                    plain = network.gather(device, keep)
                    if keep:
                        stack.enter_context(shown(self.module, name, plain))
                stack.callback(setattr, self, "_is_whole", False)
                self._is_whole = True
            yield


@contextmanager
def whole_weights(model: nn.Module) -> Iterator[None]:
    """Inside the body a sharded model has its weights whole, on its device; all processes must enter it."""
    with model.whole() if isinstance(model, ShardedDataParallel) else nullcontext():
        yield


@contextmanager
def whole_state(runner: Any) -> Iterator[None]:
    """Inside the body the first process has all that a checkpoint holds whole, in the memory of the host.

    It then writes what a training that is not sharded would write. All processes must enter it; the others hold nothing
    inside. What is changed inside is lost.
    """
    if not isinstance(runner.model, ShardedDataParallel):
        yield
        return
    keep = runner.rank == 0
    take = partial(gathered, device="cpu", keep=keep)
    sharded = runner.bare_model.trainable_parameters()
    with ExitStack() as stack:
        stack.enter_context(runner.model.whole("cpu", keep))
        weights = runner.bare_model.trainable_parameters()
        twins = {id(parameter): weights[name] for name, parameter in sharded.items()}
        stack.enter_context(_whole_optimizer(runner.optim_wrapper.optimizer, twins, take, keep))
        for hook in runner.hooks:
            if hasattr(hook, "whole"):
                stack.enter_context(hook.whole(weights, take))
        yield


@contextmanager
def _whole_optimizer(optimizer: Any, twins: dict[int, nn.Parameter], take: Take, keep: bool) -> Iterator[None]:
    """Inside the body the optimizer steps over the whole weights, with their state and gradients; or over nothing."""
    sharded, own_state = [group["params"] for group in optimizer.param_groups], optimizer.state
    state: dict[nn.Parameter, dict[str, Any]] = {}
    for parameter in (parameter for group in sharded for parameter in group):
        kept = {name: take(value) if isinstance(value, Tensor) else value
                for name, value in own_state.get(parameter, {}).items()}
        gradient = None if parameter.grad is None else take(parameter.grad)
        if keep:
            twins[id(parameter)].grad = gradient
            state |= {twins[id(parameter)]: kept} if kept else {}
    optimizer.state = defaultdict(dict, state)
    for group, parameters in zip(optimizer.param_groups, sharded, strict=True):
        group["params"] = [twins[id(parameter)] for parameter in parameters] if keep else []
    try:
        yield
    finally:
        optimizer.state = own_state
        for group, parameters in zip(optimizer.param_groups, sharded, strict=True):
            group["params"] = parameters


def check_shardable(model: Any) -> None:
    """Looks whether the weights of a model can be spread.

    Raises:
        ValueError: they cannot; the message names the keys.
    """
    faults = [f"model.tuners.{name}: {type(tuner).__name__} trains few weights, or keeps hold of them; it is FullTuner "
              "that can be sharded" for name, tuner in model.tuners.items() if not tuner.can_shard]
    if model.quantizer is not None:
        faults.append("model.quantizer: layers that compute in other numbers cannot be sharded")
    if getattr(model.distiller, "offload", None) is not None:
        faults.append("model.distiller.offload: a teacher that is sharded is not offloaded too; leave it out")
    if getattr(model.distiller, "target_decay", 0):
        faults.append("model.distiller.target_decay: the average that is the target is called in the student's place")
    if model.compiler is not None:
        faults.append("model.compile: blocks that are compiled cannot be sharded")
    if model.activations.policy == "auto":
        faults.append("model.gradient_checkpointing 'auto': processes may decide differently; take True")
    if not all(value.is_contiguous() for value in model.trainable_parameters().values()):
        faults.append("model.memory_format: weights have to be contiguous")
    for name in {name.rpartition(".")[0] for name in model.trainable_parameters()}:
        component = name.split(".")[0]
        if component == "vae":
            faults.append("model.tuners: the VAE is trained, which cannot be sharded")
        elif component not in model.components and not _runs(model.get_submodule(name)):
            faults.append(f"{name}: it has trained weights and is not called as a module, so it cannot be sharded")
    if faults:
        raise ValueError(f"model_wrapper_cfg: {ShardedDataParallel.__name__} does not go with "
                         + "; ".join(dict.fromkeys(faults)) + ". MMDistributedDataParallel, the default, does.")


def is_sharding(wrapper_cfg: dict[str, Any] | None) -> TypeGuard[dict[str, Any]]:
    """Whether a ``model_wrapper_cfg`` asks for sharding."""
    kind = (wrapper_cfg or {}).get("type")
    return (MODEL_WRAPPERS.get(kind) if isinstance(kind, str) else kind) is ShardedDataParallel


def shard(model: nn.Module, wrapper_cfg: dict[str, Any], optim_wrapper: Any) -> nn.Module:
    """Builds what ``model_wrapper_cfg`` says.

    Raises:
        ValueError: model, optimizer or precision do not go with it.
    """
    check_steps(wrapper_cfg, optim_wrapper)
    return MODEL_WRAPPERS.build(wrapper_cfg, default_args={"module": model})  # type: ignore[no-any-return]


def check_steps(wrapper_cfg: dict[str, Any], optim_wrapper: Any) -> None:
    """Looks whether an ``optim_wrapper`` of a config can step over sharded weights.

    Raises:
        ValueError: it cannot; the message names the key.
    """
    if not isinstance(optim_wrapper, dict):
        raise ValueError("optim_wrapper must be a config where model_wrapper_cfg shards the weights: the optimizer has "
                         "to be built after that")
    precision, gathering = optim_wrapper.get("dtype"), wrapper_cfg.get("dtype", "float32")
    kind = optim_wrapper["optimizer"].get("type")
    if precision == "float16":
        raise ValueError("optim_wrapper.dtype 'float16' scales the loss, which does not go with model_wrapper_cfg="
                         "ShardedDataParallel; take 'bfloat16' or None")
    if gathering == "bfloat16" and precision != "bfloat16":
        raise ValueError(f"model_wrapper_cfg.dtype is 'bfloat16' and optim_wrapper.dtype is {precision!r}; set both to "
                         "'bfloat16', or leave model_wrapper_cfg.dtype out")
    if (kind if isinstance(kind, str) else kind.__name__).endswith("8bit"):
        raise ValueError("optim_wrapper.optimizer: an 8-bit optimizer cannot step over sharded weights; take AdamW, "
                         "whose state is shared out over the processes")


def _sharded_parts(model: Any) -> list[str]:
    """What is spread as a network of its own: components that are trained, and other modules with trained weights."""
    owners = [name.rpartition(".")[0] for name in model.trainable_parameters()]
    return sorted({front if (front := name.split(".")[0]) in model.components else name for name in owners})


def _runs(module: nn.Module) -> bool:
    return type(module).forward is not nn.Module.forward
