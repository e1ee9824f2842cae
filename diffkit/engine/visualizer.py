"""MMEngine's visualizer without the half a second that it takes to import what most trainings never draw on."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from mmengine.visualization import Visualizer


class LateVisualizer(Visualizer):
    """Hands values and pictures to the trackers as MMEngine's does; makes its figure when something is drawn on it."""

    def _initialize_fig(self, fig_cfg: dict[str, Any]) -> tuple[Any, ...]:
        make = cache(partial(super()._initialize_fig, fig_cfg))
        return tuple(_Later(make, place) for place in range(3))

    @property
    def dpi(self) -> float:
        """Dots per inch of the figure."""
        return self.fig_save.figure.dpi  # type: ignore[no-any-return]

    @dpi.setter
    def dpi(self, value: Any) -> None:
        """Does nothing: MMEngine copies it from the figure."""


class _Later:
    """One of canvas, figure and axes, which are made together when the first of them is asked for something."""

    def __init__(self, make: Callable[[], tuple[Any, ...]], place: int) -> None:
        self._make, self._place = make, place

    def get_dpi(self) -> None:
        """Asked for by MMEngine's constructor; ``LateVisualizer.dpi`` has the answer."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make()[self._place], name)


def without_figure(visualizer: Any) -> Any:
    """The settings of a visualizer, of MMEngine's own type with :class:`LateVisualizer` in its place.

    None stands for MMEngine's default, which writes into the work folder; a visualizer of another type stays.
    """
    if visualizer is None:
        return {"type": LateVisualizer, "vis_backends": [{"type": "LocalVisBackend"}]}
    if isinstance(visualizer, dict) and visualizer.get("type") in (Visualizer, "Visualizer", "mmengine.Visualizer"):
        return {**visualizer, "type": LateVisualizer}
    return visualizer
