"""Block removal: which layers stay, and that they are the teacher's."""

import json
from copy import deepcopy

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from diffkit.models import LatentDiffusion
from diffkit.models.families.unet_configs import SD15, SDXL, UNETS
from diffkit.models.pruners import VARIANTS, BlockRemoval, prune, weight_map
from diffkit.models.twin import empty_unet, example_inputs
from tests.tiny import SD_SPEC, SDXL_SPEC

SD21 = {**SD15, "attention_head_dim": (5, 10, 20, 20), "cross_attention_dim": 1024, "use_linear_projection": True}
#: (teacher, variant): parameters and tensors of the published student
SIZES = {
    ("sd15", "sd_small"): (579_384_964, 442), ("sd15", "sd_tiny"): (323_384_964, 358),
    ("sd15", "bk_base"): (579_384_964, 442), ("sd15", "bk_small"): (482_346_884, 396),
    ("sd15", "bk_tiny"): (323_384_964, 358),
    ("sd21", "bk_base"): (583_480_964, 442), ("sd21", "bk_small"): (485_787_524, 396),
    ("sd21", "bk_tiny"): (326_825_604, 358),
    ("sdxl", "sdxl_small"): (1_717_277_764, 1110), ("sdxl", "sdxl_tiny"): (1_304_160_324, 884),
    ("sdxl", "ssd_1b"): (1_331_334_404, 944), ("sdxl", "vega"): (745_225_604, 564)}


@pytest.fixture(scope="module")
def teachers():
    return {"sd15": empty_unet(SD15), "sd21": empty_unet(SD21), "sdxl": empty_unet(SDXL)}


def tiny(family="sd", **changes):
    spec = {"sd": SD_SPEC, "sdxl": SDXL_SPEC}[family]["unet"]
    torch.manual_seed(0)
    return UNet2DConditionModel(**{**spec, **changes}).requires_grad_(False).eval()


def run(unet, seed=0):
    inputs = example_inputs(unet.config, tokens=5, device="cpu")
    generator = torch.Generator().manual_seed(seed)
    for name in ("sample", "encoder_hidden_states"):
        inputs[name] = torch.randn(inputs[name].shape, generator=generator)
    with torch.no_grad():
        return unet(**inputs).sample


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("teacher", "variant"), SIZES)
def test_a_student_of_real_size_has_the_published_numbers(teachers, teacher, variant):
    student = prune(teachers[teacher], VARIANTS[variant])
    assert (count(student), len(student.state_dict())) == SIZES[teacher, variant]


def test_sections_of_a_tiny_student_of_real_size(teachers):
    student = prune(teachers["sd15"], VARIANTS["sd_tiny"])
    assert [count(block) for block in student.down_blocks] == [5_723_200, 19_433_600, 59_345_920]
    assert [count(block) for block in student.up_blocks] == [174_405_120, 49_520_640, 12_881_920]
    assert student.mid_block is None
    assert student.num_upsamplers == 2


@pytest.mark.parametrize(("variant", "known"), [("sd_small", "small-sd"), ("bk_small", "bk-small"),
                                                ("sd_tiny", "tiny-sd")])
def test_the_config_of_a_student_is_the_published_one(teachers, variant, known):
    student = prune(teachers["sd15"], VARIANTS[variant])
    assert {name: student.config[name] for name in UNETS[known]} == UNETS[known]


def sd_sources(keys, variant):
    """The teacher's name for each of the student's, written down from the references and not from the rules."""
    moved = {}
    for key in keys:
        source = key
        block = key.split(".")
        if block[0] == "up_blocks":
            level = int(block[1]) + (1 if variant == "sd_tiny" else 0)
            layer = {"1": "2"}.get(block[3], block[3]) if block[2] in ("resnets", "attentions") else block[3]
            source = ".".join(["up_blocks", str(level), block[2], layer, *block[4:]])
        moved[key] = source
    return moved


@pytest.mark.parametrize("variant", ["sd_small", "bk_small", "sd_tiny"])
def test_every_weight_is_that_of_its_teacher_layer(variant):
    teacher = tiny()
    student = prune(teacher, VARIANTS[variant])
    sources, before = sd_sources(student.state_dict(), variant), teacher.state_dict()
    assert weight_map(teacher, VARIANTS[variant]) == sources
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[sources[name]]), name
        assert value.data_ptr() != before[sources[name]].data_ptr()  # a copy
    assert before["up_blocks.3.resnets.1.conv1.weight"].shape == before["up_blocks.3.resnets.2.conv1.weight"].shape
    assert sources["up_blocks.2.resnets.1.conv1.weight"].endswith("resnets.2.conv1.weight")


