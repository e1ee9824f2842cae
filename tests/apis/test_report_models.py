"""Models in processes of their own: measured, painted from one noise, and one that fails does not end the report."""

import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from diffkit.apis.report import painter
from diffkit.apis.report.models import Comparison, compare, models_of_runs, read_models
from diffkit.apis.report.run import read_runs
from diffkit.apis.report.writing import write_report
from diffkit.engine.files import folder_size, format_bytes
from diffkit.evaluation import count_parameters, unet_macs
from diffkit.export import PipelineArtifact, write_artifacts
from tests.apis.test_quantized_pictures import quantise
from tests.tiny import tiny_sd, tiny_sd_pipeline

SMALL = {"block_out_channels": (16, 32), "layers_per_block": 2,
         "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
         "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
SETTINGS = {"prompts": ["a dog"], "num_inference_steps": 2, "repeats": 2, "device": "cpu"}


@pytest.mark.slow
def test_models_are_measured_and_paint_from_one_noise(sd_folder, tmp_path):
    broken = shutil.copytree(sd_folder, tmp_path / "broken")
    (broken / "unet" / "diffusion_pytorch_model.safetensors").write_bytes(b"nothing")
    said = []
    page, tables = write_report([], models=[f"a={sd_folder}", f"b={sd_folder}", f"bad={broken}"], images_num=2,
                                out=tmp_path / "r.html", say=said.append, **SETTINGS)
    text, rows = page.read_text(), table(tables.read_text())
    assert text.count("<img ") == 4 and text.count('class="missing"') == 2  # pictures of two models, words of the third
    assert rows["PSNR to the first, dB"][1:] == ["100 ± 0 (n = 2)", "-"]
    assert rows["SSIM to the first"][1] == "1 ± 0 (n = 2)"
    assert "diffusion\\_pytorch\\_model" in rows["failed"][2] and rows["failed"][0] == "-"
    pipe = tiny_sd_pipeline()
    assert rows["parameters of the UNet"][0] == f"{count_parameters(pipe.unet) / 1e3:.3g} k"
    macs = unet_macs(pipe.unet.config, (16, 16), pipe.tokenizer.model_max_length)
    assert rows["MACs of a UNet call, convolutions and linear layers"][0] == f"{macs.layers / 1e6:.3g} M"
    assert rows["MACs of a UNet call, with attention"][0] == f"{macs.total / 1e6:.3g} M"
    assert rows["time for one picture: median (range)"][0].endswith("n = 2)")
    assert "peak memory of the GPU" not in rows
    before, peak = rows["of that before the model was loaded"][0], rows["peak memory of the process"][0]
    assert 0 < megabytes(before) <= megabytes(peak)
    assert any(line.startswith("bad: ") for line in said)


def table(text):
    """The first table of the Markdown, by the name of the row."""
    lines = [line for line in text.split("## Notes")[0].splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {row[0]: row[1:] for row in cells}


def megabytes(text):
    number, unit = text.split()
    return float(number) * {"MB": 1, "GB": 1000}[unit]


def test_quantised_and_smaller_models_stand_beside_their_base(tmp_path, monkeypatch):
    """Step folders with ``unet_int8`` and of a student, which is a whole pipeline; in one process, to save time."""
    monkeypatch.setattr("diffkit.apis.report.models.subprocess.run", lambda command, **_: SimpleNamespace(
        returncode=painter.main(command[-1]), stderr=""))
    base = tiny_sd(tmp_path / "base", unet=SMALL)
    quantise(tmp_path / "qat" / "step1", base)
    student = tiny_sd_pipeline(unet={**SMALL, "layers_per_block": 1})
    write_artifacts([PipelineArtifact()], tmp_path / "student" / "step1", lambda: student, step=1)
    _, tables = write_report([], models=[f"base={base}", *(f"{name}={tmp_path / name / 'step1'}" for name in
                                                           ("qat", "student"))], out=tmp_path / "r.html",
                             say=lambda line: None, **SETTINGS)
    rows = table(tables.read_text())
    assert "failed" not in rows
    assert [cell.partition(";")[0] for cell in rows["holds"]] == [
        "a whole pipeline", "a quantised UNet", "a whole pipeline"]
    whole, quantised, small = rows["parameters of the UNet"]
    assert whole == quantised == f"{count_parameters(tiny_sd_pipeline(unet=SMALL).unet) / 1e3:.3g} k"
    assert small == f"{count_parameters(student.unet) / 1e3:.3g} k" != whole
    whole, quantised, small = rows["MACs of a UNet call, with attention"]
    assert whole == quantised != small
    folders = base / "unet", tmp_path / "qat/step1/unet_int8", tmp_path / "student/step1/unet"
    assert rows["file of the UNet"] == [format_bytes(folder_size(folder)) for folder in folders]
    assert folder_size(folders[1]) < folder_size(folders[0])
    near, far = (float(cell.split()[0]) for cell in rows["PSNR to the first, dB"][1:])
    assert near > far


def test_memory_is_that_of_this_process():
    """In a process of its own: one that has freed memory before takes a new block from that."""
    probe = ("from diffkit.apis.report.painter import peak_memory\n"
             "before = peak_memory()\n"
             "block = bytearray(200_000_000)\n"
             "block[::4096] = b'x' * len(block[::4096])\n"
             "print(before, peak_memory())")
    out = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True).stdout
    before, peak = (int(word) for word in out.split())
    assert before + 150_000_000 < peak < before + 250_000_000


def test_a_process_that_ends_is_told(sd_folder, monkeypatch):
    (model,) = read_models([str(sd_folder)])
    monkeypatch.setattr("diffkit.apis.report.models.sys.executable", "/bin/false")
    compare([model], Comparison(["a"]), say=lambda line: None)
    assert model.fault == "the process that painted ended with status 1" and not model.pictures


def test_the_names_of_folders_may_hold_equals_signs(sd_folder, tmp_path):
    step = tmp_path / "lr=1e-4" / "step1"
    shutil.copytree(sd_folder, step)
    (step / "diffkit.json").write_text(json.dumps({"base": str(sd_folder)}))
    (run,) = read_runs([step.parent])
    base, trained = read_models(models_of_runs([run]))
    assert (base.label, base.name) == ("base", str(sd_folder)) and trained.name == str(step)
    assert trained.label == "lr:1e-4"


def test_a_job_is_plain_json(tmp_path):
    job = Comparison(["a"], [3], guidance_scale=4.0).job("mini-sd", tmp_path)
    assert json.loads(json.dumps(job))["settings"] == {
        "num_inference_steps": 25, "guidance_scale": 4.0, "height": None, "width": None}
