"""Two trainings of Custom Diffusion made one: what their words mean, what is kept, and what does not fit."""

import json

import pytest
import torch

from diffkit.apis.concept_merging import merge_concepts
from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.ordinary_captions import ordinary_captions
from diffkit.cli import main
from diffkit.export import read_delta, write_artifacts
from diffkit.models import StableDiffusion, StableDiffusionXL
from diffkit.utils.placeholders import placeholders
from diffkit.utils.step_folder import read_step_folder
from tests.export.test_embeddings import train
from tests.tiny import tiny_sd_pipeline, tiny_sdxl_pipeline

KV = {"type": "CrossAttentionTuner"}


def step_of(folder, base, word, scale, **options):
    """A step folder whose keys and values are far from the base's."""
    family = "StableDiffusionXL" if (base / "text_encoder_2").is_dir() else "StableDiffusion"
    model = train(base, family, [{"type": "TextualInversion", "placeholder_token": word}, KV | options])
    for value in model.tuners["1"].trained().values():
        value.data *= scale
    write_artifacts(model.artifacts(), folder, model.pipeline)
    return folder


@pytest.fixture(scope="module")
def sd(tmp_path_factory):
    return understanding(tiny_sd_pipeline(), tmp_path_factory.mktemp("base") / "sd")


@pytest.fixture(scope="module")
def sdxl(tmp_path_factory):
    return understanding(tiny_sdxl_pipeline(), tmp_path_factory.mktemp("base") / "sdxl")


def understanding(pipe, folder):
    """A pipeline whose text features depend on the words before them, as those of a trained one do."""
    for name in ("text_encoder", "text_encoder_2"):
        for key, value in getattr(pipe, name).named_parameters() if hasattr(pipe, name) else ():
            value.data *= 12 if value.dim() == 2 and "layers" in key else 1
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["sd", "sdxl"])
def merged(request, tmp_path_factory):
    """The base, both step folders, and the merged one."""
    base = request.getfixturevalue(request.param)
    root = tmp_path_factory.mktemp("merge")
    steps = [step_of(root / "a/step1", base, "<cat>", 1.2), step_of(root / "b/step1", base, "<pot>", 0.8)]
    result = merge_concepts(steps, ["dog", "bucket"], root / "both", prompts=["a photo of a {}"])
    return base, steps, root / "both", result


def features(pipe, prompt, word):
    """Text features of the tokens from the word to the end of the prompt."""
    family = StableDiffusionXL() if hasattr(pipe, "text_encoder_2") else StableDiffusion()
    ids = pipe.tokenizer(prompt).input_ids
    first = ids.index(pipe.tokenizer.convert_tokens_to_ids(word))
    with torch.no_grad():
        return family.encode_text(pipe.components, [prompt]).embeds[0, first:len(ids)]


@pytest.fixture(scope="module")
def targets(merged):
    """By weight: the features of both concepts' words, and what each concept's own training maps them to."""
    _, steps, both, result = merged
    pipe, found = load_pipeline(both, device="cpu"), {}
    for step, name, word in zip(steps, result.words, ("<cat>", "<pot>"), strict=True):
        alone = load_pipeline(step, device="cpu")
        own, wanted = dict(alone.unet.named_parameters()), features(alone, f"a photo of a {name}", word)
        assert torch.allclose(wanted, features(pipe, f"a photo of a {name}", word), atol=1e-6)
        for key in read_delta(read_step_folder(step).delta).whole:
            found.setdefault(key, []).append((wanted, wanted @ own[key].detach().T))
    return {key: tuple(torch.cat(part) for part in zip(*pairs, strict=True)) for key, pairs in found.items()}


def test_each_word_means_what_it_meant_alone(merged, targets):
    """``W' c = v`` to 1e-4 of the largest value, or of 1."""
    base, _, both, result = merged
    delta = read_delta(read_step_folder(both).delta).whole
    old = dict(load_pipeline(base, device="cpu").unet.named_parameters())
    errors = []
    for key, (wanted, values) in targets.items():
        errors.append((wanted @ delta[key].T - values).abs().max().item())
        assert errors[-1] < 1e-4 * max(1, values.abs().max().item())
        assert (wanted @ old[key].T - values).abs().max() > 0.1, "they meant it before: the test is void"
    assert delta.keys() == targets.keys() and result.words == ("<cat> dog", "<pot> bucket")
    assert result.error == pytest.approx(max(errors), rel=0.5)


