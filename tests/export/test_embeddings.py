"""Learned vectors: the picture that a training shows is the picture that others get from its files."""

import json
import shutil

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.export import apply_embeddings, export_bytes, write_artifacts
from diffkit.models import GenerationSettings, LatentDiffusion, generate
from diffkit.utils.placeholders import placeholders
from diffkit.utils.step_folder import read_step_folder
from tests.export.test_training_shows import arrays, assert_same
from tests.tiny import tiny_sd_pipeline, tiny_sdxl_pipeline

SETTINGS = GenerationSettings(num_inference_steps=3, guidance_scale=3.0)
PROMPTS, SEEDS = ["a photo of a <toy>", "a cat"], [3, 4]
TOY = {"type": "TextualInversion", "placeholder_token": "<toy>", "num_vectors": 3}
HAT = {"type": "TextualInversion", "placeholder_token": "<hat>"}
LORA = {"type": "LoRATuner", "component": "text_encoder", "rank": 2}
CASES = {
    "sd": ("StableDiffusion", [TOY | {"max_norm": 1.5}]),
    "sdxl": ("StableDiffusionXL", [TOY]),
    "sdxl pipeline": ("StableDiffusionXL", [TOY | {"export_pipeline": True}]),
    "two words and a LoRA": ("StableDiffusion", [TOY, LORA, HAT]),
    "two words and a LoRA, pipeline": ("StableDiffusion", [LORA, TOY | {"export_pipeline": True}, HAT]),
    "whole unet": ("StableDiffusion", [{"type": "FullTuner", "component": "unet"}, TOY]),
}


def train(base, family, tuners):
    """A model whose trained weights are far from where they began."""
    model = LatentDiffusion(family={"type": family}, pretrained=str(base),
                            tuners={str(i): tuner for i, tuner in enumerate(tuners)})
    generator = torch.Generator().manual_seed(0)
    for name, value in model.trainable_parameters().items():
        value.data += (1.0 if "learned" in name else 0.1) * torch.randn(value.shape, generator=generator)
    return model


def show(model):
    with model.sampling():
        return model.generate(PROMPTS, seeds=SEEDS, num_inference_steps=3, guidance_scale=3.0)


@pytest.fixture(scope="module", params=CASES)
def trained(request, sd_folder, sdxl_folder, tmp_path_factory):
    """Case, base folder, step folder, and the pictures that the model shows, which are not the base's."""
    family, tuners = CASES[request.param]
    base = sd_folder if family == "StableDiffusion" else sdxl_folder
    model = train(base, family, tuners)
    step = tmp_path_factory.mktemp("run") / "step3"
    written = write_artifacts(model.artifacts(), step, model.pipeline, step=3)
    size = sum(path.stat().st_size for path in step.rglob("*") if path.is_file())
    assert model.export_bytes() == pytest.approx(size, rel=0.1, abs=1000) and all(path.is_file() for path in written)
    with model.adapters_disabled() if "whole" not in request.param else torch.no_grad():
        before = show(model)
    shown = show(model)
    if "whole" not in request.param:
        assert np.abs(arrays(shown)[0] - arrays(before)[0]).max() > 3, "the vectors have no effect: the test is void"
    return request.param, base, step, shown


def test_load_pipeline(trained):
    _, base, step, shown = trained
    assert_same(shown, generate(load_pipeline(step, device="cpu"), PROMPTS, SEEDS, SETTINGS))
    if not (step / "model_index.json").is_file():
        assert_same(shown, generate(load_pipeline(base, [step], device="cpu"), PROMPTS, SEEDS, SETTINGS))


def test_diffusers(trained):
    case, base, step, shown = trained
    if (step / "model_index.json").is_file():
        pipe = DiffusionPipeline.from_pretrained(step, use_safetensors=True)
    else:
        pipe = load_pipeline(base, device="cpu")
        words = ["", ".toy", ".hat"][1:] if "two" in case else [""]
        for end in words:
            pipe.load_textual_inversion(step, weight_name=f"learned_embeds{end}.safetensors")
            if hasattr(pipe, "tokenizer_2"):
                pipe.load_textual_inversion(step, weight_name=f"learned_embeds_2{end}.safetensors",
                                            text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2)
        if "LoRA" in case:
            pipe.load_lora_weights(step)
    pipe.set_progress_bar_config(disable=True)
    assert_same(shown, generate(pipe, PROMPTS, SEEDS, SETTINGS))


