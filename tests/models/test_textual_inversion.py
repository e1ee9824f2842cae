"""Textual inversion: what is trained, where it begins, how prompts reach it, and the mistakes that it names."""

import json
import shutil

import pytest
import torch

from diffkit.models import LatentDiffusion, TextualInversion
from diffkit.models.families.base import token_ids
from diffkit.models.learned_embedding import LearnedVectors

TOY = {"type": "TextualInversion", "placeholder_token": "<toy>", "num_vectors": 3}
FAMILIES = ("StableDiffusion", "StableDiffusionXL")


def build(folder, *tuners, **options):
    family = "StableDiffusionXL" if (folder / "text_encoder_2").is_dir() else "StableDiffusion"
    return LatentDiffusion(family={"type": family}, pretrained=str(folder), **options,
                           tuners={str(i): tuner for i, tuner in enumerate(tuners or [TOY])})


def batch(*prompts):
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.rand(len(prompts), 3, 32, 32, generator=generator) * 2 - 1, "prompt": list(prompts)}


def table(model, encoder="text_encoder"):
    return model.get_submodule(encoder).get_input_embeddings()


@pytest.fixture(params=FAMILIES)
def folder(request, sd_folder, sdxl_folder):
    return sd_folder if request.param == "StableDiffusion" else sdxl_folder


def test_only_the_new_rows_are_trained_whatever_the_weight_decay(folder):
    model = build(folder)
    encoders = [name for name in model.components if name.startswith("text_encoder")]
    trained = model.trainable_parameters()
    assert {name.split(".")[0] for name in trained} == set(encoders)
    assert all(value.shape == (3, 32) and value.dtype == torch.float32 for value in trained.values())
    assert trained.keys() == model.trainable_state().keys()  # so a checkpoint holds these alone
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-2, weight_decay=0.5)
    torch.manual_seed(0)
    for _ in range(3):
        optimizer.zero_grad()
        model(**batch("a photo of a <toy>", "a dog"))["loss_denoising"].backward()
        assert all((value.grad.abs().sum(dim=1) > 0).all() for value in trained.values())  # every vector of every one
        optimizer.step()
    for name, value in model.named_parameters():
        assert torch.equal(value, before[name]) == (name not in trained), name


def test_prompts_without_the_placeholder_are_encoded_as_before(folder):
    plain, model = build(folder, {"type": "LoRATuner", "rank": 1}), build(folder)
    plain.text_cache = None
    with torch.no_grad():
        for (_, left), (_, right) in zip(plain.encode_prompts(batch("a photo of a dog")).tensors(),
                                         model.encode_prompts(batch("a photo of a dog")).tensors(), strict=True):
            assert torch.equal(left, right)


def test_all_vectors_begin_as_the_initializer(folder):
    model = build(folder, TOY | {"initializer_token": "dog"})
    for tokenizer, encoder, _ in model.family.text_parts:
        word = model.parts[tokenizer].encode("dog", add_special_tokens=False)[0]
        rows = table(model, encoder).learned[0].weight
        assert torch.equal(rows, table(model, encoder).weight[word].expand(3, -1))


def test_a_random_begin_has_the_spread_of_the_table_or_the_given_one(sd_folder):
    many = TOY | {"num_vectors": 70, "seed": 1}
    matched, given = build(sd_folder, many), build(sd_folder, many | {"init_std": 0.01})
    spread = table(matched).weight.std().item()
    assert table(matched).learned[0].weight.std().item() == pytest.approx(spread, rel=0.06)
    assert table(given).learned[0].weight.std().item() == pytest.approx(0.01, rel=0.06)
    assert abs(spread - 0.01) > 0.005, "the two are the same: the test is void"


def test_the_seed_decides_on_a_random_begin(sd_folder):
    def rows(seed, run_seed=0, token="<toy>"):
        torch.manual_seed(run_seed)
        return table(build(sd_folder, TOY | {"seed": seed, "placeholder_token": token})).learned[0].weight

    assert torch.equal(rows(1, run_seed=5), rows(1, run_seed=6))
    assert not torch.equal(rows(1), rows(2)) and not torch.equal(rows(1), rows(1, token="<other>"))
    assert torch.equal(rows(None, run_seed=5), rows(None, run_seed=5))
    assert not torch.equal(rows(None, run_seed=5), rows(None, run_seed=6))


