"""Speed and size of quantised UNets: what is timed, what is asserted, and what the tables say."""

import json
import time

import pytest
import torch

from diffkit.apis.measure import int8_models, int8_report, int8_speed, interleaved
from diffkit.cli import main
from diffkit.export.quantized import load_quantized, quantized_layers
from tests.tiny import SD_SPEC

TINY = {**SD_SPEC["unet"], "block_out_channels": (16, 32), "layers_per_block": 1, "mid_block_type": None,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
LAYERS = 65


def silent(line):
    pass


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8_models, "find_spec", lambda name: None)
        return int8_models.write_files(TINY, folder, ("w8", "w4"))


def test_all_variants_come_from_the_same_weights(files):
    unet = int8_models.load_float(TINY, files, torch.float32)
    for width, bits in (("w8", 8), ("w4", 4)):
        layers = quantized_layers(load_quantized(files / width / "unet_int8"))
        assert len(layers) == LAYERS and all(layer.input_bits == 8 for layer in layers.values())
        for name, layer in layers.items():
            assert layer.weight_bits == (8 if name in ("conv_in", "conv_out") else bits)
            error = (layer.dequantized_weight() - unet.get_submodule(name).weight).abs().amax()
            assert float(error) <= 0.501 * float(layer.weight_scale.max()), name
    half = int8_models.load_float(TINY, files, torch.bfloat16)
    assert torch.equal(half.conv_in.weight, unet.conv_in.weight.bfloat16())


def test_files_of_a_run_that_was_broken_off_are_written_again(tmp_path, monkeypatch):
    monkeypatch.setattr(int8_models, "find_spec", lambda name: None)

    def broken(artifact, folder):
        folder.mkdir(parents=True)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(int8_models, "write_quantized", broken)
        int8_models.write_files(TINY, tmp_path, ("w8",))
    int8_models.write_files(TINY, tmp_path, ("w8",))
    assert quantized_layers(load_quantized(tmp_path / "w8" / "unet_int8"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["float", "w8"]


def test_speed_is_of_what_was_executed(files, tmp_path, monkeypatch):
    monkeypatch.setattr(int8_models, "find_spec", lambda name: None)
    found = int8_speed.measure_speed(TINY, 8, files, 2, silent)
    assert list(found["variants"]) == ["float32", "bfloat16", "int8"] and found["openvino"] is None
    assert found["variants"]["int8"]["executed"] == {"integer": LAYERS, "float": 0}
    assert found["variants"]["float32"]["error"] == 0 < found["variants"]["int8"]["error"] < 0.05
    assert all(len(variant["cpu_seconds"]) == 2 for variant in found["variants"].values())
    monkeypatch.setattr(int8_models, "enable_kernels", lambda network, backend: 0)
    with pytest.raises(RuntimeError, match=f"of {LAYERS} quantised layers 0 were computed with integer"):
        int8_models.load_variants(TINY, files, int8_models.unet_inputs(TINY, 8, 1))


def test_openvino_is_among_them_where_it_is_installed(files):
    pytest.importorskip("openvino", reason="openvino is not installed")
    int8_models.write_files(TINY, files, ("w8",))
    variants = int8_models.load_variants(TINY, files, int8_models.unet_inputs(TINY, 8, 1))
    assert variants["openvino"].executed["int8"] == LAYERS
    assert variants["openvino"].run().shape == (1, 4, 8, 8)


def test_sizes_are_those_of_files(files):
    found = int8_speed.measure_size(TINY, files, silent)
    parts = [(files / "w4/unet_int8" / name).stat().st_size for name in ("quantized.safetensors", "quantization.json")]
    assert found["bytes"]["w4"] == sum(parts) < found["bytes"]["w8"] < found["bytes"]["float32"]
    assert found["smaller"]["w4"] == found["bytes"]["float32"] / sum(parts)


def test_all_take_turns_and_every_round_begins_with_another():
    order = []
    runs = {name: lambda name=name: order.append(name) for name in "abc"}
    with interleaved.one_thread():
        times = interleaved.interleaved(runs, 3)
    assert "".join(order) == "abc" "abc" "bca" "cab"
    assert all(len(found["seconds"]) == 3 for found in times.values())
    with pytest.raises(ValueError, match="rounds must be at least 1"):
        interleaved.interleaved(runs, 0)


def test_more_than_one_thread_is_found_out(monkeypatch):
    """Two threads spend two seconds of processors in one of the clock."""
    began = time.perf_counter()
    monkeypatch.setattr(interleaved.time, "process_time", lambda: 2 * (time.perf_counter() - began))
    with pytest.raises(RuntimeError, match="more than one thread"):
        interleaved.interleaved({"a": lambda: time.sleep(0.1)}, 1)


def test_ratios_are_taken_within_rounds():
    times = {"slow": {"cpu_seconds": [2.0, 40.0, 3.0]}, "fast": {"cpu_seconds": [1.0, 10.0, 1.0]}}
    assert interleaved.ratios(times, "slow", "fast") == {"median": 3.0, "least": 2.0, "most": 4.0, "rounds": 3}


def test_a_quantised_step_trains_the_same_weights(monkeypatch):
    seen = []
    step = int8_speed.train_step

    def watched(unet, *rest):
        before = unet.conv_in.weight.detach().clone()
        step(unet, *rest)
        seen.append((unet.conv_in.quantizing, not torch.equal(before, unet.conv_in.weight)))

    monkeypatch.setattr(int8_speed, "train_step", watched)
    found = int8_speed.measure_step(TINY, 8, 1, silent)
    assert seen == [(False, True), (True, True)] * 2 and found["layers"] == LAYERS
    assert found["longer"]["rounds"] == 1 and set(found["times"]) == {"float", "quantised"}


def test_the_command_writes_tables_and_keeps_what_it_does_not_measure(files, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(int8_models, "find_spec", lambda name: None)
    monkeypatch.setitem(int8_speed.SIZES, "220m", (TINY, 8))
    (tmp_path / "wd").mkdir()
    (tmp_path / "wd/220m").symlink_to(files)
    words = ["measure", "int8-speed", "--sizes", "220m", "--rounds", "1", "--work-dir", str(tmp_path / "wd"),
             "--out", str(tmp_path / "r")]
    assert main([*words, "--parts", "size"]) == 0
    assert main([*words, "--parts", "speed", "step"]) == 0
    text = (tmp_path / "r.md").read_text()
    assert text in capsys.readouterr().out and text.count("Made by `diffkit measure int8-speed") == 3
    assert f"{LAYERS} layers with integers, 0 with floats" in text and "≤ 1.6" in text and "OpenVINO is not" in text
    results = json.loads((tmp_path / "r.json").read_text())
    assert results["speed"]["220m"]["about"]["machine"]["threads"] == 1
    assert main([*words, "--parts", "memory"]) == 1
    assert "parts must be among speed, size, step" in capsys.readouterr().err


def test_a_goal_that_is_missed_is_said():
    assert int8_report._judged(1.99, 2.0) == ("≥ 2", "**no**") and int8_report._judged(2.0, 2.0)[1] == "yes"
