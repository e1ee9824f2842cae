"""A teacher beside the student: what it adds to the loss, and what it leaves alone."""

import pytest
import torch
from torch import Tensor

from diffkit.models import LatentDiffusion
from diffkit.models.distillers import PAIRS, DenoiserDistiller
from diffkit.models.distillers.recorder import Recorder
from diffkit.registry import LOSSES

OUTPUT = {"loss_output": {"weight": 0.5}}
BOTH = {"loss_output": {"weight": 0.5}, "loss_feature": {"weight": 0.25, "pairs": "sd_small"}}


def distiller(objectives=BOTH, **options):
    return {"type": "DenoiserDistiller", "objectives": objectives, **options}


def build(folder, **options):
    options.setdefault("tuners", {"unet": {"type": "FullTuner"}})
    options.setdefault("distiller", distiller())
    family = "StableDiffusionXL" if (folder / "text_encoder_2").is_dir() else "StableDiffusion"
    torch.manual_seed(0)
    return LatentDiffusion(family={"type": family}, pretrained=str(folder), **options)


def batch(size=2, **fields):
    generator = torch.Generator().manual_seed(0)
    return {"pixel_values": torch.rand(size, 3, 32, 32, generator=generator) * 2 - 1,
            "prompt": ["a photo of a dog"] * size, "key": [None] * size, **fields}


def shaken(model, by=0.05):
    """The student, moved away from its teacher."""
    torch.manual_seed(1)
    for parameter in model.trainable_parameters().values():
        parameter.data.add_(torch.randn_like(parameter), alpha=by)
    return model


def run(model, seed=5, **fields):
    torch.manual_seed(seed)
    return model(**batch(**fields))


def test_an_identical_student_has_nothing_to_learn(sd_folder):
    terms = run(build(sd_folder))
    assert terms["loss_output"].item() == 0.0
    assert terms["loss_feature"].item() == 0.0
    assert terms["loss_denoising"].item() > 0.0


def test_terms_are_the_hand_computed_sums(sd_folder):
    model = shaken(build(sd_folder))
    terms = run(model)
    torch.manual_seed(5)
    step = model.objective.prepare(model, batch())
    teacher = build(sd_folder, distiller=None).unet
    sides = []
    for unet in (model.unet, teacher):
        names = [f"{side}_blocks.{i}" for side in ("down", "up") for i in range(4)] + ["mid_block"]
        with Recorder(unet, names) as recorder, torch.no_grad():
            output = unet(step.noisy_latents, step.timesteps, **step.conditioning.unet_arguments()).sample
        sides.append((output, recorder.outputs))
    (student_output, student), (teacher_output, taught) = sides
    assert len(taught) == 9
    features = sum(((student[name] - taught[name]) ** 2).mean() for name in taught)
    assert torch.allclose(terms["loss_output"], 0.5 * ((student_output - teacher_output) ** 2).mean(), rtol=1e-5)
    assert torch.allclose(terms["loss_feature"], 0.25 * features, rtol=1e-5)


def test_the_teacher_stays_bit_identical_and_every_student_weight_learns(sd_folder):
    model = shaken(build(sd_folder))
    before = {name: value.clone() for name, value in model.distiller.frozen_tensors().items()}
    student = model.trainable_parameters()
    optimizer = torch.optim.AdamW(student.values(), lr=1e-3)
    distances = []
    for _ in range(4):
        terms = run(model)
        distances.append((terms["loss_output"] + terms["loss_feature"]).item())
        optimizer.zero_grad()
        sum(terms.values()).backward()
        assert all(value.grad is not None and value.grad.any() for value in student.values())
        optimizer.step()
    assert distances[-1] < distances[0]
    after = model.distiller.frozen_tensors()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(value.grad is None and not value.requires_grad for value in after.values())


def test_the_teacher_alone_gives_gradients_where_the_task_has_no_weight(sd_folder):
    model = shaken(build(sd_folder, objective={"type": "Denoising", "loss_weight": 0.0}))
    terms = run(model)
    assert terms["loss_denoising"].item() == 0.0
    sum(terms.values()).backward()
    assert all(value.grad.any() for value in model.trainable_parameters().values())


