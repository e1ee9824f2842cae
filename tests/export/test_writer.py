import json

import pytest
import torch
from diffusers import DiffusionPipeline

from diffkit.export import AdapterArtifact, PipelineArtifact, apply_adapters, write_artifacts
from diffkit.export.signature import signature
from diffkit.utils.step_folder import read_step_folder
from tests.export.helpers import add_lora, picture, unet_output
from tests.tiny import tiny_sd_pipeline, tiny_sdxl_pipeline


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_files_of_adapters(tmp_path):
    pipe = tiny_sd_pipeline()
    artifacts = [add_lora(pipe, "unet", alpha=2), add_lora(pipe, "text_encoder")]
    written = write_artifacts(artifacts, tmp_path / "step4", lambda: pipe, step=4, prompts=["a dog"])
    expected = {"diffkit.json", "pytorch_lora_weights.safetensors", "unet/adapter_config.json",
                "unet/adapter_model.safetensors", "text_encoder/adapter_config.json",
                "text_encoder/adapter_model.safetensors"}
    assert files(tmp_path / "step4") == expected
    assert {str(path.relative_to(tmp_path / "step4")) for path in written} == expected
    info = json.loads((tmp_path / "step4/diffkit.json").read_text())
    assert info["step"] == 4 and info["prompts"] == ["a dog"] and info["base"] == "some/base"
    assert info["pipeline_class"] == "StableDiffusionPipeline"
    assert info["holds"][0] == {
        "kind": "adapter", "component": "unet", "peft_type": "LORA", "rank": 4, "alpha": 2}
    assert info["structure"]["unet"]["parameters"] == sum(
        p.numel() for p in tiny_sd_pipeline().unet.parameters())
    assert {"diffkit", "torch", "diffusers", "transformers", "peft"} == info["versions"].keys()
    assert read_step_folder(tmp_path / "step4").base == "some/base"


def test_whole_pipeline(tmp_path):
    pipe = tiny_sd_pipeline()
    write_artifacts([PipelineArtifact()], tmp_path, lambda: pipe)
    again = DiffusionPipeline.from_pretrained(tmp_path, use_safetensors=True)
    for name in ("unet", "vae", "text_encoder"):
        before, after = getattr(pipe, name).state_dict(), getattr(again, name).state_dict()
        assert before.keys() == after.keys() and all(torch.equal(before[key], after[key]) for key in before)
    torch.testing.assert_close(picture(again), picture(pipe), rtol=0, atol=1e-6)
    step = read_step_folder(tmp_path)
    assert step.is_pipeline and not step.adapters and step.info["holds"] == [{"kind": "pipeline"}]
    assert not [name for name in files(tmp_path) if name.endswith((".bin", ".pt", ".pth", ".ckpt"))]


@pytest.mark.parametrize("build", [tiny_sd_pipeline, tiny_sdxl_pipeline])
def test_whole_pipeline_with_adapters_merged(build, tmp_path):
    pipe = build()
    artifacts = [add_lora(pipe, "unet", alpha=9), add_lora(pipe, "text_encoder"), PipelineArtifact()]
    before = picture(pipe)
    write_artifacts(artifacts, tmp_path, lambda: pipe)
    assert torch.equal(picture(pipe), before) and "default" in pipe.unet.peft_config  # not merged here
    again = DiffusionPipeline.from_pretrained(tmp_path, use_safetensors=True)
    torch.testing.assert_close(picture(again), before, rtol=0, atol=1e-5)
    assert not [name for name in files(tmp_path) if "adapter" in name or "lora" in name]
    assert list(again.unet.state_dict()) == list(build().unet.state_dict())


