"""The model's slots, its encodings, its sampling and its state."""

import pytest
import torch

from diffkit.models import LatentDiffusion
from diffkit.models.latent_diffusion import DISTILLERS, PRUNERS, QUANTIZERS
from diffkit.models.tuners import LoRATuner


def build(folder, **options):
    options.setdefault("tuners", {"unet": {"type": "LoRATuner", "rank": 2}})
    family = "StableDiffusionXL" if (folder / "text_encoder_2").is_dir() else "StableDiffusion"
    return LatentDiffusion(family={"type": family}, pretrained=str(folder), **options)


def batch(size=2, **fields):
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.rand(size, 3, 32, 32, generator=generator) * 2 - 1,
            "prompt": ["a photo of a dog"] * size, "key": [None] * size, **fields}


def test_slots_act_in_one_order(sd_folder, monkeypatch):
    order = []

    class Recorder:
        def __init__(self, name="slot"):
            self.name = name

        def __getattr__(self, event):
            return lambda *args: (order.append(f"{self.name}.{event}"), args[0])[1]

    for registry, name in ((DISTILLERS, "distiller"), (PRUNERS, "pruner"), (QUANTIZERS, "quantizer")):
        monkeypatch.setattr(registry, "build", lambda config, name=name: Recorder(name))
    apply, check = LoRATuner.apply, LoRATuner.check
    monkeypatch.setattr(LoRATuner, "check", lambda self, parts: (order.append("tuner.check"), check(self, parts)))
    monkeypatch.setattr(LoRATuner, "apply", lambda self, model: (order.append("tuner.apply"), apply(self, model)))
    build(sd_folder, distiller={"type": "x"}, pruner={"type": "x"}, quantizer={"type": "x"})
    checks = ["pruner.preview", "tuner.check", "distiller.check"]
    assert order[:3] == checks  # before weights are read
    assert [event for event in order if event not in checks] == [
        "distiller.take_teacher", "pruner.apply", "tuner.apply", "quantizer.apply", "distiller.attach"]


def test_only_what_a_tuner_names_is_trained(sd_folder):
    model = build(sd_folder, tuners={"kv": {"type": "FullTuner", "pattern": r"attn2\.to_[kv]\."}})
    names = model.trainable_parameters()
    assert names
    assert all("attn2.to_k." in name or "attn2.to_v." in name for name in names)
    assert len(names) == 2 * 16  # 16 cross-attention layers, as in SD 1.5


@pytest.mark.parametrize("options, message", [
    ({"tuners": {}}, "tuners is empty"),
    ({"prior_loss_weight": -1.0}, "prior_loss_weight is -1.0"),
    ({"frozen_dtype": "int3"}, "frozen_dtype is 'int3'"),
    ({"tuners": {"x": {"type": "FullTuner", "component": "unett"}}}, '"unet"'),
    ({"tuners": {"x": {"type": "FullTuner", "pattern": "attn3"}}}, "no parameter of 'unet' matches pattern 'attn3'"),
])
def test_mistakes_are_named(sd_folder, options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        build(sd_folder, **options)


def test_without_pretrained_and_scratch_there_is_nothing_to_train():
    with pytest.raises(ValueError, match=r"model\.pretrained is None"):
        LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=None, tuners={"x": {"type": "FullTuner"}})


def test_prior_weight_zero_is_the_loss_without_prior(sd_folder):
    model = build(sd_folder, prior_loss_weight=0.0)
    torch.manual_seed(1)
    together = model(**batch(2, is_prior=torch.tensor([False, True])))["loss_denoising"]
    step = None
    torch.manual_seed(1)
    step = model.objective.prepare(model, batch(2))
    prediction = model.predict(step.noisy_latents, step.timesteps, step.conditioning)
    alone = ((prediction - step.target) ** 2)[0].mean()
    assert torch.allclose(together, alone, rtol=1e-5)


