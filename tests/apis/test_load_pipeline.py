import json

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.export import PipelineArtifact, write_artifacts
from diffkit.models.families.sd import StableDiffusion
from diffkit.utils import pretrained as names
from tests.export.helpers import add_lora, picture, unet_output
from tests.tiny import tiny_sd, tiny_sd_pipeline


def write_step(folder, base, rank=4, components=("unet", "text_encoder")):
    """A step folder of LoRAs on ``base``, and what its UNet gives."""
    pipe = tiny_sd_pipeline()
    artifacts = [add_lora(pipe, component, rank=rank, alpha=3) for component in components]
    artifacts = [type(a)(a.component, a.module, str(base)) for a in artifacts]
    write_artifacts(artifacts, folder, lambda: pipe)
    return pipe


def same(pipe, other):
    torch.testing.assert_close(unet_output(other), unet_output(pipe), rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def run(sd_folder, tmp_path_factory):
    """Two step folders on the tiny pipeline, and the pipelines in memory that they were written from."""
    folder = tmp_path_factory.mktemp("run")
    return folder, write_step(folder / "step9", sd_folder), write_step(folder / "step2", sd_folder, rank=2)


def test_base_alone(sd_folder):
    pipe = load_pipeline(sd_folder, device="cpu")
    same(tiny_sd_pipeline(), pipe)
    assert pipe.unet.dtype == torch.float32 and not pipe.unet.training


def test_the_sampler_is_that_of_the_training(sd_folder):
    family = StableDiffusion()
    trained = family.pipeline(family.load(sd_folder))
    assert load_pipeline(sd_folder, device="cpu").scheduler.config == trained.scheduler.config
    kept = load_pipeline(sd_folder, device="cpu", scheduler=None).scheduler
    assert type(kept).__name__ == "DPMSolverMultistepScheduler"
    with pytest.raises(ValueError, match="scheduler must be 'auto', 'dpm\\+\\+', 'lcm' or None"):
        load_pipeline(sd_folder, scheduler="ddim")


def test_a_pipeline_of_few_steps_is_sampled_in_few_steps(sd_folder, tmp_path):
    pipe = load_pipeline(sd_folder, device="cpu", scheduler="lcm")
    assert type(pipe.scheduler).__name__ == "LCMScheduler"
    assert type(load_pipeline(sd_folder, device="cpu").scheduler).__name__ == "DPMSolverMultistepScheduler"
    pipe.save_pretrained(tmp_path / "lcm")
    few = load_pipeline(tmp_path / "lcm", device="cpu").scheduler
    assert type(few).__name__ == "LCMScheduler" and few.config.prediction_type == pipe.scheduler.config.prediction_type
    assert torch.equal(few.alphas_cumprod, pipe.scheduler.alphas_cumprod)
    other = load_pipeline(tmp_path / "lcm", device="cpu", scheduler="dpm++").scheduler
    assert type(other).__name__ == "DPMSolverMultistepScheduler"


@pytest.mark.parametrize("how", ["named base", "base from the step", "step as pretrained"])
def test_a_step_folder(sd_folder, run, how):
    folder, trained, _ = run
    arguments = {
        "named base": (sd_folder, [folder / "step9"]),
        "base from the step": (None, [folder / "step9"]),
        "step as pretrained": (folder / "step9", []),
    }[how]
    pipe = load_pipeline(*arguments, device="cpu")
    same(trained, pipe)
    torch.testing.assert_close(picture(pipe), picture(trained), rtol=0, atol=1e-6)


def test_several_step_folders_act_together(sd_folder, run):
    folder, nine, two = run
    pipe = load_pipeline(sd_folder, [folder / "step9", folder / "step2"], device="cpu")
    base = tiny_sd_pipeline()
    for trained in (nine, two):
        for component in ("unet", "text_encoder"):
            for name, layer in getattr(trained, component).named_modules():
                if isinstance(layer, BaseTunerLayer):
                    getattr(base, component).get_submodule(name).weight.data += layer.get_delta_weight("default")
    same(base, pipe)
    assert not torch.allclose(unet_output(pipe), unet_output(nine), atol=1e-4)


def test_a_step_on_a_step(run, tmp_path):
    folder, _, _ = run
    write_step(tmp_path / "step5", folder / "step9", rank=2)
    family = StableDiffusion()
    same(family.pipeline(family.load(tmp_path / "step5")), load_pipeline(tmp_path / "step5", device="cpu"))


def test_a_lora_file_of_another_program(sd_folder, run, tmp_path):
    folder, trained, _ = run
    (tmp_path / "pytorch_lora_weights.safetensors").write_bytes(
        (folder / "step9/pytorch_lora_weights.safetensors").read_bytes())
    same(trained, load_pipeline(sd_folder, [tmp_path], device="cpu"))
    both = load_pipeline(sd_folder, [tmp_path, folder / "step2"], device="cpu")
    same(load_pipeline(sd_folder, [folder / "step9", folder / "step2"], device="cpu"), both)
    with pytest.raises(ValueError, match="does not say what they were trained on"):
        load_pipeline(None, [tmp_path])


def test_a_whole_pipeline_as_step(sd_folder, tmp_path):
    pipe = tiny_sd_pipeline(seed=5)
    write_artifacts([PipelineArtifact()], tmp_path, lambda: pipe)
    same(pipe, load_pipeline(None, [tmp_path], device="cpu"))
    same(pipe, load_pipeline(tmp_path, device="cpu"))
    with pytest.raises(ValueError, match="is a whole pipeline: nothing can be put under it"):
        load_pipeline(sd_folder, [tmp_path])


def test_packaged_name(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "MINIATURES", tmp_path)
    tiny_sd(tmp_path / "mini_sd")
    same(tiny_sd_pipeline(), load_pipeline("mini-sd", device="cpu"))


def test_another_vae(sd_folder, tmp_path):
    other = tiny_sd(tmp_path / "other", seed=7)
    for vae in (other, other / "vae"):
        pipe = load_pipeline(sd_folder, device="cpu", vae=vae)
        weight = pipe.vae.decoder.conv_in.weight
        assert torch.equal(weight, tiny_sd_pipeline(seed=7).vae.decoder.conv_in.weight)
    same(tiny_sd_pipeline(), pipe)


def test_lora_of_a_smaller_model_is_refused_by_name(run, tmp_path):
    small = tiny_sd(tmp_path / "small-sd", unet={"layers_per_block": 1})
    folder, _, _ = run
    message = r"step9 was trained on .*tiny-sd.* has 0\.6 M .* of .*small-sd.* another"
    with pytest.raises(ValueError, match=message):
        load_pipeline(small, [folder / "step9"], device="cpu")


def test_no_pickle_is_read(tmp_path):
    folder = tiny_sd(tmp_path / "pipe")
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    torch.save(tiny_sd_pipeline().unet.state_dict(), weights.with_suffix(".bin"))
    weights.unlink()
    with pytest.raises((OSError, ValueError)):
        load_pipeline(folder, device="cpu")


def test_a_damaged_tokenizer_is_refused(tmp_path):
    folder = tiny_sd(tmp_path / "pipe")
    for file in (folder / "tokenizer").iterdir():
        file.unlink()
    with pytest.raises((OSError, ValueError), match="tokenizer"):
        load_pipeline(folder, device="cpu")


def test_mistakes(sd_folder, tmp_path):
    with pytest.raises(ValueError, match="name a model or at least one step folder"):
        load_pipeline()
    with pytest.raises(ValueError, match=r"dtype must be 'auto', 'float32', .* not 'int8'"):
        load_pipeline(sd_folder, device="cpu", dtype="int8")
    with pytest.raises(ValueError, match="device 'gpu' is unknown"):
        load_pipeline(sd_folder, device="gpu")
    with pytest.raises(ValueError, match="'owner/lora' is no step folder of this machine"):
        load_pipeline(sd_folder, ["owner/lora"])
    (tmp_path / "step1/unet").mkdir(parents=True)
    (tmp_path / "step1/unet/adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    with pytest.raises(ValueError, match=r"no adapter_model\.safetensors"):
        load_pipeline(sd_folder, [tmp_path / "step1"], device="cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what a machine without CUDA does")
def test_cuda_without_cuda(sd_folder):
    with pytest.raises(ValueError, match="this machine has 0 CUDA devices"):
        load_pipeline(sd_folder, device="cuda")
