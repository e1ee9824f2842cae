"""Trainings of a quantised model: calibration, the choice at the end, exact resume, two processes, the files."""

import json

import pytest
import torch
from safetensors.torch import load_file

from diffkit.datasets import collate_samples
from diffkit.engine.hooks import QuantizationHook
from diffkit.engine.state_io import load_tensors
from diffkit.export.quantized import load_quantized, read_info, read_proof
from tests.engine.processes import PATIENCE, context, train
from tests.engine.test_engine_real_model import STOP, run
from tests.engine.test_engine_resume import assert_same_checkpoint, logged

HOOKS = [
    {"type": "CalibrationHook", "num_prompts": 2, "batch_size": 2},
    {"type": "QuantizationHook", "predictions": 4, "pictures": 2, "batch_size": 4},
    {"type": "EMAHook"}]
DATA = {"_delete_": True, "type": "ConceptDataset", "data_root": "shapes:striped_heart",
        "instance_prompt": "a photo of a sks dog", "resolution": 32, "hflip": 0.5, "caption_dropout": 0.2}
FULL = {"_delete_": True, "unet": {"type": "FullTuner", "component": "unet", "pattern": "attn2|conv_in"}}
QAT = {
    "model.tuners": FULL, "model.quantizer": {"type": "QATQuantizer", "weight_bits": 4},
    "model.objective": {"type": "Denoising", "loss_weight": 0.0},
    "model.distiller": {"type": "DenoiserDistiller", "objectives": {"loss_output": {"weight": 1.0}}},
    "train_dataloader.dataset": DATA, "custom_hooks": HOOKS, "optim_wrapper.optimizer.lr": 1e-4}
CASES = {
    "ranges that move, accumulation": {
        "model.quantizer": {"type": "QATQuantizer", "track_iters": 5, "weight_range": "minmax"},
        "optim_wrapper.accumulative_counts": 2},
    "learned scales, LoRA, bfloat16": {
        "model.tuners": {"_delete_": True, "unet": {"type": "LoRATuner", "component": "unet", "rank": 2}},
        "model.quantizer": {"type": "QATQuantizer", "learned_scales": True}, "optim_wrapper.dtype": "bfloat16"},
}


def figures(folder):
    return json.loads((folder / "quantization.json").read_text())