def test_next_experiment_begins_there(trained):
    case, _, step, shown = trained
    model = LatentDiffusion(family={"type": CASES[case][0]}, pretrained=str(step),
                            tuners={"unet": {"type": "LoRATuner", "rank": 2}})
    assert_same(shown, show(model))
    ids = model.parts["tokenizer"].convert_tokens_to_ids(["<toy>", "<toy>_1", "<toy>_2"])
    rows = load_file(next(step.glob("learned_embeds*.safetensors")))["<toy>"]
    assert torch.equal(model.text_encoder.get_input_embeddings().weight[ids], rows)
    with pytest.raises(ValueError, match=r"'<toy>' is a token of .*step3's tokenizer already"):
        LatentDiffusion(family={"type": CASES[case][0]}, pretrained=str(step), tuners={"again": TOY})


def test_the_other_rows_of_a_whole_pipeline_are_bit_equal(trained):
    case, base, step, _ = trained
    if "pipeline" not in case:
        return
    before, after = (DiffusionPipeline.from_pretrained(folder) for folder in (base, step))
    for name in ("text_encoder", "text_encoder_2"):
        if hasattr(before, name):
            old, new = (getattr(pipe, name).get_input_embeddings().weight for pipe in (before, after))
            assert torch.equal(new[:len(old)], old) and len(new) == len(old) + 3 + ("two" in case)
            assert getattr(after, name).config.vocab_size == len(new)


def test_files_and_what_is_said_of_them(sdxl_folder, tmp_path):
    model = train(sdxl_folder, "StableDiffusionXL", [TOY])
    write_artifacts(model.artifacts(), tmp_path, model.pipeline, step=7, prompts=["a <toy>"])
    assert {path.name for path in tmp_path.iterdir()} == {
        "diffkit.json", "learned_embeds.safetensors", "learned_embeds_2.safetensors"}
    info = json.loads((tmp_path / "diffkit.json").read_text())
    assert info["holds"] == [{"kind": "embedding", "token": "<toy>", "num_vectors": 3, "files": {
        "text_encoder": "learned_embeds.safetensors", "text_encoder_2": "learned_embeds_2.safetensors"}}]
    assert info["base"] == str(sdxl_folder) and set(info["structure"]) == {"text_encoder", "text_encoder_2"}
    for name, encoder in (("learned_embeds", "text_encoder"), ("learned_embeds_2", "text_encoder_2")):
        file = load_file(tmp_path / f"{name}.safetensors")
        assert list(file) == ["<toy>"] and file["<toy>"].shape == (3, 32)
        assert torch.equal(file["<toy>"], model.components[encoder].get_input_embeddings().learned[0].weight)
    step = read_step_folder(tmp_path)
    assert step.describe() == f"{tmp_path}: learned embeddings; trained on {str(sdxl_folder)!r}"


def test_a_word_keeps_its_own_files(sd_folder, tmp_path):
    words = [HAT | {"placeholder_token": token} for token in ("<toy>", "toy-", "<to-y>", "toy")]
    model = train(sd_folder, "StableDiffusion", words[:3])
    write_artifacts(model.artifacts(), tmp_path, model.pipeline)
    held = {token: path.name for path in tmp_path.glob("*.safetensors") for token in load_file(path)}
    assert len(held) == 3 and held["<toy>"] == "learned_embeds.toy.safetensors"
    pipe = load_pipeline(tmp_path, device="cpu")
    assert list(placeholders(pipe.tokenizer)) == ["<to-y>", "<toy>", "toy-"] or len(placeholders(pipe.tokenizer)) == 3


def test_old_sdxl_configs_need_the_end_of_the_prompt(sdxl_folder, tmp_path):
    """With eos_token_id=2, as published, diffusers pools at the last vector; our loader and one line put it right."""
    old = shutil.copytree(sdxl_folder, tmp_path / "tiny-sdxl")
    for path in old.glob("text_encoder*/config.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": 2}))
    model = train(old, "StableDiffusionXL", [TOY | {"seed": 0}])
    write_artifacts(model.artifacts(), tmp_path / "step1", model.pipeline)
    shown = show(model)
    assert_same(shown, generate(load_pipeline(tmp_path / "step1", device="cpu"), PROMPTS, SEEDS, SETTINGS))
    pipe = load_pipeline(old, device="cpu")
    pipe.load_textual_inversion(tmp_path / "step1")
    pipe.load_textual_inversion(tmp_path / "step1", weight_name="learned_embeds_2.safetensors",
                                text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2)
    pipe.text_encoder_2.text_model.eos_token_id = pipe.tokenizer_2.eos_token_id
    assert_same(shown, generate(pipe, PROMPTS, SEEDS, SETTINGS))


