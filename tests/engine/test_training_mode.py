"""The mode of every module in a step is the one that ``train()`` gives, and ``train()`` runs only where it must."""

from torch import nn

from diffkit.engine.training_mode import TrainingMode


class Frozen(nn.Module):
    """One part is always in evaluation mode; it counts its calls of ``train``."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.trained = nn.Dropout(), nn.Sequential(nn.Dropout(), nn.Linear(2, 2))
        self.calls = 0

    def train(self, mode: bool = True) -> "Frozen":
        self.calls += mode
        super().train(mode)
        self.frozen.eval()
        return self


def _modes(model: nn.Module) -> list[bool]:
    return [module.training for module in model.modules()]


def test_train_is_called_once_and_again_after_a_change() -> None:
    model, mode = Frozen(), TrainingMode()
    expected = _modes(Frozen().train())
    for _ in range(3):
        mode.ensure(model)
        assert _modes(model) == expected
    assert model.calls == 1
    for change in (lambda: model.eval(), lambda: model.trained[0].eval(), lambda: model.frozen.train()):
        calls = model.calls
        change()
        assert _modes(model) != expected
        mode.ensure(model)
        assert _modes(model) == expected and model.calls == calls + 1


def test_a_model_in_its_place_is_seen() -> None:
    mode, second = TrainingMode(), Frozen()
    mode.ensure(Frozen())
    second.eval()
    mode.ensure(second)
    assert second.calls == 1 and second.trained.training
