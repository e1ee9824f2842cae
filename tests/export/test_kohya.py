"""Files of kohya's programs: their names, what other readers make of them, and the way back."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from diffkit.apis import export_kohya, import_kohya, load_pipeline
from diffkit.export import write_artifacts
from diffkit.export.kohya_names import kohya_name
from diffkit.models import LatentDiffusion
from tests.export.adapters import write_step
from tests.export.helpers import BUILD, unet_output

#: Attention, feed-forward, convolutions and time embedding: layers of every sort.
UNET = [r"attn1.to_q", "attn2.to_k", "to_out.0", "ff.net.0.proj", "ff.net.2", "conv1", "conv2", "conv_shortcut",
        "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj", "proj_in"]
ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT = {"sd": ("text_encoder",), "sdxl": ("text_encoder", "text_encoder_2")}
CASES = {
    "sd lora": ("sd", "lora", {}),
    "sd lora, rank-stabilised": ("sd", "lora", {"options": {"use_rslora": True}}),
    "sd lora, patterns": ("sd", "lora", {"options": {"rank_pattern": {"to_q": 3}, "alpha_pattern": {"to_k": 7.0}}}),
    "sd loha": ("sd", "loha", {}),
    "sd loha, tucker": ("sd", "loha", {"options": {"use_effective_conv2d": True}}),
    "sd lokr": ("sd", "lokr", {}),
    "sd lokr, both sides": ("sd", "lokr", {"rank": 1, "options": {"decompose_both": True}}),
    "sd lokr, whole matrices": ("sd", "lokr", {"rank": 64, "options": {"decompose_factor": 4}}),
    "sdxl lora": ("sdxl", "lora", {}),
    "sdxl lokr": ("sdxl", "lokr", {})}


@pytest.fixture(scope="module")
def folders(sd_folder, sdxl_folder):
    return {"sd": sd_folder, "sdxl": sdxl_folder}


@pytest.fixture(scope="module", params=CASES)
def case(request, folders, tmp_path_factory):
    """Family and kind, the trained pipeline in memory, its step folder and its file."""
    family, kind, options = CASES[request.param]
    folder = tmp_path_factory.mktemp("kohya")
    targets = {"targets": UNET} if kind == "lora" or "tucker" in request.param else {"targets": ATTENTION}
    pipe = write_step(folder / "step3", kind, folders[family], family, ("unet",), **targets, **options)
    return family, kind, pipe, folder / "step3", export_kohya(folder / "step3", folder / "adapter.safetensors")


@torch.no_grad()
def text_outputs(pipe):
    ids = torch.arange(10)[None]
    encoders = [pipe.text_encoder, getattr(pipe, "text_encoder_2", None)]
    return [encoder.eval()(ids, output_hidden_states=True).hidden_states[-1] for encoder in encoders if encoder]


def difference(one, other):
    return (one - other).abs().max().item()


def test_the_way_back_gives_the_same(case, folders, tmp_path):
    family, _, pipe, _, file = case
    shown = unet_output(pipe)
    assert difference(shown, unet_output(BUILD[family]())) > 1e-3
    again = import_kohya(file, tmp_path / "step", pretrained=folders[family])
    torch.testing.assert_close(unet_output(load_pipeline(steps=[again], device="cpu")), shown, rtol=0, atol=1e-5)
    second = export_kohya(again, tmp_path / "again.safetensors")
    one, other = load_file(file), load_file(second)
    assert one.keys() == other.keys()
    assert all(difference(change(one, name), change(other, name)) <= 1e-6 for name in layers(one))


def test_the_file_says_what_was_trained(case):
    """The change of every weight, by the formulas of kohya and LyCORIS, is that of PEFT."""
    family, _, pipe, _, file = case
    tensors = load_file(file)
    found = {}
    for name, layer in pipe.unet.named_modules():
        if hasattr(layer, "get_delta_weight"):
            found[kohya_name("unet", name, family == "sdxl")] = layer.get_delta_weight("default")
    assert found.keys() == layers(tensors)
    for name, delta in found.items():
        assert difference(change(tensors, name).reshape(delta.shape), delta) <= 1e-6


def layers(tensors):
    return {name.partition(".")[0] for name in tensors}


def change(tensors, layer):
    """What a reader adds to the weight of a layer."""
    part = {name.removeprefix(f"{layer}."): value for name, value in tensors.items() if name.startswith(f"{layer}.")}
    alpha = part["alpha"].item()
    if "lora_up.weight" in part:
        up, down = part["lora_up.weight"].flatten(1), part["lora_down.weight"].flatten(1)
        return up @ down * alpha / len(down)
    if "hada_w1_a" in part:
        one, two = (half(part, f"hada_w{i}_a", f"hada_w{i}_b", f"hada_t{i}") for i in (1, 2))
        return one * two * alpha / len(part["hada_w1_b"])
    dim = next((len(part[end]) for end in ("lokr_w2_b", "lokr_w1_b") if end in part), None)
    first = part["lokr_w1"] if "lokr_w1" in part else part["lokr_w1_a"] @ part["lokr_w1_b"]
    second = part["lokr_w2"] if "lokr_w2" in part else half(part, "lokr_w2_a", "lokr_w2_b", "lokr_t2")
    return torch.kron(first, second) * (1.0 if dim is None else alpha / dim)


def half(part, left, right, core):
    if core in part:
        return torch.einsum("pqij,po,qn->onij", part[core], part[left], part[right])
    return part[left] @ part[right]


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_diffusers_reads_a_lora(folders, family, tmp_path):
    """Its own reader of kohya's files, for UNet and text encoders; alpha is not the rank."""
    pipe = write_step(tmp_path / "step3", "lora", folders[family], family, ("unet", *TEXT[family]))
    file = export_kohya(tmp_path / "step3", tmp_path / "adapter.safetensors")
    other = BUILD[family]()
    other.load_lora_weights(file)
    assert difference(unet_output(other), unet_output(pipe)) <= 1e-6
    for one, two in zip(text_outputs(other), text_outputs(pipe), strict=True):
        assert difference(one, two) <= 1e-6
    assert difference(text_outputs(pipe)[0], text_outputs(BUILD[family]())[0]) > 1e-3


