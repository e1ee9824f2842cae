"""Several trainings on one model: what each changes of the weights is added up, each times a number of the user's."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffkit.export.merge import forget_adapters

#: For each component, by the name of a parameter, what is added to it (float32).
Changes = dict[str, dict[str, Tensor]]


class SummedChanges:
    """The weights of some networks, and the changes that have been added to them.

    Whatever a training was, what it changes is ``W' - W`` of each weight: with an adapter of any kind, ``W'`` is the
    weight with the adapter merged. The sum is ``W + w1 (W1' - W) + w2 (W2' - W) + …``: it does not depend on the order,
    a number of 0 leaves a training out, and 1 gives exactly what was trained. All is computed in float32, and rounded
    once where W has a shorter format.

    Args:
        components: the networks by name.
    """

    def __init__(self, components: Mapping[str, nn.Module]) -> None:
        self.components = components
        self.base: Changes = {}
        self.sum: Changes = {}

    @torch.no_grad()
    def show(self, summed: bool) -> None:
        """Lets the networks have the changed weights, or those of the base."""
        for component, values in self.base.items():
            for name, value in values.items():
                change = self.sum[component][name] if summed else 0
                self.components[component].get_parameter(name).copy_(value.float() + change)

    def add(self, changes: Changes, weight: float) -> None:
        """Adds ``weight`` times ``changes``; the networks show the base or the sum, as before, until :meth:`show`."""
        for component, found in changes.items():
            base, total = self.base.setdefault(component, {}), self.sum.setdefault(component, {})
            for name, change in found.items():
                if name not in base:
                    base[name] = self.components[component].get_parameter(name).detach().clone()
                    total[name] = torch.zeros_like(change)
                total[name] += weight * change


@torch.no_grad()
def take_adapters(components: Mapping[str, nn.Module]) -> Changes:
    """Takes the active adapters out of networks, in place, and returns what they would have changed.

    Args:
        components: networks by name; those without adapters are left as they are.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    changes: Changes = {}
    for component, module in components.items():
        adapted = [(name, layer) for name, layer in module.named_modules() if isinstance(layer, BaseTunerLayer)]
        for name, layer in adapted:
            changes.setdefault(component, {}).update(_take_layer(module, name, layer))
        if adapted:
            forget_adapters(module)
    return changes


def _take_layer(module: nn.Module, name: str, layer: Any) -> dict[str, Tensor]:
    """Puts the plain layer back in its place; gives the changes of its parameters by their names in ``module``."""
    base = layer.get_base_layer()
    own = {key: parameter.data for key, parameter in base.named_parameters(recurse=False)}
    for parameter in layer.parameters():
        parameter.data = parameter.data.to(torch.float32, copy=True)
    layer.merge()
    changes = {f"{name}.{key}": base.get_parameter(key).data - before.float() for key, before in own.items()}
    for key, before in own.items():
        base.get_parameter(key).data = before
    parent, _, child = name.rpartition(".")
    setattr(module.get_submodule(parent), child, base)
    return {key: change for key, change in changes.items() if change.any()}


@torch.no_grad()
def changes_by(module: nn.Module, component: str, act: Callable[[], object]) -> Changes:
    """What a function changes that sets weights of a network in place; they are as they were, afterwards.

    Args:
        module: the network.
        component: its name.
        act: the function; it sets parameters, and adds and removes none.
    """
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    act()
    changes = {}
    for name, value in before.items():
        parameter = module.get_parameter(name)
        if not torch.equal(parameter, value):
            changes[name] = parameter.float() - value.float()
            parameter.copy_(value)
    return {component: changes}
