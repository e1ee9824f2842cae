"""The training mode of a model, without a walk through its modules in every step."""

from torch import nn


class TrainingMode:
    """Sees to it that each module is in the mode that ``model.train()`` gives it.

    A model with adapters has thousands of modules, and ``train()`` writes to each of them. Here they are only read, and
    ``train()`` is called where one is in another mode: at first, and after somebody has changed it. Which parts are
    frozen must not change in between.
    """

    def __init__(self) -> None:
        self._modules: list[nn.Module] = []
        self._modes: list[bool] = []

    def ensure(self, model: nn.Module) -> None:
        """Puts the modules of a model into their modes, if they are not in them."""
        known = self._modules and self._modules[0] is model
        if not known or [module.training for module in self._modules] != self._modes:
            model.train()
            self._modules = list(model.modules())
            self._modes = [module.training for module in self._modules]