def test_another_kind_of_adapter_is_a_peft_folder_alone(tmp_path):
    from peft import LoHaConfig, inject_adapter_in_model

    pipe = tiny_sd_pipeline()
    pipe.unet.eval()
    config = LoHaConfig(r=2, alpha=4, target_modules=["to_q"], init_weights=False)
    inject_adapter_in_model(config, pipe.unet, "default")
    write_artifacts([AdapterArtifact("unet", pipe.unet, "some/base")], tmp_path, lambda: pipe)
    assert "pytorch_lora_weights.safetensors" not in files(tmp_path)
    again = tiny_sd_pipeline()
    apply_adapters(again.components, read_step_folder(tmp_path), "tiny")
    assert torch.equal(unet_output(again), unet_output(pipe))


def test_nothing_to_write(tmp_path):
    assert write_artifacts([], tmp_path / "no", lambda: pytest.fail("no pipeline is needed")) == []
    assert not (tmp_path / "no").exists()


def test_mistakes(tmp_path):
    pipe = tiny_sd_pipeline()
    with pytest.raises(TypeError, match="no writer for dict"):
        write_artifacts([{}], tmp_path, lambda: pipe)
    with pytest.raises(ValueError, match="unet carries no adapter 'default'; it carries none"):
        write_artifacts([AdapterArtifact("unet", pipe.unet, "some/base")], tmp_path, lambda: pipe)


def test_signature_ignores_adapters_and_vocabulary():
    pipe = tiny_sd_pipeline()
    unet, text = signature(pipe.unet), signature(pipe.text_encoder)
    add_lora(pipe, "unet", use_dora=True)
    add_lora(pipe, "text_encoder")
    pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer) + 3, mean_resizing=False)
    assert signature(pipe.unet) == unet and signature(pipe.text_encoder) == text
    assert signature(tiny_sd_pipeline(unet={"layers_per_block": 1}).unet) != unet


def test_adapter_of_another_structure_is_refused(tmp_path):
    small = tiny_sd_pipeline(unet={"layers_per_block": 1})
    write_artifacts([add_lora(small, "unet")], tmp_path, lambda: small)
    pipe = tiny_sd_pipeline()
    step = read_step_folder(tmp_path)
    message = (r"trained on 'some/base', whose unet has 0\.\d M .* the unet of 'other/base' has 0\.\d M "
               r".* another structure\. Load it onto 'some/base'")
    with pytest.raises(ValueError, match=message):
        apply_adapters(pipe.components, step, "other/base")
    (tmp_path / "diffkit.json").unlink()  # as another program writes it
    with pytest.raises(ValueError, match=r"does not fit 'other/base': \d+ of \d+ tensors"):
        apply_adapters(pipe.components, read_step_folder(tmp_path), "other/base")


def test_adapter_of_another_family_is_refused(tmp_path):
    sdxl = tiny_sdxl_pipeline()
    artifacts = [add_lora(sdxl, "unet"), add_lora(sdxl, "text_encoder_2")]
    write_artifacts(artifacts, tmp_path, lambda: sdxl)
    with pytest.raises(ValueError, match=r"'text_encoder_2', which 'x' lacks: .* StableDiffusionXLPipeline"):
        apply_adapters(tiny_sd_pipeline().components, read_step_folder(tmp_path), "x")


def test_several_adapters_act_together(tmp_path):
    results = {}
    for rank in (2, 4):
        pipe = tiny_sd_pipeline()
        write_artifacts([add_lora(pipe, "unet", rank=rank), add_lora(pipe, "text_encoder", rank=rank)],
                        tmp_path / f"step{rank}", lambda pipe=pipe: pipe)
        results[rank] = unet_output(pipe)
    pipe = tiny_sd_pipeline()
    for rank in (2, 4):
        step = read_step_folder(tmp_path / f"step{rank}")
        apply_adapters(pipe.components, step, "tiny", name=f"step{rank}")
    both = unet_output(pipe)
    assert not torch.allclose(both, results[2]) and not torch.allclose(both, results[4])
    pipe.unet.set_adapter("step2")
    assert torch.equal(unet_output(pipe), results[2])
    with pytest.raises(ValueError, match="an adapter 'step4' is there already"):
        apply_adapters(pipe.components, read_step_folder(tmp_path / "step4"), "tiny", name="step4")