def test_a_prompt_has_the_tokens_that_the_pipeline_gives_it(folder):
    model = build(folder)
    pipe = model.pipeline()
    for name, _, _ in model.family.text_parts:
        tokenizer = model.parts[name]
        for prompt in ("a photo of a <toy>", "<toy>", "a dog, <toy>'s", "a dog"):
            theirs = tokenizer(pipe.maybe_convert_prompt(prompt, tokenizer), padding="max_length",
                               max_length=77).input_ids
            ours = token_ids(tokenizer, [prompt], torch.device("cpu"))[0].tolist()
            assert ours == theirs
            assert (tokenizer.convert_tokens_to_ids("<toy>_2") in ours) == ("<toy>" in prompt)


@pytest.fixture(scope="module")
def old_config(sdxl_folder, tmp_path_factory):
    """SDXL whose text encoders say eos_token_id=2, as the published ones do."""
    folder = shutil.copytree(sdxl_folder, tmp_path_factory.mktemp("old") / "tiny-sdxl")
    for path in folder.glob("text_encoder*/config.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "eos_token_id": 2}))
    return folder


def test_the_pooled_vector_comes_from_the_end_of_the_prompt(sdxl_folder, old_config):
    pooled = []
    for folder in (sdxl_folder, old_config):
        model = build(folder, TOY | {"seed": 1})
        with torch.no_grad():
            pooled.append(model.encode_prompts(batch("a <toy> in a bucket")).pooled)
    assert torch.equal(*pooled)
    assert model.components["text_encoder_2"].config.eos_token_id == model.parts["tokenizer_2"].eos_token_id
    end = model.components["text_encoder_2"].text_model
    end.eos_token_id = 2  # what it was: the highest id, that of the last vector
    with torch.no_grad():
        assert not torch.allclose(model.encode_prompts(batch("a <toy> in a bucket")).pooled, pooled[0], atol=1e-3)


def test_several_words_are_learned_side_by_side(sd_folder):
    model = build(sd_folder, TOY, TOY | {"placeholder_token": "<hat>", "num_vectors": 1, "initializer_token": "<toy>"})
    toy, hat = table(model).learned
    assert torch.equal(hat.weight[0], toy.weight[0])
    model(**batch("a <hat>"))["loss_denoising"].backward()
    assert hat.weight.grad.abs().sum() > 0 and toy.weight.grad.abs().sum() == 0
    model(**batch("a <toy> with a <hat>"))["loss_denoising"].backward()
    assert (toy.weight.grad.abs().sum(dim=1) > 0).all()
    ids = token_ids(model.parts["tokenizer"], ["<toy> <hat>"], torch.device("cpu"))[0, 1:5].tolist()
    assert model.parts["tokenizer"].convert_ids_to_tokens(ids) == ["<toy>", "<toy>_1", "<toy>_2", "<hat>"]


def test_switched_off_it_shows_where_it_began(sd_folder):
    model = build(sd_folder)

    def states():
        with torch.no_grad():
            return model.encode_prompts(batch("a <toy>")).embeds

    first = states()
    table(model).learned[0].weight.data += 1
    with model.adapters_disabled():
        assert torch.equal(states(), first)
    assert not torch.allclose(states(), first)


def test_max_norm_shortens_what_is_longer():
    rows = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    vectors = LearnedVectors("<x>", 0, rows, max_norm=1.0)
    assert torch.allclose(vectors.rows(), torch.tensor([[0.6, 0.8], [0.3, 0.4]]))
    assert LearnedVectors("<x>", 0, rows).rows() is not None
    vectors.rows().sum().backward()
    assert torch.isfinite(vectors.weight.grad).all()
    zero = LearnedVectors("<x>", 0, torch.zeros(1, 2), max_norm=1.0)
    zero.rows().sum().backward()
    assert torch.isfinite(zero.weight.grad).all()


def test_statistics_are_norms_and_angles(sdxl_folder):
    model = build(sdxl_folder, TOY | {"num_vectors": 2})
    for encoder in ("text_encoder", "text_encoder_2"):
        table(model, encoder).learned[0].weight.data[1] *= -2
    figures = model.statistics()
    assert len(figures) == 2 * 2 * 2
    for encoder in ("text_encoder", "text_encoder_2"):
        start = table(model, encoder).learned[0].initial
        assert figures[f"toy/{encoder}/norm_0"] == pytest.approx(start[0].norm().item(), rel=1e-5)
        assert figures[f"toy/{encoder}/norm_1"] == pytest.approx(2 * start[1].norm().item(), rel=1e-5)
        assert figures[f"toy/{encoder}/cosine_0"] == pytest.approx(1.0)
        assert figures[f"toy/{encoder}/cosine_1"] == pytest.approx(-1.0)


def test_prompts_that_never_name_the_word_are_refused(sd_folder):
    model = build(sd_folder)
    model.check_prompts(["a dog", "A <TOY>"])
    with pytest.raises(ValueError, match=r"none of the 2 prompts .* has '<toy>'.*one is 'a cat'.*placeholder='<toy>'"):
        model.check_prompts(["a dog", "a cat"])


def test_it_trains_beside_adapters_and_whole_weights(sd_folder):
    lora = {"type": "LoRATuner", "component": "text_encoder", "rank": 2}
    for tuners in ([TOY, lora], [lora, TOY]):
        model = build(sd_folder, *tuners)
        names = model.trainable_parameters()
        assert sum("learned" in name for name in names) == 1 and sum("lora_" in name for name in names) == 24
        model(**batch("a <toy>"))["loss_denoising"].backward()
        assert all(value.grad is not None for value in names.values())
    kv = {"type": "FullTuner", "component": "unet", "pattern": r"attn2\.to_[kv]\."}
    assert len(build(sd_folder, kv, TOY).trainable_parameters()) == 33


def test_gradient_checkpointing_of_the_frozen_unet_does_not_change_the_gradients(sd_folder):
    grads = []
    for checkpointing in (False, True):
        model = build(sd_folder, TOY | {"seed": 0}, gradient_checkpointing=checkpointing)
        assert model.unet.is_gradient_checkpointing == checkpointing
        torch.manual_seed(0)
        model(**batch("a <toy>"))["loss_denoising"].backward()
        grads.append(table(model).learned[0].weight.grad)
    assert grads[0].abs().sum() > 0 and torch.allclose(*grads, rtol=1e-4, atol=1e-8)


def test_frozen_weights_in_bfloat16_learn_vectors_in_float32(sdxl_folder):
    model = build(sdxl_folder, frozen_dtype="bfloat16")
    assert table(model).weight.dtype == torch.bfloat16
    with torch.autocast("cpu", torch.bfloat16):
        model(**batch("a <toy>"))["loss_denoising"].backward()
    for value in model.trainable_parameters().values():
        assert value.dtype == torch.float32 and value.grad.abs().sum() > 0
    with model.sampling():
        assert model.generate(["a <toy>"], seeds=[0], num_inference_steps=2)[0].size == (32, 32)


@pytest.mark.parametrize("options, message", [
    ({"num_vectors": 0}, "num_vectors is 0; it must be 1 or more"),
    ({"placeholder_token": ""}, "placeholder_token is ''"),
    ({"placeholder_token": "my toy"}, "placeholder_token is 'my toy'; it must be one word in small letters"),
    ({"placeholder_token": "<Toy>"}, "placeholder_token is '<Toy>'.*do not see capitals"),
    ({"init_std": 0.0}, "init_std is 0.0; it must be above 0"),
    ({"init_std": 0.1, "initializer_token": "dog"}, "give it or initializer_token"),
    ({"max_norm": -1.0}, "max_norm is -1.0"),
    ({"seed": -1}, "seed is -1"),
])
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        TextualInversion(**({"placeholder_token": "<toy>"} | options))


@pytest.mark.parametrize("options, message", [
    ({"placeholder_token": "dog"}, "'dog' is a token of .*tiny-sd's tokenizer already"),
    ({"placeholder_token": "<|endoftext|>"}, "is a token of .* already"),
    ({"initializer_token": "dog bucket"}, r"'dog bucket', which is 2 tokens of .*\(dog</w>, bucket</w>\)"),
    ({"initializer_token": " "}, r"which is 0 tokens .*\(nothing\)"),
    ({"num_vectors": 76}, "'<toy>' of 76 vectors does not fit into a prompt: .* room for 75 tokens"),
])
def test_mistakes_that_a_tokenizer_shows_are_named(sd_folder, options, message):
    with pytest.raises(ValueError, match=f"TextualInversion: .*{message}"):
        build(sd_folder, TOY | options)


def test_a_word_is_taken_once(sd_folder):
    for other in ("<toy>", "<toy>_2", "<toy>_7"):
        with pytest.raises(ValueError, match=r"is a token of|reads as a vector of '<toy>'"):
            build(sd_folder, TOY, TOY | {"placeholder_token": other})
    with pytest.raises(ValueError, match="'<toy>_1' is a token of"):
        build(sd_folder, TOY | {"placeholder_token": "<toy>_1"}, TOY | {"num_vectors": 1})
