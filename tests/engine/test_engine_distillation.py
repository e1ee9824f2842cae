"""Distillation in the engine: averages, accumulation and priors beside a teacher; resuming; two processes."""

import json

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from diffkit.datasets import collate_samples
from diffkit.engine.errors import ResumeError
from tests.engine.processes import PATIENCE, context, train
from tests.engine.test_engine_real_model import STOP, run
from tests.engine.test_engine_resume import assert_same_checkpoint, logged

MODEL = {
    "pruner": {"type": "BlockRemoval", "variant": "sd_tiny"},
    "distiller": {
        "type": "DenoiserDistiller",
        "objectives": {
            "loss_output": {"weight": 0.5},
            "loss_feature": {"weight": 0.5, "pairs": "sd_tiny", "connector": "linear"},
        },
    },
    "objective": {"type": "Denoising", "weighting": {"type": "MinSNRWeight"}, "loss_weight": 0.5},
}
CHANGES = {
    "train_cfg.max_iters": 4,
    "custom_hooks": [{"type": "PriorImagesHook", "num_inference_steps": 1}, {"type": "EMAHook"}],
    "model.tuners": {"_delete_": True, "unet": {"type": "FullTuner", "component": "unet"}},
    "optim_wrapper.accumulative_counts": 2,
    **{f"model.{name}": value for name, value in MODEL.items()},
}


def test_a_distillation_goes_on_bit_for_bit(sd_folder, tmp_path):
    whole = run(sd_folder, tmp_path / "whole", CHANGES)
    run(sd_folder, tmp_path / "parts", CHANGES | STOP)
    run(sd_folder, tmp_path / "parts", CHANGES | {"resume": True})
    assert_same_checkpoint(tmp_path / "whole/step3", tmp_path / "parts/step3")
    assert logged(tmp_path / "whole") == logged(tmp_path / "parts")
    state = load_file(tmp_path / "whole/step3/state/model.safetensors")
    student = sum(value.numel() for value in whole.bare_model.unet.parameters())
    connectors = sum(value.numel() for value in whole.bare_model.distiller.connectors.parameters())
    assert sum(value.numel() for value in state.values()) == student + connectors  # and no teacher
    assert not any("teacher" in name for name in state)
    exported_student(whole, tmp_path / "whole/step3")


def exported_student(runner, step):
    """A step folder is a pipeline with the averaged student, and says so."""
    pipe = StableDiffusionPipeline.from_pretrained(step, safety_checker=None)
    assert pipe.unet.config.mid_block_type is None
    averaged = next(hook for hook in runner.hooks if hasattr(hook, "shadow")).shadow
    for name, value in pipe.unet.state_dict().items():
        assert torch.equal(value, averaged[f"unet.{name}"]), name
    card = (step / "README.md").read_text()
    parameters = sum(value.numel() for value in pipe.unet.parameters())
    for said in (f"{parameters:,} parameters", "sd_tiny: ", "with attention", "a frozen copy of the UNet in float32",
                 "0.5 x loss_feature (6 pairs)", "decay 0.9999", "4 of 4", "AdamW",
                 "ConceptDataset, shapes:striped_heart"):
        assert said in card, said


def test_another_teacher_of_the_same_name_is_noticed(sd_folder, tmp_path):
    import shutil

    teacher = tmp_path / "teacher"
    shutil.copytree(sd_folder, teacher)
    changes = CHANGES | {"model.distiller.teacher": str(teacher)}
    run(sd_folder, tmp_path / "w", changes | STOP)
    from tests.tiny import tiny_sd

    shutil.rmtree(teacher)
    tiny_sd(teacher, seed=7)
    with pytest.raises(ResumeError, match="frozen weights"):
        run(sd_folder, tmp_path / "w", changes | {"resume": True})


@pytest.mark.slow
def test_two_processes_distil(sd_folder, tmp_path):
    changes = {
        "model": {
            "_delete_": True, "type": "LatentDiffusion", "family": {"type": "StableDiffusion"},
            "pretrained": str(sd_folder), "tuners": {"unet": {"type": "FullTuner"}}, **MODEL},
        "train_dataloader": {
            "_delete_": True, "batch_size": 2, "num_workers": 0, "sampler": {"type": "DrawSampler"},
            "dataset": {"type": "ShapesDataset", "length": 8, "resolution": 32},
            "collate_fn": {"type": collate_samples}},
        "train_cfg.max_iters": 2,
        "default_hooks.logger": {"interval": 1},
    }
    ranks = [context().Process(target=train, args=(tmp_path / "w", tmp_path / f"log{rank}", changes, rank, 2))
             for rank in (0, 1)]
    for process in ranks:
        process.start()
    for rank, process in enumerate(ranks):
        process.join(PATIENCE)
        assert process.exitcode == 0, (tmp_path / f"log{rank}").read_text()
    lines = [json.loads(line) for path in (tmp_path / "w").rglob("*.json") if path.parent.name == "vis_data"
             for line in path.read_text().splitlines()]
    assert any(line.get("loss_feature", 0) > 0 and line.get("loss_output", 0) > 0 for line in lines)