def test_the_teacher_is_outside_of_modules_states_and_checkpoints(sd_folder):
    model, alone = build(sd_folder), build(sd_folder, distiller=None)
    assert model.state_dict().keys() == alone.state_dict().keys()
    assert model.trainable_state().keys() == alone.trainable_state().keys()
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in alone.named_parameters()]
    assert model.frozen_digest() != alone.frozen_digest()  # a resumed training needs the same teacher
    assert not model.distiller._teacher.unet.training


def test_the_teacher_goes_where_the_model_goes(sd_folder):
    model = build(sd_folder).to("meta")
    assert {value.device.type for value in model.distiller.frozen_tensors().values()} == {"meta"}


def test_layers_are_recorded_in_a_step_and_nowhere_else(sd_folder):
    model = build(sd_folder)
    hooks = [layer for unet in (model.unet, model.distiller._teacher.unet) for layer in unet.modules()]
    run(model)
    assert not any(layer._forward_hooks for layer in hooks)
    with model.recording():
        assert len([layer for layer in hooks if layer._forward_hooks]) == 9
    assert not any(layer._forward_hooks for layer in hooks)


def test_a_weight_of_zero_leaves_a_term_out_and_all_zero_the_teacher(sd_folder):
    model = build(sd_folder, distiller=distiller({"loss_output": {"weight": 0.0}, "loss_feature": {
        "weight": 1.0, "pairs": [("mid_block", "mid_block")]}}))
    assert run(model).keys() == {"loss_denoising", "loss_feature"}
    without = build(sd_folder, distiller=distiller({"loss_output": {"weight": 0.0}}))
    assert run(without).keys() == {"loss_denoising"}
    assert without.distiller.frozen_tensors() == {}


@pytest.mark.parametrize("weight, expected", [(0.0, [1, 0]), (0.5, [1, 0.5])])
def test_prior_samples_have_their_weight_in_the_terms_of_the_teacher(sd_folder, weight, expected):
    model = shaken(build(sd_folder, distiller=distiller(OUTPUT), prior_loss_weight=weight))
    terms = run(model, is_prior=torch.tensor([False, True]))
    torch.manual_seed(5)
    step = model.objective.prepare(model, batch())
    with torch.no_grad():
        student = model.predict(step.noisy_latents, step.timesteps, step.conditioning)
        teacher, _ = model.distiller._teacher.run(step, [])
    each = ((student - teacher) ** 2).mean((1, 2, 3))
    assert torch.allclose(terms["loss_output"], 0.5 * (each * torch.tensor(expected)).sum(), rtol=1e-5)


def test_noise_level_weights_are_for_the_task_unless_asked_for(sd_folder):
    objective = {"type": "Denoising", "weighting": {"type": "MinSNRWeight", "gamma": 1e-3}}
    plain = run(shaken(build(sd_folder, distiller=distiller(OUTPUT), objective=objective)))
    weighed = run(shaken(build(sd_folder, objective=objective, distiller=distiller(
        {"loss_output": {"weight": 0.5, "snr_weighted": True}}))))
    unweighted = run(shaken(build(sd_folder, distiller=distiller(OUTPUT))))
    assert torch.equal(plain["loss_output"], unweighted["loss_output"])
    assert plain["loss_denoising"] < unweighted["loss_denoising"]
    assert weighed["loss_output"] < plain["loss_output"]


def test_another_pipeline_teaches(sd_folder, tmp_path):
    from tests.tiny import tiny_sd

    other = tiny_sd(tmp_path / "other", seed=3)
    model = build(sd_folder, distiller=distiller(teacher=str(other)))
    wanted = build(other, distiller=None).unet.state_dict()
    assert all(torch.equal(wanted[name], value) for name, value in model.distiller.frozen_tensors().items())
    assert run(model)["loss_output"].item() > 0
    same = build(sd_folder, distiller=distiller(teacher=str(sd_folder)))
    assert run(same)["loss_output"].item() == 0