@pytest.fixture(scope="module")
def toy(sd_folder, tmp_path_factory):
    step = tmp_path_factory.mktemp("toy") / "step1"
    model = train(sd_folder, "StableDiffusion", [TOY])
    write_artifacts(model.artifacts(), step, model.pipeline)
    return step


def test_several_step_folders(sd_folder, toy, tmp_path):
    model = train(sd_folder, "StableDiffusion", [HAT])
    write_artifacts(model.artifacts(), tmp_path / "step2", model.pipeline)
    pipe = load_pipeline(sd_folder, [toy, tmp_path / "step2"], device="cpu")
    assert {word: len(ids) for word, ids in placeholders(pipe.tokenizer).items()} == {"<toy>": 3, "<hat>": 1}
    with pytest.raises(ValueError, match=r"step1 cannot be loaded: '<toy>' is a token of .*Is it there twice\?"):
        load_pipeline(sd_folder, [toy, toy], device="cpu")


def test_a_step_on_a_step(toy, tmp_path):
    model = train(toy, "StableDiffusion", [HAT | {"initializer_token": "<toy>"}])
    write_artifacts(model.artifacts(), tmp_path / "step2", model.pipeline)
    shown = show(model)
    pipe = load_pipeline(tmp_path / "step2", device="cpu")
    assert len(placeholders(pipe.tokenizer)) == 2
    assert_same(shown, generate(pipe, PROMPTS, SEEDS, SETTINGS))


def test_embeddings_of_another_program(sd_folder, toy, tmp_path):
    save_file({"<one>": torch.ones(32)}, tmp_path / "learned_embeds.safetensors")
    (tmp_path / "learned_embeds-steps-500.safetensors").write_bytes((toy / "learned_embeds.safetensors").read_bytes())
    pipe = load_pipeline(sd_folder, [tmp_path], device="cpu")
    assert list(placeholders(pipe.tokenizer)) == ["<one>"]
    assert torch.equal(pipe.text_encoder.get_input_embeddings().weight[-1], torch.ones(32))
    with pytest.raises(ValueError, match="does not say what they were trained on"):
        load_pipeline(tmp_path, device="cpu")


@pytest.mark.parametrize("tensors, message", [
    ({"<toy>": torch.zeros(2, 48)}, "'<toy>' for text_encoder are 48 wide, those of 'tiny' are 32"),
    ({"<toy>": torch.zeros(2, 3, 4)}, "holds no vectors of a placeholder"),
    ({"dog": torch.zeros(2, 32)}, "'dog' is a token of tiny's tokenizer already"),
    ({"<toy>": torch.zeros(90, 32)}, "does not fit into a prompt"),
])
def test_what_does_not_fit_changes_nothing(tmp_path, tensors, message):
    save_file({"<good>": torch.zeros(1, 32)}, tmp_path / "learned_embeds.safetensors")
    save_file(tensors, tmp_path / "learned_embeds.other.safetensors")
    pipe = tiny_sd_pipeline()
    count, rows = len(pipe.tokenizer), pipe.text_encoder.get_input_embeddings().weight.shape
    with pytest.raises(ValueError, match=message):
        apply_embeddings(pipe.components, read_step_folder(tmp_path), "tiny")
    assert len(pipe.tokenizer) == count and pipe.text_encoder.get_input_embeddings().weight.shape == rows


def test_vectors_of_another_family_are_refused(toy, tmp_path):
    with pytest.raises(ValueError, match=r"has vectors of '<toy>' for text_encoder, and 'xl' has text_encoder and "
                                         r"text_encoder_2: they were trained on another kind of model"):
        apply_embeddings(tiny_sdxl_pipeline().components, read_step_folder(toy), "xl")
    (tmp_path / "learned_embeds.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"learned_embeds.safetensors is no sound safetensors file"):
        apply_embeddings(tiny_sd_pipeline().components, read_step_folder(tmp_path), "tiny")


def test_unknown_artifacts_have_no_size():
    with pytest.raises(TypeError, match=r"the size of dict is not known; known: AdapterArtifact, DeltaArtifact, Emb"):
        export_bytes([{}], {})