@pytest.mark.parametrize("variant", ["sdxl_small", "sdxl_tiny", "ssd_1b", "vega"])
def test_every_weight_of_an_sdxl_student_is_that_of_its_teacher_layer(variant):
    teacher = tiny("sdxl", transformer_layers_per_block=(1, 2, 10))
    student, before = prune(teacher, VARIANTS[variant]), teacher.state_dict()
    for name, value in student.state_dict().items():
        source = name
        if variant.startswith("sdxl_") and name.startswith("up_blocks"):
            source = name.replace("resnets.1.", "resnets.2.", 1).replace("attentions.1.", "attentions.2.", 1)
        assert torch.equal(value, before[source]), name
    assert torch.isfinite(run(student)).all()


def surgery(teacher, variant):
    """The other way to the same student: a copy of the teacher without some of its modules (segmind)."""
    unet = deepcopy(teacher)
    if variant == "sd_tiny":
        unet.down_blocks, unet.up_blocks = unet.down_blocks[:3], unet.up_blocks[1:]
        unet.down_blocks[2].downsamplers = None
        unet.num_upsamplers = 2
    for block in unet.down_blocks:
        block.resnets = block.resnets[:1]
        if hasattr(block, "attentions"):
            block.attentions = block.attentions[:1]
    for block in unet.up_blocks:
        for name in ("resnets", "attentions"):
            if hasattr(block, name):
                layers = getattr(block, name)
                setattr(block, name, nn.ModuleList([layers[0], layers[2]]))
    if variant != "sd_small":
        unet.mid_block = None
    return unet


@pytest.mark.parametrize("variant", ["sd_small", "bk_small", "sd_tiny"])
def test_a_student_computes_what_surgery_on_the_teacher_does(variant):
    teacher = tiny()
    assert torch.equal(run(prune(teacher, VARIANTS[variant])), run(surgery(teacher, variant)))


def assert_same(student, again):
    """Weights bit for bit; outputs up to the rounding of kernels, which depends on where a tensor lies in memory."""
    state = again.state_dict()
    assert state.keys() == student.state_dict().keys()
    assert all(torch.equal(value, state[name]) for name, value in student.state_dict().items())
    assert torch.allclose(run(student), run(again.eval()), atol=1e-6)


@pytest.mark.parametrize("variant", ["sd_small", "bk_small", "sd_tiny"])
def test_a_saved_student_comes_back_with_its_own_config(variant, tmp_path):
    student = prune(tiny(), VARIANTS[variant])
    student.save_pretrained(tmp_path)
    again, info = UNet2DConditionModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    assert_same(student, again)


def test_asymmetric_students_come_back_too(tmp_path):
    for variant in ("ssd_1b", "vega"):
        student = prune(tiny("sdxl", transformer_layers_per_block=(1, 2, 10)), VARIANTS[variant])
        student.save_pretrained(tmp_path / variant)
        assert_same(student, UNet2DConditionModel.from_pretrained(tmp_path / variant))


def test_a_student_can_be_a_teacher():
    small = prune(tiny(), VARIANTS["sd_small"])
    less = prune(small, ["mid_block"])
    assert torch.equal(run(less), run(prune(tiny(), VARIANTS["bk_small"])))


def test_rules_may_name_single_levels_attentions_and_the_middle():
    teacher = tiny()
    one = prune(teacher, ["down_blocks.1.resnets.1", "down_blocks.1.attentions.1", "up_blocks.2.resnets.1",
                          "up_blocks.2.attentions.1"])
    assert list(one.config.layers_per_block) == [2, 1, 2, 2]
    plain = prune(teacher, ["down_blocks.0.attentions", "up_blocks.3.attentions", "mid_block.attentions",
                            "mid_block.resnets.1"])
    assert plain.config.down_block_types[0] == "DownBlock2D"
    assert plain.config.up_block_types[3] == "UpBlock2D"
    assert plain.config.mid_block_type == "UNetMidBlock2D"
    for student in (one, plain):
        assert count(student) < count(teacher)
        assert torch.isfinite(run(student)).all()


def test_mini_sd_has_the_anatomy_for_it():
    from diffkit.utils.pretrained import resolve_pretrained

    unet = UNet2DConditionModel.from_pretrained(resolve_pretrained("mini-sd"), subfolder="unet")
    shares = {variant: count(prune(unet, VARIANTS[variant])) / count(unet)
              for variant in ("sd_small", "bk_small", "sd_tiny")}
    assert 0.5 < shares["sd_small"] < 0.75
    assert shares["sd_tiny"] < shares["bk_small"] < shares["sd_small"]


@pytest.mark.parametrize(("patterns", "message"), [
    (["down_block.0"], 'names no layer of this UNet; did you mean "down_blocks.0"'),
    (["mid_blocks"], 'did you mean "mid_block"'),
    (["down_blocks.0.resnets.1", "down_blocks.0.attentions.1"], "up_blocks.3.resnets 3: the way up needs one more"),
    (["down_blocks.3"], "a level goes with both"),
    (["down_blocks.0.resnets.1", "up_blocks.3.resnets.1"], "keeps 1 layers, with 2 attentions"),
    (["down_blocks.0.resnets.0", "down_blocks.0.attentions.0", "up_blocks.3.resnets.0", "up_blocks.3.attentions.0"],
     "no UNet of diffusers is what is left here"),
    (["down_blocks.1", "up_blocks.2"], "no UNet of diffusers is what is left here"),
])
def test_rules_that_leave_no_unet_are_refused_in_words(patterns, message):
    with pytest.raises(ValueError) as error:
        prune(tiny(), patterns)
    assert message in str(error.value)