def test_a_teacher_that_sees_other_latents_or_text_is_refused(sd_folder, tmp_path):
    from diffusers import DDPMScheduler

    from tests.tiny import tiny_sd

    other = tiny_sd(tmp_path / "other", unet={"cross_attention_dim": 24})
    with pytest.raises(ValueError, match=r"model\.distiller\.teacher .* its unet\.cross_attention_dim is 24"):
        build(sd_folder, distiller=distiller(teacher=str(other)))
    velocity = tiny_sd(tmp_path / "velocity")
    scheduler = DDPMScheduler.from_pretrained(velocity, subfolder="scheduler")
    scheduler.register_to_config(prediction_type="v_prediction")
    scheduler.save_pretrained(velocity / "scheduler")
    with pytest.raises(ValueError, match=r"prediction_type is 'v_prediction', the model's is 'epsilon'"):
        build(sd_folder, distiller=distiller(teacher=str(velocity)))
    with pytest.raises(ValueError, match=r"model\.distiller\.teacher .*there is none"):
        build(sd_folder, distiller=distiller(teacher="./missing"))


def test_a_teacher_in_bfloat16_teaches_nearly_the_same(sd_folder):
    exact = run(shaken(build(sd_folder)))["loss_output"].item()
    model = shaken(build(sd_folder, distiller=distiller(dtype="bfloat16")))
    assert {value.dtype for value in model.distiller.frozen_tensors().values()} == {torch.bfloat16}
    assert run(model)["loss_output"].item() == pytest.approx(exact, rel=0.2)


def test_the_teacher_is_shown_to_paint_pictures(sd_folder, tmp_path):
    pruner = {"type": "BlockRemoval", "variant": "sd_tiny"}
    model = build(sd_folder, pruner=pruner, distiller=distiller(OUTPUT))
    settings = {"seeds": [1], "num_inference_steps": 2}
    whole = build(sd_folder, distiller=None).generate(["a dog"], **settings)[0].tobytes()
    student = model.unet
    with model.sampling():
        with model.teacher_shown():
            assert model.generate(["a dog"], **settings)[0].tobytes() == whole
        assert model.unet is student
        assert model.generate(["a dog"], **settings)[0].tobytes() != whole
    assert student.training
    assert model.painter == str(sd_folder)
    assert "sd_tiny" in build(sd_folder, pruner=pruner, distiller=None).painter


def test_adapters_words_and_gradient_checkpointing_meet_a_teacher(sd_folder):
    lora = {"unet": {"type": "LoRATuner", "rank": 2}, "word": {"type": "TextualInversion", "placeholder_token": "<x>"}}
    terms = [run(shaken(build(sd_folder, tuners=lora, gradient_checkpointing=checkpointing)))
             for checkpointing in (False, True)]
    for name, value in terms[0].items():
        assert value > 0
        assert torch.allclose(value, terms[1][name], rtol=1e-4)


def test_gradients_are_the_same_with_gradient_checkpointing(sd_folder):
    grads = []
    deep = {"loss_feature": {"pairs": [("down_blocks.1.attentions.0.proj_out",) * 2, ("mid_block",) * 2]}}
    for checkpointing in (False, True):
        model = shaken(build(sd_folder, gradient_checkpointing=checkpointing, distiller=distiller(deep)))
        sum(run(model).values()).backward()
        grads.append([value.grad for value in model.trainable_parameters().values()])
    assert all(torch.allclose(a, b, atol=1e-6, rtol=1e-4) for a, b in zip(*grads, strict=True))


def test_a_linear_connector_begins_as_identity_and_is_trained(sd_folder):
    objectives = {"loss_feature": {"pairs": "sd_small", "connector": "linear"}}
    model = build(sd_folder, distiller=distiller(objectives))
    assert run(model)["loss_feature"].item() == 0.0
    maps = {name for name in model.trainable_parameters() if name.startswith("distiller.connectors.loss_feature.")}
    assert len(maps) == 2 * 9
    assert maps < model.trainable_state().keys()
    sum(run(shaken(model)).values()).backward()
    assert all(model.trainable_parameters()[name].grad.any() for name in maps)


def test_a_linear_connector_maps_other_channels(sd_folder):
    pairs = [("down_blocks.0.resnets.0", "down_blocks.0.resnets.1"), ("up_blocks.3", "up_blocks.2.attentions.2")]
    with pytest.raises(ValueError, match=r"gives \[1, 8, 16, 16\], 'up_blocks.2.attentions.2' of the teacher "
                                         r"\[1, 16, 8, 8\]"):
        build(sd_folder, distiller=distiller({"loss_feature": {"pairs": pairs}}))
    wider = [("down_blocks.0.resnets.1", "down_blocks.0.resnets.1"), ("up_blocks.2", "up_blocks.3.resnets.0.norm1")]
    with pytest.raises(ValueError, match="connector='linear' maps channels"):
        build(sd_folder, distiller=distiller({"loss_feature": {"pairs": wider}}))
    model = build(sd_folder, distiller=distiller({"loss_feature": {"pairs": wider, "connector": "linear"}}))
    assert model.distiller.connectors["loss_feature"][1].weight.shape == (24, 16)
    assert run(model)["loss_feature"].item() > 0


