"""Points of the scaling: what changes along an axis in counted work and memory, and what does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import one_process, scaling
from benchmarks.scaling_report import scaling_plot, scaling_table
from diffkit.evaluation import unet_macs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scaling")


@pytest.fixture(scope="module")
def axes(folder: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scaling, "AXES", {"batch": (1, 2), "rank": (4, 8)})
        return {axis: scaling.axis_points(axis, "tiny", 1, folder) for axis in scaling.AXES}


def test_a_step_of_twice_the_pictures_is_twice_the_work(axes: dict[str, Any]) -> None:
    one, two = axes["batch"]["1"], axes["batch"]["2"]
    assert two["flops"] == 2 * one["flops"]
    assert one["bytes"]["weights"] == two["bytes"]["weights"] and one["bytes"]["state"] == two["bytes"]["state"]
    assert one["bytes"]["step"] < two["bytes"]["step"] < 2.1 * one["bytes"]["step"]


def test_adapters_add_work_and_memory_by_their_rank(axes: dict[str, Any]) -> None:
    four, eight = (axes["rank"][name] for name in ("4", "8"))
    added = eight["bytes"]["weights"] - four["bytes"]["weights"]  # as much as the four that were there
    assert eight["flops"] > four["flops"]
    assert four["bytes"]["state"] == pytest.approx(2 * added, rel=0.01)  # AdamW has two averages of each weight
    assert eight["bytes"]["state"] == pytest.approx(4 * added, rel=0.01)


def test_the_base_point_is_what_others_are_compared_with(axes: dict[str, Any]) -> None:
    for points, base in ((axes["batch"], "1"), (axes["rank"], "8")):
        assert [name for name, point in points.items() if point["is_base"]] == [base]
        assert points[base]["of_base"]["median"] == 1
        assert all(len(point["cpu_seconds"]) == 1 for point in points.values())


@pytest.mark.parametrize(("factor", "pixels"), [(0.5, 128), (1, 256), (1.5, 384), (0.01, 64)])
def test_resolutions_fit_the_vae_and_the_unet(factor: float, pixels: int) -> None:
    assert scaling.resolution_of(factor, "proxy") == pixels


def test_a_wider_unet_has_the_work_of_its_width(folder: Path) -> None:
    """Twice the channels, four times the multiplications of layers, and the groups of the norms still divide them."""
    import diffusers

    found = [unet_macs(diffusers.UNet2DConditionModel.load_config(
        scaling.pipeline_of(width, "tiny", folder) / "unet")).layers for width in (1, 2)]
    assert 3 < found[1] / found[0] < 4


def test_one_process_says_what_it_took(folder: Path, tmp_path: Path) -> None:
    options = tmp_path / "options.json"
    options.write_text(json.dumps(scaling.point_options(scaling.BASE, "tiny", folder)))
    one_process.main([scaling.CONFIG, str(options), str(tmp_path), "2"])
    found = json.loads((tmp_path / "rank0.json").read_text())
    assert len(found["cpu_seconds"]) == 2 and found["processes"] == 1
    assert found["peak_rss"] > 10_000_000


@pytest.mark.slow
def test_a_process_that_fails_is_told_of(tmp_path: Path) -> None:
    options = tmp_path / "options.json"
    options.write_text(json.dumps({"train_dataloader.batch_sice": 1}))
    with pytest.raises(OSError, match=r"1 processes failed:[\s\S]*batch_sice"):
        scaling._launch(1, options, tmp_path / "run", 1)


def _results() -> dict[str, Any]:
    ratio = {"median": 1.0, "least": 1.0, "most": 1.0, "rounds": 3}
    point = {"value": 1, "is_base": True, "cpu_seconds": [1.0, 2.0, 3.0], "of_base": ratio, "flops": 10,
             "bytes": {"weights": 4e6, "state": 2e6, "step": 4e6}, "seconds_per_image": 0.5}
    other = {**point, "value": 2, "is_base": False, "of_base": {**ratio, "median": 1.5, "most": 2.0}, "flops": 25,
             "bytes": {"weights": 4e6, "state": 2e6, "step": 9e6}}
    processes = {name: {"value": 1, "is_base": name == "1", "cpu_seconds": [1.0], "of_base": ratio, "peak_rss": 7e6}
                 for name in ("1", "2")}
    machine = {"processor": "p", "cores": 1, "threads": 1, "python": "3", "torch": "1", "diffusers": "1",
               "transformers": "1", "peft": "1"}
    return {"setting": {"size": "tiny", "pixels": 32, "config": "c", "base": scaling.BASE},
            "axes": {"batch": {"1": point, "2": other}, "processes": processes},
            "about": {"command": "do it", "date": "today", "machine": machine}}


def test_the_table_compares_with_the_base() -> None:
    text = scaling_table(_results())
    assert "| batch 2 | 2.00 (1.00–3.00) | 1.50 (1.00–2.00) | 2.50 | 15 | 1.50 | 9 |" in text
    assert "| processes (gloo) 2 | 1.00 (1.00–1.00) | 1.00 (1.00–1.00) | - | 7 | 1.00 | - |" in text
    assert "medians of 1–3 rounds" in text
    assert scaling_plot(_results()).count("<rect") == 8


def test_results_of_other_axes_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling, "axis_points", lambda axis, *_: _results()["axes"]["batch"])
    for axis in ("batch", "rank"):
        scaling.measure_scaling(axes=[axis], size="tiny", out=tmp_path / "s", plot=tmp_path / "s.svg")
    assert set(json.loads((tmp_path / "s.json").read_text())["axes"]) == {"batch", "rank"}
    scaling.measure_scaling(axes=["rank"], size="proxy", out=tmp_path / "s", plot=tmp_path / "s.svg")
    assert set(json.loads((tmp_path / "s.json").read_text())["axes"]) == {"rank"}


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"axes must be among .*processes, got colour"):
        scaling.measure_scaling(axes=["colour"], out=tmp_path / "s")
    with pytest.raises(ValueError, match="rounds must be at least 1, got 0"):
        scaling.measure_scaling(rounds=0, out=tmp_path / "s")
