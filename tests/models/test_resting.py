"""VAE and text encoders whose weights wait elsewhere: the same results, and nothing of them in memory in between."""

import gc
import os
import platform

import pytest
import torch

from diffkit.export.pipeline import write_pipeline
from diffkit.models import LatentDiffusion
from diffkit.models.offload import OffloadedWeights
from diffkit.utils.encoded_stores import find_stores

FULL = {"unet": {"type": "FullTuner", "pattern": "attn2"}}


def build(folder, **options):
    torch.manual_seed(0)
    family = "StableDiffusionXL" if (folder / "text_encoder_2").is_dir() else "StableDiffusion"
    return LatentDiffusion(family={"type": family}, pretrained=str(folder), **{"tuners": FULL, **options})


def batch():
    pixels = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return {"pixel_values": pixels, "prompt": ["a dog", ""], "key": ["a", "b"]}


def loss(model):
    torch.manual_seed(1)
    return model(**batch())["loss_denoising"].item()


def resident(model):
    """Values in memory of each component's weights."""
    return {name: sum(value.numel() for value in part.parameters()) for name, part in model.components.items()}


def saved(model, folder):
    write_pipeline(model.pipeline(), folder)
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*.safetensors"))}


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "offloaded"


@pytest.mark.parametrize(("family", "place"), [("sd", "disk"), ("sd", "cpu"), ("sdxl", "disk")])
def test_all_is_the_same_bit_for_bit(request, tmp_path, own_cache, family, place):
    folder = request.getfixturevalue(f"{family}_folder")
    near, far = build(folder), build(folder, offload=place)
    names = {name for name in far.components if name != "unet"}
    assert {name for name, count in resident(far).items() if count == 0} == names
    wanted = loss(near)
    assert [loss(far), loss(far)] == [wanted, wanted]
    pictures = [model.generate(["a cat"], seeds=[3], num_inference_steps=1)[0].tobytes() for model in (near, far)]
    assert pictures[0] == pictures[1]
    assert far.frozen_digest() == near.frozen_digest() and far.export_bytes() == near.export_bytes()
    assert saved(far, tmp_path / "far") == saved(near, tmp_path / "near")
    assert resident(far) == resident(near) | dict.fromkeys(names, 0)  # between two runs there is nothing
    waiting = ", ".join(name for name in far.components if name != "unet")
    where = "on disk" if place == "disk" else "in the memory of the host"
    assert far.cache_rows()[-1] == ("resting", f"{waiting}: {where}, until they run") and len(near.cache_rows()) == 2


def test_caches_find_the_same_entries(sd_folder, tmp_path, own_cache):
    disk = {"cache_latents": "disk", "cache_text": "disk", "cache_folder": str(tmp_path / "kept")}
    wanted = loss(build(sd_folder, **disk))
    far = build(sd_folder, **disk, offload="disk")
    for part in (far.get_submodule("vae").encoder, far.get_submodule("text_encoder")):
        part.register_forward_hook(lambda *_: pytest.fail("an encoder ran"))
    assert loss(far) == wanted and len(find_stores(tmp_path / "kept")) == 2


def test_what_is_trained_or_quantised_stays(sd_folder, own_cache):
    tuners = FULL | {"text": {"type": "LoRATuner", "component": "text_encoder", "rank": 2}}
    model = build(sd_folder, tuners=tuners, offload="cpu")
    assert resident(model)["vae"] == 0 and resident(model)["text_encoder"] > 0
    model(**batch())["loss_denoising"].backward()
    assert all(value.grad is not None for value in model.trainable_parameters().values())
    with pytest.raises(ValueError, match=r"model\.offload is 'gpu'; allowed: None, 'cpu', 'disk'"):
        build(sd_folder, offload="gpu")


def test_files_go_with_the_model_and_those_of_killed_processes_too(own_cache, monkeypatch):
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)).requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    own_cache.mkdir(parents=True)
    dead, alive = (own_cache / f"{platform.node()}-{number}-x" for number in (2**22 + 1, os.getppid()))
    elsewhere = own_cache / "another-machine-1-x"
    for place in (dead, alive, elsewhere):
        place.mkdir()
    weights = OffloadedWeights(network, "disk", units=[""])
    assert not dead.exists() and alive.exists() and elsewhere.exists()
    assert weights.nbytes == weights.largest == 4 * (6 + 2 + 4 + 2)
    assert dict(network.named_parameters())["0.weight"].numel() == 0
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    x = torch.ones(1, 3)
    plain = torch.nn.functional.linear(x, before["0.weight"], before["0.bias"])
    assert torch.equal(network(x), torch.nn.functional.linear(plain, before["1.weight"], before["1.bias"]))
    with pytest.raises(RuntimeError):
        network(torch.ones(1, 5))
    assert dict(network.named_parameters())["0.weight"].numel() == 0
    assert len(list(own_cache.rglob("*.safetensors"))) == 1
    del weights, network
    gc.collect()
    assert not list(own_cache.rglob("*.safetensors"))