def test_prior_is_added_with_its_weight(sd_folder):
    model = build(sd_folder, prior_loss_weight=0.5)
    torch.manual_seed(1)
    loss = model(**batch(3, is_prior=torch.tensor([False, False, True])))["loss_denoising"]
    torch.manual_seed(1)
    step = model.objective.prepare(model, batch(3))
    errors = ((model.predict(step.noisy_latents, step.timesteps, step.conditioning) - step.target) ** 2).mean((1, 2, 3))
    assert torch.allclose(loss, errors[:2].mean() + 0.5 * errors[2], rtol=1e-5)


def test_cached_latents_are_drawn_anew_from_the_same_distribution(sd_folder):
    model = build(sd_folder)
    pixels = batch(1)["pixel_values"]
    torch.manual_seed(3)
    first = model.encode_images(pixels, ["picture"])
    second = model.encode_images(torch.zeros_like(pixels), ["picture"])  # the key counts, not the pixels
    torch.manual_seed(3)
    uncached = model.encode_images(pixels)
    assert len(model.latent_cache) == 1
    assert torch.equal(first, uncached)
    assert not torch.equal(first, second)


def test_pictures_that_are_not_finite_are_told_by_row(sd_folder, monkeypatch):
    model, data = build(sd_folder), batch(3)
    assert model.non_finite_inputs(data) == {"pixels": [], "latents": []}
    data["pixel_values"][1, 0, 0, 0] = float("nan")
    encode = model.components["vae"].encode

    def overflowing(pixels):
        encoded = encode(pixels)
        encoded.latent_dist.mean[2] = float("inf")
        return encoded

    monkeypatch.setattr(model.components["vae"], "encode", overflowing)
    assert model.non_finite_inputs(data) == {"pixels": [1], "latents": [2]}


def test_the_vae_runs_in_float32_where_the_rest_runs_in_float16(sd_folder):
    model, pixels = build(sd_folder), batch()["pixel_values"]
    kinds = []
    model.components["vae"].encoder.conv_out.register_forward_hook(lambda *given: kinds.append(given[-1].dtype))
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype):
            model.encode_images(pixels)
    assert kinds == [torch.float32, torch.bfloat16]


def test_caches_are_off_where_what_made_them_is_trained(sd_folder):
    model = build(sd_folder, tuners={"vae": {"type": "FullTuner", "component": "vae"},
                                     "text": {"type": "LoRATuner", "component": "text_encoder"}})
    assert model.latent_cache is None
    assert model.text_cache is None


def test_cached_text_equals_encoded_text(sdxl_folder):
    model = build(sdxl_folder)
    fields = batch(3)
    fields["prompt"] = ["a dog", "a cat", "a dog"]
    cached = model.encode_prompts(fields)
    model.text_cache = None
    fresh = model.encode_prompts(fields)
    for (name, left), (_, right) in zip(cached.tensors(), fresh.tensors(), strict=True):
        assert torch.allclose(left, right, atol=1e-6), name


def test_sdxl_sees_the_sizes_of_its_pictures(sdxl_folder):
    model = build(sdxl_folder)
    conditioning = model.encode_prompts(batch(1, original_size=torch.tensor([[40, 50]]),
                                              crop_top_left=torch.tensor([[4, 9]])))
    assert conditioning.time_ids.tolist() == [[40, 50, 4, 9, 32, 32]]


def test_a_picture_depends_on_its_seed_and_not_on_its_batch(sd_folder):
    model = build(sd_folder)
    settings = {"num_inference_steps": 2, "guidance_scale": 2.0}
    with model.sampling():
        together = model.generate(["a dog", "a cat"], seeds=[5, 6], **settings)
        alone = model.generate(["a cat"], seeds=[6], **settings)
    difference = torch.tensor([abs(a - b) for a, b in zip(together[1].tobytes(), alone[0].tobytes(), strict=True)])
    assert difference.max() <= 1


