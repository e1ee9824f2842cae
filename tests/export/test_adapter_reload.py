"""What training showed is what other programs show from the files, in both formats."""

import pytest
import torch
from peft import PeftModel
from safetensors import safe_open

from diffkit.export import apply_adapters, merge_adapters, write_artifacts
from diffkit.utils.step_folder import read_step_folder
from tests.export.helpers import BUILD, add_lora, picture, unet_output

CASES = {
    "unet": ("sd", {"unet": {}}),
    "unet, alpha above rank": ("sd", {"unet": {"alpha": 11}}),
    "unet, alpha below rank, dropout": ("sd", {"unet": {"rank": 6, "alpha": 2, "dropout": 0.5}}),
    "unet, rank-stabilised": ("sd", {"unet": {"rank": 8, "alpha": 2, "use_rslora": True}}),
    "unet, patterns": ("sd", {"unet": {"rank_pattern": {"to_q": 2}, "alpha_pattern": {"to_q": 7}}}),
    "unet and text encoder": ("sd", {"unet": {}, "text_encoder": {}}),
    "unet and text encoder, alphas differ": ("sd", {"unet": {"alpha": 2}, "text_encoder": {"alpha": 9}}),
    "text encoder": ("sd", {"text_encoder": {"alpha": 9}}),
    "sdxl unet": ("sdxl", {"unet": {"alpha": 2}}),
    "sdxl all": ("sdxl", {"unet": {"alpha": 2}, "text_encoder": {"alpha": 9}, "text_encoder_2": {"rank": 2}}),
}


@pytest.fixture(scope="module", params=CASES)
def trained(request, tmp_path_factory):
    """A pipeline in memory with adapters, its family, and the step folder written from it."""
    family, adapters = CASES[request.param]
    pipe = BUILD[family]()
    plain = picture(pipe)
    artifacts = [add_lora(pipe, component, **options) for component, options in adapters.items()]
    folder = tmp_path_factory.mktemp("run") / "step9"
    write_artifacts(artifacts, folder, lambda: pipe, step=9)
    assert not torch.allclose(plain, picture(pipe), atol=1e-3), "the adapter has no effect: the test is void"
    return pipe, family, list(adapters), folder


def assert_same(pipe, other):
    torch.testing.assert_close(unet_output(other), unet_output(pipe), rtol=0, atol=1e-6)
    torch.testing.assert_close(picture(other), picture(pipe), rtol=0, atol=1e-6)


def test_peft_reads_the_folders(trained):
    pipe, family, components, folder = trained
    other = BUILD[family]()
    for name in components:
        wrapped = PeftModel.from_pretrained(getattr(other, name), folder / name)
        setattr(other, name, wrapped)
    outputs = picture(other)
    torch.testing.assert_close(outputs, picture(pipe), rtol=0, atol=1e-6)
    assert sorted(path.name for path in folder.iterdir() if path.is_dir()) == sorted(components)


def test_diffusers_reads_the_file(trained):
    pipe, family, _, folder = trained
    other = BUILD[family]()
    other.load_lora_weights(folder)  # adds layers in training mode: a dropout would stay active
    assert not [layer for layer in other.unet.modules() if isinstance(layer, torch.nn.Dropout) and layer.p]
    assert_same(pipe, other)


def test_our_own_reader(trained):
    pipe, family, _, folder = trained
    other = BUILD[family]()
    other.unet.eval()
    apply_adapters(other.components, read_step_folder(folder), "tiny")
    assert not any(layer.training for layer in other.unet.modules())
    assert_same(pipe, other)
    for name in trained[2]:
        merge_adapters(getattr(other, name))
    torch.testing.assert_close(picture(other), picture(pipe), rtol=0, atol=1e-5)
    assert list(other.unet.state_dict()) == list(BUILD[family]().unet.state_dict())


def test_names_in_the_file_are_those_that_others_know(trained):
    _, _, components, folder = trained
    with safe_open(folder / "pytorch_lora_weights.safetensors", "pt") as file:
        names = list(file.keys())
    assert {name.split(".")[0] for name in names} == set(components)
    assert all(".lora.down." in name or ".lora.up." in name for name in names if name.startswith("unet."))
    encoders = [name for name in names if name.startswith("text_encoder")]
    assert all(".text_model.encoder.layers." in name and ".lora_linear_layer." in name for name in encoders)
