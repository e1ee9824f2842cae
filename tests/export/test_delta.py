"""Trained cross-attention: the picture that a training shows is the picture that others get from its files."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from diffkit.apis.concept_export import export_custom_diffusion
from diffkit.apis.load_pipeline import load_pipeline
from diffkit.cli import main
from diffkit.export import apply_delta, export_bytes, read_delta, write_artifacts
from diffkit.export.low_rank import low_rank
from diffkit.models import GenerationSettings, LatentDiffusion, generate
from diffkit.utils.step_folder import read_step_folder
from tests.export.test_embeddings import show, train
from tests.export.test_training_shows import arrays, assert_same
from tests.tiny import tiny_sd_pipeline, tiny_sdxl_pipeline

SETTINGS = GenerationSettings(num_inference_steps=3, guidance_scale=3.0)
PROMPTS, SEEDS = ["a photo of a <toy>", "a cat"], [3, 4]
TOY = {"type": "TextualInversion", "placeholder_token": "<toy>"}
HAT = {"type": "TextualInversion", "placeholder_token": "<hat>"}
KV = {"type": "CrossAttentionTuner"}
LORA = {"type": "LoRATuner", "component": "unet", "rank": 2}
WHOLE, SMALL = "pytorch_custom_diffusion_weights.safetensors", "compressed_custom_diffusion_weights.safetensors"
CASES = {
    "sd": ("StableDiffusion", [TOY, KV]),
    "sdxl": ("StableDiffusionXL", [TOY, HAT, KV]),
    "all": ("StableDiffusion", [TOY, KV | {"train": "all"}]),
    "factors": ("StableDiffusion", [TOY, KV | {"train": "all", "compression": 1.0}]),
    "beside a LoRA": ("StableDiffusion", [LORA, TOY, KV]),
    "pipeline": ("StableDiffusion", [TOY | {"export_pipeline": True}, KV]),
}


SHORT = ("sd", "sdxl", "factors")


@pytest.fixture(scope="module", params=[
    case if case in SHORT else pytest.param(case, marks=pytest.mark.slow) for case in CASES])
def trained(request, sd_folder, sdxl_folder, tmp_path_factory):
    """Case, base folder, step folder, the pictures that the model shows, and the model."""
    family, tuners = CASES[request.param]
    base = sd_folder if family == "StableDiffusion" else sdxl_folder
    model = train(base, family, tuners)
    step = tmp_path_factory.mktemp("run") / "step3"
    written = write_artifacts(model.artifacts(), step, model.pipeline, step=3)
    assert all(path.is_file() for path in written)
    if request.param != "factors":  # of which only an upper bound is known
        size = sum(path.stat().st_size for path in step.rglob("*") if path.is_file())
        assert model.export_bytes() == pytest.approx(size, rel=0.15, abs=4000)
    with model.adapters_disabled():
        before = show(model)
    shown = show(model)
    assert np.abs(arrays(shown)[1] - arrays(before)[1]).max() > 3, "the weights have no effect: the test is void"
    return request.param, base, step, shown, model


@pytest.fixture(scope="module")
def pickled(trained, tmp_path_factory):
    """The same with pickles, which no checkpoint holds; None where other cases tell enough."""
    case, _, step, _, _ = trained
    assert not list(step.glob("*.bin"))
    if case not in ("sd", "all", "factors"):
        return None
    folder = tmp_path_factory.mktemp("pickled") / "out"
    export_custom_diffusion(step, folder, pickled=True, compression=1.0 if case == "factors" else None)
    return folder


def test_load_pipeline(trained):
    case, base, step, shown, _ = trained
    assert_same(shown, generate(load_pipeline(step, device="cpu"), PROMPTS, SEEDS, SETTINGS))
    if case != "pipeline":
        assert_same(shown, generate(load_pipeline(base, [step], device="cpu"), PROMPTS, SEEDS, SETTINGS))


def test_next_experiment_begins_there(trained):
    case, _, step, shown, _ = trained
    model = LatentDiffusion(family={"type": CASES[case][0]}, pretrained=str(step),
                            tuners={"unet": {"type": "LoRATuner", "rank": 2}})
    assert_same(shown, show(model))


def test_weights_come_back_bit_for_bit(trained):
    case, base, step, _, model = trained
    if case in ("factors", "pipeline"):
        return
    pipe = load_pipeline(base, [step], device="cpu")
    found = {name.replace(".base_layer.", "."): value for name, value in pipe.unet.named_parameters()}
    for name, value in model.tuners[str(len(CASES[case][1]) - 1)].trained().items():
        assert torch.equal(found[name], value), name


def test_diffusers_reads_the_same_file(trained, pickled):
    """``load_attn_procs`` of diffusers 0.42 cannot read the safetensors file that diffusers itself writes."""
    case, base, step, shown, _ = trained
    if case in ("factors", "beside a LoRA", "pipeline"):
        return
    for folder, name in [(step, WHOLE), (pickled, "pytorch_custom_diffusion_weights.bin")]:
        if folder is None:
            continue
        pipe = load_pipeline(base, device="cpu")
        kind = {"use_safetensors": True} if name == WHOLE else {}
        pipe.unet.load_attn_procs(folder, weight_name=name, _pipeline=pipe, **kind)
        assert any("custom_diffusion" in key for key in pipe.unet.state_dict())
        for end in (["toy", "hat"] if case == "sdxl" else [""]):
            end = f".{end}" if end else ""
            pipe.load_textual_inversion(step, weight_name=f"learned_embeds{end}.safetensors")
            if case == "sdxl":
                pipe.load_textual_inversion(step, weight_name=f"learned_embeds_2{end}.safetensors",
                                            text_encoder=pipe.text_encoder_2, tokenizer=pipe.tokenizer_2)
        assert_same(shown, generate(pipe, PROMPTS, SEEDS, SETTINGS))


def as_the_authors_load(pipe, file):
    """What ``CustomDiffusionPipeline.load_model`` of the authors does."""
    state = torch.load(file, weights_only=True)
    for word, vector in state["modifier_token"].items():
        pipe.tokenizer.add_tokens(word)
        pipe.text_encoder.resize_token_embeddings(len(pipe.tokenizer), mean_resizing=False)
        pipe.text_encoder.get_input_embeddings().weight.data[pipe.tokenizer.convert_tokens_to_ids(word)] = vector
    for name, value in pipe.unet.named_parameters():
        if name in state["unet"]:
            held = state["unet"][name]
            value.data = value.data + held["u"] @ held["v"] if isinstance(held, dict) else held


def test_the_authors_file(trained, pickled):
    case, base, _, shown, _ = trained
    if pickled is None:
        return
    names = sorted(path.name for path in pickled.glob("*.bin"))
    whole = ["delta.bin", "pytorch_custom_diffusion_weights.bin"]
    assert names == (["compressed_delta.bin"] if case == "factors" else whole)
    pipe = load_pipeline(base, device="cpu")
    as_the_authors_load(pipe, pickled / names[0])
    assert_same(shown, generate(pipe, PROMPTS, SEEDS, SETTINGS))


def test_what_is_written_anew_is_the_same(trained, tmp_path):
    """Also from factors to whole weights; and it is a step folder again."""
    case, _, step, shown, _ = trained
    if case not in ("factors", "sdxl"):
        return
    export_custom_diffusion(step, tmp_path / "out")
    assert (tmp_path / "out" / WHOLE).is_file() and not list((tmp_path / "out").glob("*.bin"))
    assert_same(shown, generate(load_pipeline(tmp_path / "out", device="cpu"), PROMPTS, SEEDS, SETTINGS))


def test_the_command_that_writes_anew(toy, tmp_path, capsys):
    out = str(tmp_path / "out")
    assert main(["export_custom_diffusion", str(toy), "--out", out, "--compression", "0.5", "--pickled"]) == 0
    assert "compressed_delta.bin" in capsys.readouterr().out
    for arguments, message in (
            ([str(toy), "--out", out], "is there already and not empty"),
            ([str(tmp_path), "--out", str(tmp_path / "x")], "holds no trained cross-attention"),
            ([out, "--out", str(tmp_path / "x"), "--pretrained", "nowhere/"], "--pretrained 'nowhere/' looks like")):
        assert main(["export_custom_diffusion", *arguments]) == 1
        assert message in capsys.readouterr().err


def test_files_and_what_is_said_of_them(sd_folder, tmp_path):
    model = train(sd_folder, "StableDiffusion", [TOY, HAT, KV])
    write_artifacts(model.artifacts(), tmp_path, model.pipeline, step=7)
    assert {path.name for path in tmp_path.iterdir()} == {
        "diffkit.json", WHOLE, "learned_embeds.toy.safetensors", "learned_embeds.hat.safetensors"}
    info = json.loads((tmp_path / "diffkit.json").read_text())
    assert info["holds"][0] == {"kind": "delta", "component": "unet", "file": WHOLE, "tensors": 32,
                                "compression": None}
    assert info["base"] == str(sd_folder) and set(info["structure"]) == {"unet", "text_encoder"}
    kinds = {name.split("processor")[1] for name in load_file(tmp_path / WHOLE)}
    assert kinds == {"", ".to_k_custom_diffusion.weight", ".to_v_custom_diffusion.weight"}
    step = read_step_folder(tmp_path)
    assert step.describe() == (f"{tmp_path}: learned embeddings, trained cross-attention; trained on "
                               f"{str(sd_folder)!r}")


def test_compression_keeps_its_share(sd_folder, tmp_path):
    sizes = {}
    for share in (0.3, 0.6, 1.0):
        model = train(sd_folder, "StableDiffusion", [TOY, KV | {"compression": share}])
        folder = tmp_path / str(share)
        write_artifacts(model.artifacts(), folder, model.pipeline)
        tuner = model.tuners["1"]
        delta, before, after = read_delta(folder / SMALL), tuner.initial(), tuner.trained()
        assert delta.factors.keys() == after.keys() and not delta.whole
        for name, (u, v) in delta.factors.items():
            change = (after[name] - before[name]).double()
            values = torch.linalg.svdvals(change)
            assert values[:u.shape[1]].sum() >= share * values.sum() * (1 - 1e-6)
            assert u.shape[1] == 1 or values[:u.shape[1] - 1].sum() < share * values.sum()
            missing = (change - u.double() @ v.double()).norm() ** 2  # Eckart and Young: what was left out, no more
            assert missing.item() == pytest.approx((values[u.shape[1]:] ** 2).sum().item(), rel=1e-3, abs=1e-8)
        sizes[share] = (folder / SMALL).stat().st_size
        assert model.export_bytes() >= sizes[share] / 3
        stated = json.loads((folder / "diffkit.json").read_text())["holds"][0]
        assert stated["compression"] == share and stated["file"] == SMALL
    assert sizes[0.3] < 0.7 * sizes[0.6] < 0.7 * sizes[1.0]


def test_all_singular_values_give_the_change_back():
    generator = torch.Generator().manual_seed(0)
    for shape in ((40, 16), (16, 40), (8, 8)):
        change = torch.randn(shape, generator=generator)
        u, v = low_rank(change, 1.0)
        assert torch.allclose(u @ v, change, atol=1e-5)
        assert low_rank(torch.zeros(shape), 0.6)[0].shape[1] == 1  # nothing was trained: nothing breaks
    line = torch.outer(torch.arange(1.0, 5), torch.arange(1.0, 4))
    assert low_rank(line, 0.99)[0].shape[1] == 1
    with pytest.raises(ValueError, match="share is 0"):
        low_rank(line, 0)
    with pytest.raises(ValueError, match=r"a matrix is needed, got a tensor of shape \[3\]"):
        low_rank(torch.ones(3), 0.5)


def unet_weights(pipe):
    return {name: value.detach() for name, value in pipe.unet.named_parameters() if "attn2.to_k" in name}


def test_two_step_folders_add_their_changes(sd_folder, tmp_path):
    base = unet_weights(load_pipeline(sd_folder, device="cpu"))
    models = []
    for i, word in enumerate((TOY, HAT)):
        model = train(sd_folder, "StableDiffusion", [word, KV | {"compression": 1.0 if i else None}])
        for value in model.tuners["1"].trained().values():
            value.data *= 1 + i
        write_artifacts(model.artifacts(), tmp_path / f"step{i}", model.pipeline)
        models.append(model.tuners["1"].trained())
    both = unet_weights(load_pipeline(sd_folder, [tmp_path / "step0", tmp_path / "step1"], device="cpu"))
    again = unet_weights(load_pipeline(tmp_path / "step0", [tmp_path / "step1"], device="cpu"))
    for name, value in base.items():
        assert torch.allclose(both[name], models[0][name] + models[1][name] - value, atol=1e-5), name
        assert torch.allclose(again[name], both[name])


@pytest.mark.slow
def test_a_step_on_a_step(sd_folder, tmp_path):
    """The second folder holds what the first one did: a LoRA, or cross-attention, is not added twice."""
    for first in ([LORA], [TOY, KV]):
        one, two = (tmp_path / f"{len(first)}/step{i}" for i in (1, 2))
        model = train(sd_folder, "StableDiffusion", first)
        write_artifacts(model.artifacts(), one, model.pipeline)
        model = train(one, "StableDiffusion", [HAT, KV])
        write_artifacts(model.artifacts(), two, model.pipeline)
        shown = show(model)
        for arguments in ((two,), (sd_folder, [one, two]), (one, [two])):
            assert_same(shown, generate(load_pipeline(*arguments, device="cpu"), PROMPTS, SEEDS, SETTINGS))


@pytest.fixture(scope="module")
def toy(sd_folder, tmp_path_factory):
    step = tmp_path_factory.mktemp("toy") / "step1"
    model = train(sd_folder, "StableDiffusion", [TOY, KV])
    write_artifacts(model.artifacts(), step, model.pipeline)
    return step


def test_what_does_not_fit_changes_nothing(toy, tmp_path):
    good = load_file(toy / WHOLE)
    name = next(key for key in good if key.endswith("weight"))
    for tensors, message in (
            ({**good, name: torch.zeros(3, 3)}, "does not fit 'tiny': 1 of 32 weights have no counterpart"),
            ({"somewhere.weight": torch.zeros(3)}, "holds 'somewhere.weight', which is no weight of cross-attention"),
            ({"a.attn1.processor": torch.zeros(0)}, "holds no weights of cross-attention"),
            ({"a.attn2.to_k.weight.u": torch.zeros(4, 2)}, "no two factors of 'a.attn2.to_k.weight'"),
            ({"a.attn2.to_k.weight.u": torch.zeros(4, 2), "a.attn2.to_k.weight.v": torch.zeros(3, 4)},
             "no two factors of 'a.attn2.to_k.weight'"),
            ({**good, name: good[name] * float("nan")}, "not finite")):
        save_file(tensors, tmp_path / WHOLE)
        pipe = tiny_sd_pipeline()
        before = {key: value.clone() for key, value in pipe.unet.state_dict().items()}
        with pytest.raises(ValueError, match=message):
            apply_delta(pipe.components, read_step_folder(tmp_path), "tiny")
        assert all(torch.equal(value, before[key]) for key, value in pipe.unet.state_dict().items())
    with pytest.raises(ValueError, match=r"step1 was trained on .*, whose unet has .* 'xl' has .* another structure"):
        apply_delta(tiny_sdxl_pipeline().components, read_step_folder(toy), "xl")


def test_a_file_of_diffusers(toy, sd_folder, tmp_path):
    """It has no entry for self-attention, and no diffkit.json; its words are files of that name."""
    good, word = load_file(toy / WHOLE), load_file(toy / "learned_embeds.safetensors")["<toy>"]
    save_file({key: value for key, value in good.items() if len(value)}, tmp_path / WHOLE)
    save_file({"<toy>": word[0]}, tmp_path / "<toy>.safetensors")
    pipe = load_pipeline(sd_folder, [tmp_path], device="cpu")
    assert torch.equal(pipe.text_encoder.get_input_embeddings().weight[-1], word[0])
    expected = unet_weights(load_pipeline(sd_folder, [toy], device="cpu"))
    assert all(torch.equal(value, expected[name]) for name, value in unet_weights(pipe).items())
    with pytest.raises(ValueError, match="does not say what they were trained on"):
        load_pipeline(tmp_path, device="cpu")


def test_unknown_artifacts_have_no_size():
    with pytest.raises(TypeError, match="known: AdapterArtifact, DeltaArtifact"):
        export_bytes([{}], {})