def test_ordinary_captions_change_less_than_they_might(merged, targets):
    """The smallest change that gives the words their meaning changes ordinary captions more."""
    base, _, both, result = merged
    pipe, new = load_pipeline(base, device="cpu"), read_delta(read_step_folder(both).delta).whole
    family = StableDiffusionXL() if hasattr(pipe, "text_encoder_2") else StableDiffusion()
    ordinary = []
    for prompt in ordinary_captions():
        count = len(pipe.tokenizer(prompt, truncation=True).input_ids)
        with torch.no_grad():
            ordinary.append(family.encode_text(pipe.components, [prompt]).embeds[0, 1:count])
    ordinary, old = torch.cat(ordinary), dict(pipe.unet.named_parameters())
    changed = smallest = whole = 0.0
    for key, (wanted, values) in targets.items():
        weight = old[key].detach()
        shortest = (torch.linalg.pinv(wanted) @ (values - wanted @ weight.T)).T
        changed += ((new[key] - weight) @ ordinary.T).square().sum().item()
        smallest += (shortest @ ordinary.T).square().sum().item()
        whole += (weight @ ordinary.T).square().sum().item()
    assert result.forgetting == pytest.approx((changed / whole) ** 0.5, rel=1e-3)
    assert changed < 0.98 * smallest


def test_it_is_a_step_folder_like_any(merged):
    base, _, both, _ = merged
    info = json.loads((both / "diffkit.json").read_text())
    assert [one["kind"] for one in info["holds"]] == ["delta", "embedding", "embedding"]
    assert info["base"] == str(base) and info["prompts"] == ["a photo of a <cat> dog", "a photo of a <pot> bucket"]
    pipe = load_pipeline(base, [both], device="cpu")
    assert list(placeholders(pipe.tokenizer)) == ["<cat>", "<pot>"]
    assert pipe("a <cat> and a <pot>", num_inference_steps=1, height=32, width=32).images[0].size == (32, 32)


def test_equal_words_are_told_apart_and_factors_are_understood(sd, tmp_path):
    """As in the reference, where every training calls its word <new1>."""
    one = step_of(tmp_path / "a", sd, "<new1>", 1.2)
    two = step_of(tmp_path / "b", sd, "<new1>", 0.8, compression=1.0)
    result = merge_concepts([one, two], ["dog", ""], tmp_path / "both", compression=1.0, pickled=True)
    assert result.words == ("<new1> dog", "<new2>") and result.error < 1e-3
    assert {path.name for path in (tmp_path / "both").iterdir()} == {
        "diffkit.json", "compressed_custom_diffusion_weights.safetensors", "compressed_delta.bin",
        "learned_embeds.new1.safetensors", "learned_embeds.new2.safetensors"}
    assert list(placeholders(load_pipeline(tmp_path / "both", device="cpu").tokenizer)) == ["<new1>", "<new2>"]


def test_the_command(sd, tmp_path, capsys):
    steps = [str(step_of(tmp_path / name, sd, word, 1.5)) for name, word in (("a", "<cat>"), ("b", "<pot>"))]
    (tmp_path / "captions.txt").write_text("a photo of a dog\n\na bucket in a style\n")
    arguments = ["merge_concepts", *steps, "--categories", "dog", "bucket",
                 "--ordinary", str(tmp_path / "captions.txt")]
    assert main([*arguments, "--out", str(tmp_path / "both")]) == 0
    assert "<cat> dog, <pot> bucket; largest error on their words" in capsys.readouterr().out
    for more, message in (
            (["--out", str(tmp_path / "both")], "is there already and not empty"),
            (["--out", str(tmp_path / "c"), "--prompts", "a cat"], "each must have {} where the concept stands"),
            (["--out", str(tmp_path / "c"), "--compression", "2"], "share is 2.0")):
        assert main([*arguments, *more]) == 1
        assert message in capsys.readouterr().err
    assert main(["merge_concepts", steps[0], "--categories", "dog", "--out", str(tmp_path / "c")]) == 1
    assert "two or more, and as many of both; given 1 and 1" in capsys.readouterr().err


def test_what_cannot_be_merged_is_named(sd, tmp_path):
    good = step_of(tmp_path / "a", sd, "<cat>", 1.5)
    wide = step_of(tmp_path / "b", sd, "<pot>", 1.5, train="all")
    with pytest.raises(ValueError, match=r"b has trained more than keys and values, such as .*to_out"):
        merge_concepts([good, wide], ["dog", "bucket"], tmp_path / "out")
    bare = tmp_path / "bare"
    bare.mkdir()
    with pytest.raises(ValueError, match="bare holds no Custom Diffusion of a word"):
        merge_concepts([good, bare], ["dog", "bucket"], tmp_path / "out")
    (bare / "pytorch_custom_diffusion_weights.safetensors").write_bytes(
        (good / "pytorch_custom_diffusion_weights.safetensors").read_bytes())
    (bare / "learned_embeds.safetensors").write_bytes((good / "learned_embeds.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"pretrained: the steps say .* trained on .*, None; they must all"):
        merge_concepts([good, bare], ["dog", "bucket"], tmp_path / "out")
    with pytest.raises(ValueError, match=r"ordinary='nowhere.txt' cannot be read"):
        merge_concepts([good, good], ["dog", "bucket"], tmp_path / "out", ordinary="nowhere.txt")
    assert not (tmp_path / "out").exists()
