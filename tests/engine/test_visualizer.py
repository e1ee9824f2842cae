"""A visualizer that draws nothing does not load matplotlib; one that draws, draws what MMEngine's does."""

import subprocess
import sys

import numpy as np
import pytest
from mmengine.visualization import Visualizer

from diffkit.engine.visualizer import LateVisualizer, without_figure

_TRAINING = """
import sys
from mmengine.visualization import LocalVisBackend
from diffkit.engine.visualizer import LateVisualizer
shown = LateVisualizer(vis_backends=[LocalVisBackend(sys.argv[1])])
shown.add_scalars({"loss": 1.0}, step=1)
assert "matplotlib" not in sys.modules, "matplotlib was loaded"
"""


def test_values_do_not_load_matplotlib(tmp_path):
    done = subprocess.run([sys.executable, "-c", _TRAINING, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "loss" in (tmp_path / "scalars.json").read_text()


def test_a_drawing_is_that_of_mmengine():
    image = np.random.default_rng(0).integers(0, 255, (24, 40, 3), dtype=np.uint8)
    pictures = []
    for kind in (Visualizer, LateVisualizer):
        drawn = kind(image=image)
        drawn.draw_bboxes(np.array([[3, 4, 20, 15]]))
        drawn.draw_texts("seen", np.array([5, 5]))
        pictures.append(drawn.get_image())
    assert np.array_equal(*pictures) and not np.array_equal(pictures[0], image)
    assert drawn.dpi == drawn.fig_save.get_figure().dpi > 0


@pytest.mark.parametrize("kind", [Visualizer, "Visualizer", "mmengine.Visualizer"])
def test_only_mmengines_own_is_replaced(kind):
    class Other(Visualizer):
        pass

    backends = [{"type": "LocalVisBackend"}]
    assert without_figure({"type": kind, "vis_backends": backends}) == {
        "type": LateVisualizer, "vis_backends": backends}
    built = Other()
    for left in ({"type": Other}, {"type": "Other"}, built):
        assert without_figure(left) is left


def test_the_default_is_made_anew_each_time():
    assert without_figure(None) == {"type": LateVisualizer, "vis_backends": [{"type": "LocalVisBackend"}]}
    without_figure(None)["vis_backends"][0]["save_dir"] = "of another run"
    assert without_figure(None)["vis_backends"] == [{"type": "LocalVisBackend"}]
