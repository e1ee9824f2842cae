"""Consistency distillation: closed forms of the solver, what the term is, and that the student alone learns."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, LCMScheduler

from diffkit.models import ConsistencyDistiller, GridTimesteps, LatentDiffusion
from diffkit.models.distillers.solver import boundary, ddim_step, split

KINDS = ("epsilon", "v_prediction", "sample")


def schedule(kind="epsilon"):
    return DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=kind,
                         clip_sample=False)


def known(kind, noise_schedule, timesteps):
    """Clean latents, noise, the noisy latents, and the perfect prediction."""
    torch.manual_seed(0)
    clean, noise = torch.randn(2, len(timesteps), 4, 3, 3)
    target = {"epsilon": noise, "sample": clean}.get(kind)
    if target is None:
        target = noise_schedule.get_velocity(clean, noise, timesteps)
    return clean, noise, noise_schedule.add_noise(clean, noise, timesteps), target


@pytest.mark.parametrize("kind", KINDS)
def test_a_perfect_prediction_gives_latents_and_noise_back(kind):
    noise_schedule, timesteps = schedule(kind), torch.tensor([19, 499, 999])
    clean, noise, noisy, target = known(kind, noise_schedule, timesteps)
    found = split(kind, target, noisy, noise_schedule.alphas_cumprod[timesteps])
    assert torch.allclose(found[0], clean, atol=1e-3) and torch.allclose(found[1], noise, atol=1e-4)
    earlier = timesteps - 19
    moved = ddim_step(*found, noise_schedule.alphas_cumprod[earlier])
    assert torch.allclose(moved, noise_schedule.add_noise(clean, noise, earlier), atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_step_is_that_of_ddim_in_diffusers(kind):
    noise_schedule, timesteps = schedule(kind), torch.tensor([499])
    _, _, noisy, _ = known(kind, noise_schedule, timesteps)
    prediction = torch.randn_like(noisy)
    ddim = DDIMScheduler.from_config(noise_schedule.config, timestep_spacing="leading", steps_offset=0)
    ddim.set_timesteps(50)
    expected = ddim.step(prediction, 499, noisy).prev_sample
    alphas = noise_schedule.alphas_cumprod
    moved = ddim_step(*split(kind, prediction, noisy, alphas[timesteps]), alphas[timesteps - 20])
    assert torch.allclose(moved, expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_jump_is_that_of_the_lcm_scheduler(kind):
    noise_schedule = schedule(kind)
    lcm = LCMScheduler.from_config(noise_schedule.config)
    lcm.set_timesteps(4)
    for t in lcm.timesteps:
        torch.manual_seed(int(t))
        noisy, prediction = torch.randn(2, 1, 4, 3, 3)
        clean, _ = split(kind, prediction, noisy, noise_schedule.alphas_cumprod[t][None])
        lcm._step_index = None
        expected = lcm.step(prediction, t, noisy).denoised
        assert torch.allclose(boundary(clean, noisy, t[None]), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(boundary(torch.ones(1, 4, 3, 3), noisy, torch.tensor([0])), noisy)


def test_the_grid_is_what_the_lcm_scheduler_visits():
    torch.manual_seed(0)
    drawn = set(GridTimesteps(50)(5000, 1000).tolist())
    assert drawn == set(range(19, 1000, 20))
    for steps in (1, 2, 4, 8):
        lcm = LCMScheduler.from_config(schedule().config)
        lcm.set_timesteps(steps)
        assert set(lcm.timesteps.tolist()) <= drawn
    with pytest.raises(ValueError, match="count must be 1 or more"):
        GridTimesteps(0)


def build(folder, **options):
    family = "StableDiffusionXL" if (folder / "text_encoder_2").is_dir() else "StableDiffusion"
    tuners = options.pop("tuners", {"unet": {"type": "FullTuner"}})
    torch.manual_seed(0)
    return LatentDiffusion(
        family={"type": family}, pretrained=str(folder), tuners=tuners,
        objective={"type": "Denoising", "loss_weight": 0.0, "timesteps": {"type": "GridTimesteps"}},
        distiller={"type": "ConsistencyDistiller", **options})


def batch(size=2):
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.rand(size, 3, 32, 32, generator=generator) * 2 - 1,
            "prompt": ["a photo of a dog"] * size, "key": [None] * size}


def test_the_term_is_the_hand_computed_one(sd_folder):
    model = build(sd_folder, guidance_scale=3.0, skip=40, weight=2.0, loss={"type": "MSELoss"})
    torch.manual_seed(5)
    term = model(**batch())["loss_consistency"]
    torch.manual_seed(5)
    with torch.no_grad():
        step = model.objective.prepare(model, batch())
        t, a = step.timesteps, model.noise_scheduler.alphas_cumprod
        s = (t - 40).clamp_min(0)
        c, empty = step.conditioning, model.family.encode_text(model.parts, ["", ""])
        words = model.predict(step.noisy_latents, t, c)
        none = model.predict(step.noisy_latents, t, empty)
        guided = none + 3.0 * (words - none)  # the student still is the teacher
        root = lambda x: x.sqrt()[:, None, None, None]  # noqa: E731
        clean = (step.noisy_latents - root(1 - a[t]) * guided) / root(a[t])
        path = root(a[s]) * clean + root(1 - a[s]) * guided
        clean_there = (path - root(1 - a[s]) * model.predict(path, s, c)) / root(a[s])
        clean_here = (step.noisy_latents - root(1 - a[t]) * words) / root(a[t])
        expected = (boundary(clean_here, step.noisy_latents, t) - boundary(clean_there, path, s)).square().mean()
    assert torch.allclose(term, 2.0 * expected, rtol=1e-3)


@pytest.mark.parametrize("tuner", ["FullTuner", "LoRATuner"])
@pytest.mark.parametrize("family", ["sd_folder", "sdxl_folder"])
def test_the_student_learns_and_the_teacher_does_not(request, family, tuner):
    model = build(request.getfixturevalue(family), tuners={"unet": {"type": tuner}}, guidance_scale=(2.0, 4.0))
    before = {name: value.clone() for name, value in model.distiller.frozen_tensors().items()}
    trained = model.trainable_parameters()
    optimizer = torch.optim.AdamW(trained.values(), lr=1e-3)
    values = []
    for _ in range(6):
        torch.manual_seed(1)
        terms = model(**batch())
        assert terms["loss_denoising"].item() == 0.0
        values.append(terms["loss_consistency"].item())
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    assert values[-1] < values[0]
    assert all(torch.equal(before[name], value) for name, value in model.distiller.frozen_tensors().items())
    assert any(value.grad.any() for value in trained.values())


def term_of(model):
    torch.manual_seed(5)
    return model(**batch())["loss_consistency"]


def test_the_target_is_an_average_of_the_student(sd_folder):
    model, plain = build(sd_folder, target_decay=0.75), build(sd_folder)
    assert torch.equal(term_of(model), term_of(plain))  # the average begins as the student
    first = {name: value.detach().clone() for name, value in model.trainable_parameters().items()}
    for one in (model, plain):
        torch.manual_seed(6)
        with torch.no_grad():
            for value in one.trainable_parameters().values():
                value.add_(0.1 * torch.randn_like(value))
    averages = {name: first[name] + 0.25 * (value - first[name])
                for name, value in model.trainable_parameters().items()}
    found, of_now = term_of(model), term_of(plain)
    said, predict = [], plain.predict

    def averaged_the_second_time(*args, weights=None):
        said.append(args)
        own = {name.removeprefix("unet."): value for name, value in averages.items()}
        return predict(*args, weights=own if len(said) == 2 else None)

    plain.predict = plain.distiller._predict = averaged_the_second_time
    assert torch.allclose(found, term_of(plain), rtol=1e-4) and len(said) == 2
    assert not torch.allclose(found, of_now, rtol=1e-2)


def test_the_average_comes_back_with_a_checkpoint(sd_folder):
    model = build(sd_folder, target_decay=0.9)
    with torch.no_grad():
        for value in model.trainable_parameters().values():
            value.mul_(1.1)
    term_of(model)
    state = {name: value.clone() for name, value in model.trainable_state().items()}
    again = build(sd_folder, target_decay=0.9)
    again.load_trainable_state(state)
    assert torch.equal(term_of(again), term_of(model))
    assert not any("average" in name for name in model.trainable_parameters())
    with pytest.raises(ValueError, match=r"missing: distiller\.average_0"):
        again.load_trainable_state({name: value for name, value in state.items() if "average_0" not in name})


def test_the_model_is_sampled_and_exported_with_the_lcm_scheduler(sd_folder, tmp_path):
    model = build(sd_folder)
    assert isinstance(model.pipeline().scheduler, LCMScheduler)
    first, second = (model.generate(["a dog"], seeds=[3], num_inference_steps=4, guidance_scale=1.0)[0].tobytes()
                     for _ in range(2))
    assert first == second


@pytest.mark.parametrize(("options", "message"), [
    ({"guidance_scale": 0.5}, "guidance_scale is 0.5; it must be 1 or more"),
    ({"guidance_scale": (4.0, 2.0)}, "the smaller first"), ({"skip": 0}, "skip is 0"),
    ({"weight": 0}, "weight is 0"),
    ({"target_decay": 1.0}, "target_decay is 1.0; it must be in"),
    ({"dtype": "int8"}, "dtype is 'int8'; allowed: float32")])
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ConsistencyDistiller(**options)