def test_diffusers_reads_convolutions(folders, tmp_path):
    pipe = write_step(tmp_path / "step3", "lora", folders["sd"], "sd", ("unet",), targets=UNET)
    other = BUILD["sd"]()
    other.load_lora_weights(export_kohya(tmp_path / "step3", tmp_path / "adapter.safetensors"))
    assert difference(unet_output(other), unet_output(pipe)) <= 1e-6


@pytest.mark.parametrize(("component", "layer", "sd", "sdxl"), [
    ("unet", "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
     "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q",
     "lora_unet_input_blocks_4_1_transformer_blocks_0_attn1_to_q"),
    ("unet", "up_blocks.0.attentions.2.transformer_blocks.9.ff.net.0.proj",
     "lora_unet_up_blocks_0_attentions_2_transformer_blocks_9_ff_net_0_proj",
     "lora_unet_output_blocks_2_1_transformer_blocks_9_ff_net_0_proj"),
    ("unet", "mid_block.attentions.0.proj_in", "lora_unet_mid_block_attentions_0_proj_in",
     "lora_unet_middle_block_1_proj_in"),
    ("unet", "mid_block.resnets.1.conv1", "lora_unet_mid_block_resnets_1_conv1",
     "lora_unet_middle_block_2_in_layers_2"),
    ("unet", "down_blocks.2.resnets.0.conv_shortcut", "lora_unet_down_blocks_2_resnets_0_conv_shortcut",
     "lora_unet_input_blocks_7_0_skip_connection"),
    ("unet", "down_blocks.0.downsamplers.0.conv", "lora_unet_down_blocks_0_downsamplers_0_conv",
     "lora_unet_input_blocks_3_0_op"),
    ("unet", "up_blocks.1.upsamplers.0.conv", "lora_unet_up_blocks_1_upsamplers_0_conv",
     "lora_unet_output_blocks_5_2_conv"),
    ("unet", "up_blocks.2.resnets.2.time_emb_proj", "lora_unet_up_blocks_2_resnets_2_time_emb_proj",
     "lora_unet_output_blocks_8_0_emb_layers_1"),
    ("unet", "time_embedding.linear_1", "lora_unet_time_embedding_linear_1", "lora_unet_time_embed_0"),
    ("text_encoder", "encoder.layers.0.self_attn.q_proj", "lora_te_text_model_encoder_layers_0_self_attn_q_proj",
     "lora_te1_text_model_encoder_layers_0_self_attn_q_proj")])
def test_names(component, layer, sd, sdxl):
    """Names as they stand in files of kohya's programs."""
    assert kohya_name(component, layer, False) == sd
    assert kohya_name(component, layer, True) == sdxl


def test_names_that_there_are_not():
    with pytest.raises(ValueError, match="no place for 'text_encoder_2' of Stable Diffusion"):
        kohya_name("text_encoder_2", "encoder.layers.0.mlp.fc1", False)
    with pytest.raises(ValueError, match="no place for the layer 'class_embedding' of SDXL's UNet"):
        kohya_name("unet", "class_embedding", True)


