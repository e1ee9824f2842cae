"""The terms that objectives give, against sums made by hand."""

import pytest
import torch

from diffkit.models import LatentDiffusion
from diffkit.models.objectives.reconstruction import gradient_error

BATCH = {"pixel_values": torch.linspace(-1, 1, 2 * 3 * 32 * 32).reshape(2, 3, 32, 32), "prompt": ["a dog", "a cat"]}


def build(folder, component="unet", **objective):
    return LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(folder), objective=objective,
                           tuners={"x": {"type": "FullTuner", "component": component}})


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_targets(sd_folder, kind):
    model = build(sd_folder, type="Denoising", prediction_type=kind)
    step = model.objective.prepare(model, BATCH)
    alpha = model.noise_scheduler.alphas_cumprod[step.timesteps].reshape(-1, 1, 1, 1)
    expected = {"epsilon": step.noise, "sample": step.latents,
                "v_prediction": alpha.sqrt() * step.noise - (1 - alpha).sqrt() * step.latents}
    assert torch.allclose(step.target, expected[kind], atol=1e-6)
    noisy = alpha.sqrt() * step.latents + (1 - alpha).sqrt() * step.noise
    assert torch.allclose(step.noisy_latents, noisy, atol=1e-6)


def test_min_snr_weighs_each_sample_by_its_own_timestep(sd_folder):
    model = build(sd_folder, type="Denoising", weighting={"type": "MinSNRWeight", "gamma": 5.0})
    torch.manual_seed(0)
    loss = model(**BATCH)["loss_denoising"]
    torch.manual_seed(0)
    step = model.objective.prepare(model, BATCH)
    alpha = model.noise_scheduler.alphas_cumprod[step.timesteps]
    snr = alpha / (1 - alpha)
    errors = ((model.predict(step.noisy_latents, step.timesteps, step.conditioning) - step.target) ** 2).mean((1, 2, 3))
    assert torch.allclose(loss, (errors * snr.clamp(max=5.0) / snr).mean(), rtol=1e-5)


def test_input_perturbation_changes_the_input_and_not_the_target(sd_folder):
    model = build(sd_folder, type="Denoising", noise={"type": "InputPerturbation", "strength": 0.5})
    step = model.objective.prepare(model, BATCH)
    plain = model.noise_scheduler.add_noise(step.latents, step.noise, step.timesteps)
    assert torch.equal(step.target, step.noise)
    assert not torch.allclose(step.noisy_latents, plain)


def test_a_loss_weight_of_zero_leaves_only_other_terms(sd_folder):
    assert build(sd_folder, type="Denoising", loss_weight=0.0)(**BATCH)["loss_denoising"] == 0


def test_unknown_prediction_type(sd_folder):
    with pytest.raises(ValueError, match="prediction_type is 'eps'"):
        build(sd_folder, type="Denoising", prediction_type="eps")


def test_reconstruction_trains_every_weight_of_the_vae(sd_folder):
    model = build(sd_folder, component="vae", type="Reconstruction")
    terms = model(**BATCH)
    sum(value for name, value in terms.items() if "loss" in name).backward()
    assert all(p.grad is not None for p in model.trainable_parameters().values())
    squared = terms["loss_mse"] / model.objective.mse
    assert torch.isclose(terms["psnr"], 10 * torch.log10(4 / squared))


@pytest.mark.parametrize("latent_std", [1.0, 0.5])
def test_reconstruction_sets_the_scaling_factor_that_gives_the_wanted_spread(sd_folder, latent_std):
    model = build(sd_folder, component="vae", type="Reconstruction", momentum=1.0, latent_std=latent_std)
    model(**BATCH)
    model.artifacts()
    posterior = model.vae.encode(BATCH["pixel_values"]).latent_dist
    spread = (posterior.mean.var() + posterior.var.mean()).sqrt()
    assert model.vae.config.scaling_factor == pytest.approx(latent_std / spread.item(), rel=1e-4)


def test_a_frozen_encoder_keeps_its_scaling_factor(sd_folder):
    model = LatentDiffusion(
        family={"type": "StableDiffusion"}, pretrained=str(sd_folder), objective={"type": "Reconstruction"},
        tuners={"decoder": {"type": "FullTuner", "component": "vae", "pattern": r"^(decoder|post_quant_conv)\."}})
    factor = model.vae.config.scaling_factor
    model(**BATCH)
    model.artifacts()
    assert model.vae.config.scaling_factor == factor


def test_gradient_error_of_a_ramp():
    ramp = torch.arange(4.0).expand(1, 1, 4, 4)  # rises by 1 along the width, constant along the height
    assert gradient_error(ramp, torch.zeros_like(ramp)) == 1.0


def test_a_teacher_of_the_unet_has_nothing_to_say_about_reconstruction():
    with pytest.raises(ValueError, match=r"model\.distiller: the objective Reconstruction does not run the UNet"):
        LatentDiffusion(family={"type": "StableDiffusion"}, pretrained="no/such/folder",
                        objective={"type": "Reconstruction"}, tuners={"vae": {"type": "FullTuner", "component": "vae"}},
                        distiller={"type": "DenoiserDistiller", "objectives": {"loss_output": {}}})
