"""diffkit's half of the comparison of pictures during a training: its hook, and the number of steps it is given."""

import pytest

from benchmarks.compare import prepare
from benchmarks.pipelines import save_pipeline
from benchmarks.validation import own_sampling


@pytest.mark.slow
def test_the_hook_paints_with_as_many_steps_as_it_is_told(tmp_path):
    save_pipeline(tmp_path / "work" / "tiny", "tiny")
    sample = own_sampling(prepare(tmp_path / "work", "tiny", 1, 4, 0), tmp_path / "run", 2, 16)
    few = sample(2)
    assert [image.size for image in few] == [(16, 16)] * 2
    assert few[0].tobytes() == sample(2)[0].tobytes() != sample(None)[0].tobytes()
    assert (tmp_path / "run" / "samples" / "step000001.png").is_file()
