"""Networks whose weights are spread over the processes of a training (torch's FSDP2), and how they become whole.

Each process keeps a part of every tensor. What needs a whole tensor gathers it, which all processes have to do at the
same time and in the same order. ``torch.distributed.fsdp`` takes a second to import: it is not, until something is
sharded.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn


def is_sharded(tensor: Any) -> bool:
    """Whether a tensor is one whose values are spread over processes."""
    return hasattr(tensor, "full_tensor")


def gathered(tensor: Tensor, device: torch.device | str | None = None, keep: bool = True) -> Tensor:
    """The whole of a tensor; all processes must call it where it is sharded.

    Args:
        tensor: one that is not sharded is returned as it is, on ``device``.
        device: where the whole is wanted; None leaves it where it is.
        keep: False takes part in the gathering and returns a tensor without values.
    """
    whole: Tensor = tensor.detach()
    whole = whole.full_tensor() if is_sharded(whole) else whole  # type: ignore[attr-defined]
    return whole.to(device or whole.device) if keep else whole.to("meta")


def placed_like(value: Tensor, like: Tensor) -> Tensor:
    """What this process keeps of a whole tensor: of a sharded ``like`` of the same shape its part, else all of it.

    Every process has the whole ``value``, so nothing is sent.
    """
    if not is_sharded(like) or value.shape != like.shape:
        return value.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    mesh, placements = like.device_mesh, like.placements  # type: ignore[attr-defined]
    return distribute_tensor(value.to(like.device), mesh, placements, src_data_rank=None)


def own_parts(tensors: Mapping[str, Tensor]) -> list[Tensor]:
    """What this process keeps of each tensor, in place: all of one that is not sharded."""
    return [value.to_local() if is_sharded(value) else value for value in tensors.values()]  # type: ignore[attr-defined]


class ShardedNetwork:
    """Spreads the weights of a network over all processes, in place.

    Each unit (a block of those that the network says not to be split, ``_no_split_modules``; what is left is one more)
    is whole only while it computes. The network is called as before, by all processes equally often and in the same
    order. Names of parameters stay; the parameters become tensors of the distributed kind.

    Args:
        network: with all weights, on any device; each process has the same.
        mesh: of all processes, one-dimensional; it says where the parts lie.
        dtype: number format in which trained units are gathered and compute; None is that of the weights. Gradients
            are summed up in float32.
    """

    def __init__(self, network: nn.Module, mesh: Any, dtype: torch.dtype | None = None) -> None:
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

        self.network = network
        self._skeleton = _without_values(network)
        policy = MixedPrecisionPolicy(
            param_dtype=dtype, reduce_dtype=None if dtype is None else torch.float32, cast_forward_inputs=False)
        trained = any(parameter.requires_grad for parameter in network.parameters())
        again = None if trained else True  # what is gathered last is needed again by a backward pass, if there is one
        for unit in [*_units(network), network]:
            fully_shard(unit, mesh=mesh, reshard_after_forward=again, mp_policy=policy)

    @property
    def local_bytes(self) -> int:
        """Bytes of the weights that this process keeps."""
        return sum(value.nbytes for value in own_parts(dict(self.network.named_parameters())))

    def gather(self, device: torch.device | str | None = None, keep: bool = True) -> nn.Module:
        """A plain network with the whole weights, as they are now; all processes must call it.

        Args:
            device: where the weights are wanted; None is where the parts lie.
            keep: False leaves the weights without values here.
        """
        whole = deepcopy(self._skeleton)
        state = {name: gathered(value, device, keep) for name, value in self.network.state_dict().items()}
        whole.load_state_dict(state, assign=True)
        return whole.to(next(iter(state.values())).device).train(self.network.training)


@contextmanager
def shown(model: nn.Module, name: str, network: nn.Module) -> Iterator[None]:
    """Puts another network in the place of a submodule inside ``with``; ``name`` is its path in the model."""
    front, _, last = name.rpartition(".")
    parent, own = model.get_submodule(front), model.get_submodule(name)
    parent._modules[last] = network  # ModuleDict and ModuleList have the names of all modules
    try:
        yield
    finally:
        parent._modules[last] = own


def _units(network: nn.Module) -> list[nn.Module]:
    """The blocks that are gathered at once, those inside of others first."""
    names = getattr(network, "_no_split_modules", None) or ()
    return [module for module in network.modules() if module is not network and type(module).__name__ in names][::-1]


def _without_values(network: nn.Module) -> nn.Module:
    """A copy of a network whose weights have no values and take no memory."""
    empty = {id(value): nn.Parameter(value.detach().to("meta"), value.requires_grad) for value in network.parameters()}
    return deepcopy(network, empty)
