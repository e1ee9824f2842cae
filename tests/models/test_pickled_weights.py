"""Models with .bin weights: refused, or read for their tensors alone."""

import pytest
import torch

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.models import LatentDiffusion, StableDiffusion, StableDiffusionXL
from diffkit.utils.pretrained import PretrainedError
from diffkit.utils.pretrained_hub import files_beneath
from tests.export.helpers import picture
from tests.pickled import add_code, pickled_copy
from tests.utils.hub import hub

TUNERS = {"unet": {"type": "LoRATuner", "rank": 2}}


@pytest.fixture(scope="module")
def pickled(sd_folder, tmp_path_factory):
    return pickled_copy(sd_folder, tmp_path_factory.mktemp("pickled") / "sd")


def test_they_are_refused_by_name(pickled):
    parts = r"has only pickled weights \(\.bin\) for unet, vae, text_encoder\."
    with pytest.raises(PretrainedError, match=rf"^model\.pretrained .*{parts}.* model\.family\.allow_pickle=True\.$"):
        LatentDiffusion(family={"type": "StableDiffusion"}, pretrained=str(pickled), tuners=TUNERS)
    with pytest.raises(PretrainedError, match=r"for text_encoder, unet, vae\..* allow_pickle=True\.$"):
        load_pipeline(pickled, device="cpu")


def test_the_flag_loads_the_same_model(sd_folder, pickled):
    before = picture(load_pipeline(sd_folder, device="cpu"))
    assert torch.equal(before, picture(load_pipeline(pickled, device="cpu", allow_pickle=True)))
    model = LatentDiffusion(family={"type": "StableDiffusion", "allow_pickle": True}, pretrained=str(pickled),
                            tuners={"unet": {"type": "FullTuner"}})
    assert torch.equal(before, picture(model.pipeline()))


@pytest.mark.parametrize("parts", [("vae",), ("text_encoder",), ("unet", "text_encoder_2")])
def test_a_model_with_weights_of_both_kinds(sdxl_folder, tmp_path, parts):
    mixed = pickled_copy(sdxl_folder, tmp_path / "sdxl", parts)
    with pytest.raises(PretrainedError, match=rf"for {', '.join(parts)}\."):
        StableDiffusionXL().load(mixed)
    wanted, found = StableDiffusionXL().load(sdxl_folder), StableDiffusionXL(allow_pickle=True).load(mixed)
    pipe = load_pipeline(mixed, device="cpu", allow_pickle=True)
    for name in StableDiffusionXL().component_names:
        for key, value in wanted[name].state_dict().items():
            assert torch.equal(value, found[name].state_dict()[key])
            assert torch.equal(value, getattr(pipe, name).state_dict()[key])


@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_code_in_them_is_not_run(sd_folder, tmp_path, part):
    evil = pickled_copy(sd_folder, tmp_path / "sd", (part,))
    add_code(evil, tmp_path / "trace")
    for load in (StableDiffusion(allow_pickle=True).load, lambda path: load_pipeline(path, allow_pickle=True)):
        with pytest.raises(PretrainedError, match="cannot be loaded"):
            load(evil)
    assert not (tmp_path / "trace").exists()


def test_another_vae_is_refused_in_its_own_name(sd_folder, pickled):
    for source in (pickled, pickled / "vae"):
        for load in (StableDiffusion().load, lambda path, vae: load_pipeline(path, vae=vae, device="cpu")):
            with pytest.raises(PretrainedError, match=r"^vae .*/sd.* has only pickled weights"):
                load(sd_folder, vae=source)
        assert StableDiffusion(allow_pickle=True).load(sd_folder, vae=source)["vae"]
    load_pipeline(sd_folder, vae=pickled / "vae", allow_pickle=True, device="cpu")


def test_a_models_own_pickled_vae_does_not_matter_where_another_takes_its_place(sd_folder, tmp_path):
    mixed = pickled_copy(sd_folder, tmp_path / "sd", ("vae",))
    assert StableDiffusion().load(mixed, vae=sd_folder)["vae"]
    assert load_pipeline(mixed, vae=sd_folder, device="cpu").vae


def test_a_model_of_the_hub_is_refused_before_it_is_downloaded(pickled, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with hub(monkeypatch, {"a/b": sorted(files_beneath(pickled))}) as asked:
        for load in (StableDiffusion().load, load_pipeline):
            with pytest.raises(PretrainedError, match=r"^pretrained 'a/b' has only pickled weights"):
                load("a/b")
    assert len(asked) == 2 and all(path.startswith("/api/models/a/b") for path in asked)