@pytest.mark.parametrize(("options", "message"), [
    ({}, "give variant, remove or ranking_file"),
    ({"variant": "sd_smal"}, 'variant is \'sd_smal\'; did you mean "sd_small"'),
    ({"remove": "mid_block"}, "it must be a list"),
    ({"variant": "sd_small", "units": 0}, "units is 0"),
    ({"ranking_file": "missing.json"}, "is no ranking of diffkit sensitivity"),
])
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError) as error:
        BlockRemoval(**options)
    assert message in str(error.value)


def test_a_ranking_says_what_is_removed(tmp_path):
    path = tmp_path / "ranking.json"
    path.write_text(json.dumps({"ranking": [{"remove": ["mid_block"]}, {"remove": ["down_blocks.3", "up_blocks.0"]}]}))
    assert BlockRemoval(ranking_file=path).patterns == ("mid_block",)
    assert BlockRemoval(ranking_file=path, units=2).patterns == ("mid_block", "down_blocks.3", "up_blocks.0")
    with pytest.raises(ValueError, match=r"units is 3; .* ranks 2"):
        BlockRemoval(ranking_file=path, units=3)


def build(folder, **options):
    options.setdefault("tuners", {"unet": {"type": "FullTuner"}})
    options.setdefault("pruner", {"type": "BlockRemoval", "variant": "sd_tiny"})
    family = "StableDiffusionXL" if (folder / "text_encoder_2").is_dir() else "StableDiffusion"
    return LatentDiffusion(family={"type": family}, pretrained=str(folder), **options)


def test_the_model_has_the_student_and_the_teacher_its_old_weights(sd_folder):
    distiller = {"type": "DenoiserDistiller", "objectives": {
        "loss_output": {}, "loss_feature": {"pairs": "sd_tiny"}}}
    model, whole = build(sd_folder, distiller=distiller), build(sd_folder, pruner=None).unet
    assert len(model.unet.down_blocks) == 3
    assert model.pipeline().unet is model.unet
    teacher = model.distiller.frozen_tensors()
    assert all(torch.equal(value, teacher[name]) for name, value in whole.state_dict().items())
    assert all(value.requires_grad for value in model.unet.parameters())
    assert model.pruner.parameters == (count(whole), count(model.unet))
    terms = model(pixel_values=torch.rand(2, 3, 32, 32), prompt=["a dog"] * 2, key=[None] * 2)
    assert terms["loss_feature"] > 0
    sum(terms.values()).backward()
    assert all(value.grad is not None for value in model.unet.parameters())


def test_mistakes_with_a_pruner_show_before_weights_are_read(sd_folder, monkeypatch):
    from diffkit.models.families import base

    monkeypatch.setattr(base, "load_network", lambda *_: pytest.fail("weights were read"))
    for options, message in (
            ({"pruner": {"type": "BlockRemoval", "remove": ["down_blocks.7"]}}, "names no layer"),
            ({"tuners": {"x": {"type": "FullTuner", "pattern": "mid_block"}}}, "matches pattern 'mid_block'"),
            ({"distiller": {"type": "DenoiserDistiller", "objectives": {"loss_feature": {"pairs": "sd_small"}}}},
             "the student has no layer 'mid_block'")):
        with pytest.raises(ValueError, match=message):
            build(sd_folder, **options)


def test_what_is_trained_on_a_student_is_left_as_a_whole_pipeline(sd_folder, tmp_path):
    """An adapter alone would be of no use: it fits the student, and nobody else has that."""
    from diffkit.export import write_artifacts
    from diffkit.models.families import StableDiffusion

    model = build(sd_folder, tuners={"unet": {"type": "LoRATuner", "rank": 2},
                                     "word": {"type": "TextualInversion", "placeholder_token": "<x>"}})
    for name, value in model.trainable_parameters().items():
        if "lora_B" in name:
            nn.init.normal_(value, std=0.02)
    write_artifacts(model.artifacts(), tmp_path, model.pipeline)
    parts = StableDiffusion().load(tmp_path)
    with model.sampling():
        assert torch.allclose(run(model.unet), run(parts["unet"].eval()), atol=1e-5)
    assert "<x>" in parts["tokenizer"].get_vocab()
    again = build(tmp_path, pruner=None, tuners={"unet": {"type": "LoRATuner", "rank": 2}})  # the next experiment
    assert len(again.unet.down_blocks) == 3