@pytest.fixture(scope="module")
def trained(sd_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    return run(sd_folder, folder, QAT), folder


def test_a_training_leaves_integers_figures_and_a_proof(sd_folder, trained):
    runner, folder = trained
    step = folder / "step5"
    assert not (step / "model_index.json").exists() and not (step / "unet").exists()
    info = read_info(step / "unet_int8")
    assert info["source"]["pretrained"] == str(sd_folder)
    assert info["source"]["sha256"] == runner.bare_model.quantizer.source_sha256
    assert json.loads((step / "diffkit.json").read_text())["base"] == str(sd_folder)
    found = figures(folder)
    assert found["kept"] in ("trained", "calibrated")
    assert found["calibrated"]["predictions"] == 4 and found["trained"]["pictures"] == 2
    assert 0 < found["calibrated"]["error"] < 1 and found["calibrated"]["error_se"] > 0
    proof = read_proof(step / "unet_int8")
    assert proof.pictures.shape == (2, 32, 32, 3) and len(proof.prompts) == 2


def test_the_teacher_alone_brings_the_model_closer(trained):
    """Its own float output is what it learns: at 4 bits there is much to win."""
    found = figures(trained[1])
    assert found["trained"]["error"] < found["calibrated"]["error"]


def test_what_is_exported_has_the_averaged_weights_and_the_ranges_of_the_kept_model(trained):
    runner, folder = trained
    loaded = load_quantized(folder / "step5/unet_int8")
    model = runner.bare_model
    with runner.averaged_weights():
        expected = {name: layer.quantized_weight().detach().clone()
                    for name, layer in model.quantizer.layers(model).items()}
    for name, weight in expected.items():
        assert torch.equal(loaded.get_submodule(name).dequantized_weight(), weight), name
    own = {name: layer.quantized_weight() for name, layer in model.quantizer.layers(model).items()}
    assert any(not torch.equal(own[name], weight) for name, weight in expected.items())  # not those of the last step


def test_a_training_that_does_harm_leaves_the_calibrated_model(sd_folder, tmp_path, caplog):
    runner = run(sd_folder, tmp_path, QAT | {
        "model.quantizer": {"type": "QATQuantizer"}, "optim_wrapper.optimizer.lr": 0.3, "param_scheduler": []})
    found = figures(tmp_path)
    assert found["kept"] == "calibrated" and found["trained"]["error"] > found["calibrated"]["error"]
    assert found["gain"]["error"] == pytest.approx(found["calibrated"]["error"] - found["trained"]["error"])
    log = next(tmp_path.glob("*/*.log")).read_text()
    assert "the calibrated model is exported, not the trained one" in log and "Verified" in log
    floats = load_file(f"{sd_folder}/unet/diffusion_pytorch_model.safetensors")["conv_in.weight"]
    loaded = load_quantized(tmp_path / "step5/unet_int8").get_submodule("conv_in")
    assert float((loaded.dequantized_weight() - floats).abs().max()) <= float(loaded.weight_scale.max())
    state = load_tensors(tmp_path / "step5/state/model.safetensors")["unet.conv_in.weight"]
    assert float((state - floats).abs().max()) > 0.3  # the training's own state is the trained one
    fresh = run_test_weights(sd_folder, tmp_path, runner)
    assert torch.equal(fresh, floats)


def run_test_weights(sd_folder, folder, runner):
    """The weights that ``mim test`` would load from the checkpoint."""
    from diffkit.engine.checkpointing import load_weights
    from diffkit.registry import MODELS

    class Other:
        bare_model = MODELS.build(runner.cfg.model)
        logger = runner.logger

    load_weights(Other, folder / "step5")
    return Other.bare_model.get_submodule("unet").conv_in.weight.detach()


def test_after_the_training_the_calibrated_model_is_exported_and_measured_once(sd_folder, tmp_path):
    """A loop that trains nothing: the float weights stay, bit for bit, and ranges are those of the calibration."""
    runner = run(sd_folder, tmp_path, QAT | {
        "custom_hooks": HOOKS[:2], "train_cfg.type": "PostTraining", "train_cfg.max_iters": 1, "model.distiller": None,
        "param_scheduler": []})
    found = figures(tmp_path)
    assert found["kept"] == "calibrated" and found.keys() == {"calibrated", "kept"}
    floats = load_file(f"{sd_folder}/unet/diffusion_pytorch_model.safetensors")
    model = runner.bare_model
    for name, layer in model.quantizer.layers(model).items():
        assert torch.equal(layer.float_weight(), floats[f"{name}.weight"])
    loaded = load_quantized(tmp_path / "step0/unet_int8").get_submodule("conv_in")
    assert torch.equal(loaded.dequantized_weight(), model.quantizer.layers(model)["conv_in"].quantized_weight())
    assert "Nothing was trained" in next(tmp_path.glob("*/*.log")).read_text()


def test_the_choice_can_be_switched_off(sd_folder, tmp_path):
    hooks = [HOOKS[0], HOOKS[1] | {"keep_better": False, "verify_loading": False}]
    run(sd_folder, tmp_path, QAT | {
        "custom_hooks": hooks, "optim_wrapper.optimizer.lr": 0.3, "param_scheduler": [], "train_cfg.max_iters": 2})
    assert figures(tmp_path)["kept"] == "trained"
    assert "Verified" not in next(tmp_path.glob("*/*.log")).read_text()


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_resumed_equals_uninterrupted(sd_folder, tmp_path, case):
    changes = QAT | CASES[case]
    run(sd_folder, tmp_path / "whole", changes)
    run(sd_folder, tmp_path / "parts", changes | STOP)
    run(sd_folder, tmp_path / "parts", changes | {"resume": True})
    assert_same_checkpoint(tmp_path / "whole/step5", tmp_path / "parts/step5")
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")
    assert figures(tmp_path / "whole") == figures(tmp_path / "parts")


@pytest.mark.slow
def test_a_checkpoint_of_an_older_version_resumes(sd_folder, tmp_path, trained, monkeypatch):
    """It has no distances of single items: those of the calibrated model are measured anew, and are the same."""
    state = QuantizationHook.state
    with monkeypatch.context() as older:
        older.setattr(QuantizationHook, "state", lambda self: {
            name: value for name, value in state(self).items() if name != "distances"})
        run(sd_folder, tmp_path, QAT | STOP)
    run(sd_folder, tmp_path, QAT | {"resume": True})
    assert figures(tmp_path) == figures(trained[1])
    assert_same_checkpoint(trained[1] / "step5", tmp_path / "step5")


def test_a_hook_without_a_quantizer_is_a_mistake(sd_folder, tmp_path):
    with pytest.raises(ValueError, match=r"needs model\.quantizer"):
        run(sd_folder, tmp_path, {"custom_hooks": HOOKS[:1]})


@pytest.mark.slow
def test_two_processes_have_the_same_ranges_and_weights(sd_folder, tmp_path):
    """Ranges that move do so by what both have seen."""
    changes = {
        "model": {
            "_delete_": True, "type": "LatentDiffusion", "family": {"type": "StableDiffusion"},
            "pretrained": str(sd_folder), "tuners": {"unet": FULL["unet"]},
            "quantizer": {"type": "QATQuantizer", "track_iters": 3}, "generation": {"num_inference_steps": 1}},
        "train_dataloader": {
            "_delete_": True, "batch_size": 1, "num_workers": 0, "dataset": DATA | {"_delete_": False},
            "sampler": {"type": "DrawSampler"}, "collate_fn": {"type": collate_samples}},
        "train_cfg.max_iters": 3, "custom_hooks": HOOKS[:2], "find_unused_parameters": False}
    changes["train_dataloader"]["dataset"].pop("_delete_")
    processes = [
        context().Process(target=train, args=(str(tmp_path / "pair"), str(tmp_path / f"log{rank}"), changes, rank, 2))
        for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    logs = "\n".join((tmp_path / f"log{rank}").read_text()[-2000:] for rank in range(2))
    assert [process.exitcode for process in processes] == [0, 0], logs
    state = load_tensors(tmp_path / "pair/step2/state/model.safetensors")
    assert any(name.endswith(".input_range") for name in state)
    assert (tmp_path / "pair/step2/unet_int8/proof.safetensors").is_file()
