"""What the tests of faults share: a small model, and one place for trainings that nothing disturbs."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder with a Stable Diffusion even smaller than that of the other tests. Do not write into it."""
    from tests.faults.training import small_model

    return small_model(tmp_path_factory.mktemp("pipelines") / "small-sd")


@pytest.fixture(scope="session")
def fault_work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the trials; what is trained undisturbed in it serves all of them."""
    return tmp_path_factory.mktemp("faults")