def test_each_layer_of_sdxl_has_a_name_of_its_own():
    pipe = BUILD["sdxl"]()
    names = [name for name, layer in pipe.unet.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    assert len({kohya_name("unet", name, True) for name in names}) == len(names)


def test_metadata(folders, tmp_path):
    write_step(tmp_path / "run/step3", "lora", folders["sd"])
    file = export_kohya(tmp_path / "run/step3", tmp_path, dtype="float16")
    assert file.name == "run_step3.safetensors"
    with safe_open(file, "pt") as opened:
        told = opened.metadata()
    expected = {"ss_base_model_version": "sd_v1", "ss_v2": "False", "ss_network_module": "networks.lora",
                "ss_network_dim": "2", "ss_network_alpha": "3", "ss_output_name": "run_step3",
                "modelspec.architecture": "stable-diffusion-v1/lora", "ss_sd_model_name": str(folders["sd"])}
    assert told.items() >= expected.items()
    assert len(told["sshs_model_hash"]) == 64
    assert {value.dtype for value in load_file(file).values()} == {torch.float16}
    write_step(tmp_path / "loha", "loha", folders["sdxl"], "sdxl", ("unet",))
    with safe_open(export_kohya(tmp_path / "loha", tmp_path / "loha.safetensors"), "pt") as opened:
        told = opened.metadata()
    assert told["ss_base_model_version"] == "sdxl_base_v1-0" and told["ss_network_module"] == "lycoris.kohya"
    assert json.loads(told["ss_network_args"]) == {"algo": "loha"}


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_training_writes_it_where_its_config_says_so(folders, tmp_path, family):
    name = {"sd": "StableDiffusion", "sdxl": "StableDiffusionXL"}[family]
    model = LatentDiffusion(family={"type": name}, pretrained=str(folders[family]), tuners={
        component: {"type": "LoRATuner", "component": component, "rank": 2, "export_kohya": True}
        for component in ("unet", *TEXT[family])})
    for parameter in model.trainable_parameters().values():
        parameter.data += 0.1
    write_artifacts(model.artifacts(), tmp_path / "my_dog/step3", model.pipeline)
    other = BUILD[family]()
    other.load_lora_weights(tmp_path / "my_dog/step3/kohya.safetensors")
    assert difference(unet_output(other), unet_output(model.pipeline())) <= 1e-6
    with safe_open(tmp_path / "my_dog/step3/kohya.safetensors", "pt") as opened:
        assert opened.metadata()["ss_output_name"] == "my_dog"


@pytest.mark.parametrize(("kind", "name"), [("dora", "DoRA"), ("oft", "OFT")])
def test_kinds_without_a_place(folders, tmp_path, kind, name):
    write_step(tmp_path / "step3", kind, folders["sd"], components=("unet",))
    with pytest.raises(ValueError, match=f"adapter of 'unet' is of the kind {name}, .* merge_adapters"):
        export_kohya(tmp_path / "step3", tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


def test_diffusers_leaves_out_the_lengths_of_dora(folders, tmp_path):
    """Why DoRA is refused: the day this fails, it can be allowed."""
    write_step(tmp_path / "step3", "lora", folders["sd"], components=("unet",))
    file = export_kohya(tmp_path / "step3", tmp_path / "a.safetensors")
    tensors = load_file(file)
    lengths = {f"{name}.dora_scale": torch.full((len(tensors[f"{name}.lora_up.weight"]), 1), 9.0)
               for name in layers(tensors)}
    save_file(tensors | lengths, tmp_path / "dora.safetensors", {"format": "pt"})
    one, other = BUILD["sd"](), BUILD["sd"]()
    one.load_lora_weights(file)
    other.load_lora_weights(tmp_path / "dora.safetensors")
    assert torch.equal(unet_output(one), unet_output(other))


def test_mistakes(folders, tmp_path):
    write_step(tmp_path / "step3", "lora", folders["sd"], components=("unet",))
    file = export_kohya(tmp_path / "step3", tmp_path / "a.safetensors")
    for call, message in (
            (lambda: export_kohya(tmp_path / "step3", file), "is there already"),
            (lambda: export_kohya(tmp_path / "no", tmp_path), "is no step folder with adapters"),
            (lambda: export_kohya(tmp_path / "step3", tmp_path / "b.safetensors", family="sdlx"), 'mean "sd'),
            (lambda: export_kohya(tmp_path / "step3", tmp_path / "b.safetensors", dtype="int8"), "dtype is 'int8'"),
            (lambda: import_kohya(tmp_path / "no", tmp_path / "x", pretrained=folders["sd"]), "no file"),
            (lambda: import_kohya(file, tmp_path / "step3", pretrained=folders["sd"]), "holds something"),
            (lambda: import_kohya(file, tmp_path / "x", pretrained=folders["sdxl"]), "was made for another model")):
        with pytest.raises(ValueError, match=message):
            call()
    (tmp_path / "step3/diffkit.json").unlink()
    with pytest.raises(ValueError, match="does not say whether it was trained on Stable Diffusion or SDXL"):
        export_kohya(tmp_path / "step3", tmp_path / "b.safetensors")
    assert export_kohya(tmp_path / "step3", tmp_path / "b.safetensors", family="sd").is_file()
    assert not (tmp_path / "x").exists()


def test_files_of_other_things(folders, tmp_path):
    for name, tensors, message in (
            ("ia3", {"lora_unet_mid_block.weight": torch.ones(2)}, "'lora_unet_mid_block.weight' is none of what"),
            ("embedding", {"<word>": torch.ones(2, 32)}, "'<word>' is none of what")):
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(ValueError, match=message):
            import_kohya(tmp_path / f"{name}.safetensors", tmp_path / "x", pretrained=folders["sd"])
