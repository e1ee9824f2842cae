"""Mistakes in pruner and distiller are found by the check, before anything is loaded."""

from pathlib import Path

import pytest

from tests.utils.config_check_kit import faults_of

CONFIG = Path(__file__).parents[2] / "configs/distill_sd/mini_sd_distill_small.py"
MISTAKES = {
    ("model.pruner.variant", "sd_smal"): 'did you mean "sd_small"',
    ("model.pruner.remove", "mid_block"): "wants Sequence[str]",
    ("model.pruner.ranking_file", "missing.json"): "is not there",
    ("model.pruner.units", 0): "must be 1 or more",
    ("model.distiller.teacher", "mini-ds"): "Did you mean 'mini-sd'",
    ("model.distiller.dtype", "bf16"): "allowed: bfloat16",
    ("model.distiller.objectives.loss_feature.pairs", "sd_smal"): 'did you mean "sd_small"',
    ("model.distiller.objectives.loss_feature.weigth", 1.0): 'did you mean "weight"',
    ("model.distiller.objectives.loss_feature.weight", -1.0): "must be 0 or more",
    ("model.distiller.objectives.loss_feature.connector", "conv"): "linear",
    ("model.distiller.objectives.loss_output.loss.type", "MSELos"): 'did you mean "MSELoss"',
}


@pytest.mark.parametrize(("key", "value"), MISTAKES)
def test_a_mistake_is_named_with_its_key(key, value):
    faults = faults_of(CONFIG, **{key.replace(".", "__"): value})
    assert [fault.key for fault in faults] == [key]
    assert MISTAKES[key, value] in str(faults[0])


def test_what_is_right_passes():
    options = {"model__distiller__objectives__loss_feature__pairs": [("mid_block", "mid_block")],
               "model__pruner__variant": "bk_tiny", "model__distiller__teacher": "mini-sd"}
    assert faults_of(CONFIG, **options) == []
