"""Nearest names."""

import pytest

from diffkit.utils.near import did_you_mean, edit_distance, nearest


@pytest.mark.parametrize(("left", "right", "slips"), [
    ("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("kitten", "sitting", 3), ("max_iterss", "max_iters", 1)])
def test_edit_distance_counts_slips(left, right, slips):
    assert edit_distance(left, right) == edit_distance(right, left) == slips


def test_nearest_ignores_case_and_dashes_and_sorts_by_distance():
    assert nearest("Data-Rot", ["class_data_root", "batch_size", "data_root"])[0] == "data_root"
    assert nearest("MAX_ITERS", ["max_iters"]) == ["max_iters"]


def test_nearest_finds_a_name_inside_a_longer_one():
    assert nearest("lora", ["full", "sd_lora"]) == ["sd_lora"]


def test_nearest_of_something_else_is_empty():
    assert nearest("zebra", ["max_iters", "data_root"]) == []


def test_nearest_keeps_to_n():
    assert len(nearest("ab", ["aa", "ac", "ad", "ae"], n=2)) == 2


def test_did_you_mean_lists_all_when_none_is_near():
    assert did_you_mean("zebra", ["b", "a"]) == "; allowed: a, b"
    assert did_you_mean("data_rot", ["data_root", "b"]) == '; did you mean "data_root"?'
    assert did_you_mean("x", []) == ""