def test_pairs_that_do_not_exist_are_named_before_weights_are_read(sd_folder, monkeypatch):
    from diffkit.models.families import base

    monkeypatch.setattr(base, "load_network", lambda *_: pytest.fail("weights were read"))
    pairs = [("down_blocks.0", "down_block.0"), ("mid_blok", "mid_block")]
    with pytest.raises(ValueError) as error:
        build(sd_folder, distiller=distiller({"loss_feature": {"pairs": pairs}}))
    assert "the student has no layer 'mid_blok'; did you mean \"mid_block\"" in str(error.value)
    assert "the teacher has no layer 'down_block.0'; did you mean \"down_blocks.0\"" in str(error.value)
    with pytest.raises(ValueError, match="names a layer without an output"):
        build(sd_folder, distiller=distiller({"loss_feature": {"pairs": [("up_blocks", "up_blocks")]}}))


@pytest.mark.parametrize("objectives, error, message", [
    ({}, ValueError, "objectives is empty"),
    ({"output": {}}, ValueError, "has 'output': a name must begin with 'loss_'"),
    ({"loss_output": {"weigth": 1}}, TypeError, r"objectives\['loss_output'\]: .*weigth"),
    ({"loss_output": {"weight": -1}}, ValueError, "weight is -1"),
    ({"loss_output": {"connector": "linear"}}, ValueError, "give pairs"),
    ({"loss_f": {"pairs": "sd_smal"}}, ValueError, 'did you mean "sd_small"'),
    ({"loss_f": {"pairs": []}}, ValueError, "pairs is empty"),
    ({"loss_f": {"pairs": ["mid_block"]}}, ValueError, "given 'mid_block'"),
    ({"loss_f": {"loss": {"type": "MinSNRWeight"}}}, TypeError, r"called with \(student, teacher\).*MinSNRWeight said"),
    ({"loss_f": {"loss": {"type": "WholeBatch"}}}, TypeError, r"WholeBatch gave \[\] for two samples"),
])
def test_mistakes_are_named(objectives, error, message):
    with pytest.raises(error, match=message):
        DenoiserDistiller(objectives)


@LOSSES.register_module()
class WholeBatch:
    """A loss that is no loss of samples."""

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student - teacher).abs().mean()


@LOSSES.register_module()
class Distance:
    """A loss of somebody else's, with an argument."""

    def __init__(self, power: float = 1.0) -> None:
        self.power = power

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        return ((student - teacher).abs() ** self.power).flatten(1).mean(1)


def test_any_registered_loss_compares(sd_folder):
    squared, plain = (run(shaken(build(sd_folder, distiller=distiller(
        {"loss_output": {"loss": {"type": "Distance", "power": power}}}))))["loss_output"] for power in (2.0, 1.0))
    known = run(shaken(build(sd_folder, distiller=distiller({"loss_output": {}}))))["loss_output"]
    assert torch.allclose(squared, known, rtol=1e-5)
    assert not torch.allclose(plain, known, rtol=1e-2)


def test_the_lists_of_pairs_are_those_of_the_references():
    counts = {"bk_base": 8, "bk_small": 8, "bk_tiny": 6, "sd_small": 9, "sd_tiny": 6, "sdxl_small": 7, "sdxl_tiny": 6,
              "ssd_1b": 26, "vega": 26}
    assert {name: len(pairs) for name, pairs in PAIRS.items()} == counts
    assert not any("mid_block" in path for name in counts if name.startswith("bk_")
                   for pair in PAIRS[name] for path in pair)
    assert ("down_blocks.2", "up_blocks.0") in PAIRS["sd_tiny"]
    assert ("down_blocks.2", "mid_block") in PAIRS["sdxl_tiny"]
    assert ("mid_block.resnets.0", "mid_block.resnets.1") in PAIRS["ssd_1b"]