def test_sampling_leaves_the_training_mode_as_it_was(sd_folder):
    model = build(sd_folder, tuners={"unet": {"type": "FullTuner"}})
    assert model.unet.training
    assert not model.vae.training  # frozen parts never train
    with model.sampling():
        assert not model.unet.training
    assert model.unet.training


def test_switched_off_adapters_show_the_base(sd_folder):
    model = build(sd_folder)
    step = model.objective.prepare(model, batch(1))

    def run():
        with model.sampling():
            return model.predict(step.noisy_latents, step.timesteps, step.conditioning)

    base = run()
    for name, parameter in model.trainable_parameters().items():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    changed = run()
    with model.adapters_disabled():
        switched_off = run()
    assert not torch.allclose(base, changed)
    assert torch.equal(base, switched_off)
    assert torch.equal(changed, run())


def test_the_base_of_full_training_cannot_be_switched_off(sd_folder):
    model = build(sd_folder, tuners={"unet": {"type": "FullTuner"}})
    with pytest.raises(NotImplementedError, match="cannot be switched off"), model.adapters_disabled():
        pass


def test_state_holds_what_is_trained_and_comes_back(sd_folder):
    model, other = build(sd_folder), build(sd_folder)
    for parameter in model.trainable_parameters().values():
        torch.nn.init.normal_(parameter)
    other.load_trainable_state(model.trainable_state())
    assert all("lora_" in name for name in model.trainable_state())
    for name, value in model.trainable_state().items():
        assert torch.equal(value, other.trainable_state()[name])


def test_a_state_that_does_not_fit_changes_nothing(sd_folder):
    model = build(sd_folder)
    state = {name: torch.zeros_like(value) for name, value in model.trainable_state().items()}
    first = next(iter(state))
    state[first + ".typo"] = state.pop(first)
    before = {name: value.clone() for name, value in model.trainable_state().items()}
    with pytest.raises(ValueError, match=r"missing: .*unknown: "):
        model.load_trainable_state(state)
    assert all(torch.equal(value, before[name]) for name, value in model.trainable_state().items())


def test_the_digest_of_frozen_weights_follows_them(sd_folder):
    model = build(sd_folder)
    first = model.frozen_digest()
    for parameter in model.trainable_parameters().values():
        torch.nn.init.normal_(parameter)
    assert model.frozen_digest() == first
    model.unet.conv_in.weight.data[0, 0, 0, 0] += 1
    assert model.frozen_digest() != first


def test_frozen_weights_in_bfloat16_train_adapters_in_float32(sd_folder):
    model = build(sd_folder, frozen_dtype="bfloat16")
    assert model.unet.conv_in.weight.dtype == torch.bfloat16
    assert model.vae.decoder.conv_out.weight.dtype == torch.float32
    assert {p.dtype for p in model.trainable_parameters().values()} == {torch.float32}
    with torch.autocast("cpu", torch.bfloat16):
        model(**batch())["loss_denoising"].backward()
    assert all(p.grad is not None for p in model.trainable_parameters().values())
    with model.sampling():
        assert model.generate(["a dog"], seeds=[0], num_inference_steps=2)[0].size == (32, 32)


def test_gradient_checkpointing_does_not_change_the_gradients(sd_folder):
    grads = []
    for checkpointing in (False, True):
        model = build(sd_folder, tuners={"unet": {"type": "FullTuner"}}, gradient_checkpointing=checkpointing)
        torch.manual_seed(0)
        model(**batch())["loss_denoising"].backward()
        grads.append([p.grad for p in model.trainable_parameters().values()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads, strict=True))


def test_predict_gives_a_picture_for_each_prompt(sd_folder):
    model = build(sd_folder, generation={"num_inference_steps": 2})
    samples = model(mode="predict", prompt=["a dog", "a cat"], seed=[1, 2], expected=[{"shape": "x"}, {}])
    assert [sample["prompt"] for sample in samples] == ["a dog", "a cat"]
    assert samples[0]["image"].shape == (32, 32, 3)
    assert samples[0]["expected"] == {"shape": "x"}
