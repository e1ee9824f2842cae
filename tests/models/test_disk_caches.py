"""Latents and text states on disk: found again, never wrongly, and never in the way of a training."""

import errno
import json
import multiprocessing
from copy import deepcopy
from types import SimpleNamespace

import pytest
import torch

from diffkit.models import LatentDiffusion, disk_rows
from diffkit.models.caching import Caches
from diffkit.models.disk_rows import DiskRows, tensor_key, text_key
from diffkit.utils.encoded_stores import entry_name, find_stores
from diffkit.utils.sealed import fault


@pytest.fixture
def said(monkeypatch):
    """What is logged by the caches."""
    lines = []
    for module in ("cache", "disk_rows"):
        monkeypatch.setattr(f"diffkit.models.{module}.print_log", lambda text, **options: lines.append(text))
    return lines


@pytest.fixture
def no_memory(monkeypatch):
    """Rows are not kept in memory once they are on disk."""
    monkeypatch.setattr(DiskRows.__init__, "__defaults__", (0,))


def load(pretrained, **options):
    family = "StableDiffusionXL" if (pretrained / "text_encoder_2").is_dir() else "StableDiffusion"
    return LatentDiffusion(family={"type": family}, pretrained=str(pretrained), **{
        "tuners": {"unet": {"type": "LoRATuner", "rank": 2}}, **options})


@pytest.fixture(scope="module")
def sd(sd_folder):
    return counted(load(sd_folder))


@pytest.fixture(scope="module")
def sdxl(sdxl_folder):
    return counted(load(sdxl_folder))


def counted(model):
    """Counts how often encoders run."""
    model.runs = {"vae": 0, "text": 0}
    for name, part in (("vae", model.get_submodule("vae").encoder), ("text", model.get_submodule("text_encoder"))):
        part.register_forward_hook(lambda *_, name=name: model.runs.update({name: model.runs[name] + 1}))
    return model


def start(model, where, latents="disk", text="disk"):
    """A model as at the start of a training, with caches of its own, and none of them on disk without ``where``."""
    folder = None if where is None else str(where)
    caches = Caches(model, *((True, True) if where is None and latents else (latents, text)), folder)
    model.latent_cache, model.text_cache = caches.latents, caches.text
    model.runs |= {"vae": 0, "text": 0}
    return model


def batch(size=2, seed=0, **fields):
    pixels = torch.rand(size, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return {"pixel_values": pixels, "prompt": [f"a photo of a {'dog' if i else 'cat'}" for i in range(size)],
            "key": [f"picture {seed} {i}" for i in range(size)], **fields}


def losses(model, size=2, **fields):
    found = []
    for step in range(4):
        torch.manual_seed(step)
        found.append(model(**batch(size, seed=step % 2, **fields))["loss_denoising"].item())
    return found


def entries(folder, kind="latents"):
    return [path for store in find_stores(folder) if store.kind == kind for path in store.entries()]


# --- the same as without


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_a_second_training_encodes_nothing_and_loses_the_same_bit_for_bit(request, tmp_path, family):
    model = request.getfixturevalue(family)
    wanted, often = losses(start(model, None)), {"vae": 4, "text": 2}
    assert model.runs == often
    assert losses(start(model, tmp_path)) == wanted and model.runs == often
    assert losses(start(model, tmp_path)) == wanted and model.runs == {"vae": 0, "text": 0}
    assert len(entries(tmp_path)) == 4 and len(entries(tmp_path, "text")) == 2


def test_it_is_the_same_as_encoding_in_each_step(sd, tmp_path):
    wanted = losses(start(sd, None, False, False), 1)
    assert sd.runs == {"vae": 4, "text": 4}
    assert losses(start(sd, tmp_path), 1) == losses(start(sd, tmp_path), 1) == wanted


def test_each_step_still_draws_its_own_sample(sd, tmp_path):
    data = batch()
    first, second = (start(sd, tmp_path).encode_images(data["pixel_values"], data["key"]) for _ in range(2))
    assert not torch.equal(first, second) and sd.runs["vae"] == 0


def test_a_flip_is_a_second_entry_and_a_copy_is_none(sd, tmp_path):
    model, pixels = start(sd, tmp_path), batch(1)["pixel_values"]
    model.encode_images(pixels, ["a.png"])
    model.encode_images(pixels.flip(-1), ["a.png-flip"])
    model.encode_images(pixels, ["copy of a.png"])
    assert model.runs["vae"] == len(entries(tmp_path)) == 2


def test_rows_that_do_not_fit_into_memory_are_read_from_the_disk(sd, tmp_path, no_memory):
    wanted = losses(start(sd, None))
    assert losses(start(sd, tmp_path)) == wanted and sd.runs["vae"] == 4
    assert sd.latent_cache.disk._kept == {} and len(sd.latent_cache) == 4


# --- never wrongly


def test_what_gives_other_latents_finds_nothing(sd, tmp_path):
    pixels, key = batch(1)["pixel_values"], ["picture"]

    def stores(change=None, autocast=False):
        model = deepcopy(sd)
        if change is not None:
            with torch.no_grad():
                change(model.get_submodule("vae"))
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            start(model, tmp_path).encode_images(pixels, key)
        return len(find_stores(tmp_path))

    assert stores() == stores() == 1
    assert stores(lambda vae: vae.decoder.conv_in.weight.add_(1)) == 1  # latents do not depend on it
    assert stores(lambda vae: vae.encoder.conv_in.weight[0, 0, 0, 0].add_(1e-3)) == 2
    assert stores(autocast=True) == 3
    assert stores(lambda vae: vae.register_to_config(norm_num_groups=2)) == 4
    assert len(entries(tmp_path)) == 4


def test_what_gives_other_text_states_finds_nothing(sdxl, tmp_path):
    def stores(change=None):
        model = deepcopy(sdxl)
        if change is not None:
            with torch.no_grad():
                change(model)
        start(model, tmp_path).encode_prompts(batch(1))
        return len(find_stores(tmp_path))

    assert stores() == stores() == 1
    assert stores(lambda model: model.text_encoder_2.text_projection.weight[0, 0].add_(1e-3)) == 2
    assert stores(lambda model: model.parts["tokenizer"].add_tokens("<new>")) == 3
    assert stores(lambda model: setattr(model.parts["tokenizer_2"], "pad_token", "!")) == 4
    assert len(entries(tmp_path, "text")) == 4


def test_another_version_of_the_format_finds_nothing(sd, tmp_path, monkeypatch):
    losses(start(sd, tmp_path))
    monkeypatch.setattr(disk_rows, "FORMAT", disk_rows.FORMAT + 1)
    losses(start(sd, tmp_path))
    assert sd.runs["vae"] == 4


@pytest.mark.parametrize("harm", ["values", "header", "truncated", "empty", "another's", "no safetensors"])
def test_damaged_entries_are_made_again_with_a_line(sd, tmp_path, said, harm):
    wanted = losses(start(sd, tmp_path))
    path, other = entries(tmp_path)[:2]
    sound = path.read_bytes()
    content = bytearray(sound)
    content[-1] ^= 1
    path.write_bytes({
        "values": content, "header": sound.replace(b'"F32"', b'"I32"', 1), "truncated": sound[:-4], "empty": b"",
        "another's": other.read_bytes(), "no safetensors": b"x" * 100}[harm])
    assert losses(start(sd, tmp_path)) == wanted and sd.runs["vae"] == 1
    assert len(said) == 1 and said[0].startswith(f"{path} is damaged (") and said[0].endswith("it is made again")
    assert path.read_bytes() == sound


def test_a_damaged_about_file_is_written_again(sd, sd_folder, tmp_path):
    losses(start(sd, tmp_path))
    abouts = {path: path.read_text() for path in tmp_path.glob("*/*/about.json")}
    for path in abouts:
        path.write_text("{")
    losses(start(sd, tmp_path))
    assert sd.runs == {"vae": 0, "text": 0} and {path: path.read_text() for path in abouts} == abouts
    found = json.loads(abouts[min(abouts)])
    assert found["model"] == str(sd_folder) and found["kind"] == "latents" and found["compute"] == "cpu"


def test_what_is_not_finite_is_not_written(tmp_path, said):
    rows = DiskRows(tmp_path, "latents", dict, "a model")
    row = rows.row("ab", "cpu", lambda: {"moments": torch.tensor([1.0, float("nan")])})
    assert row["moments"][1].isnan() and entries(tmp_path) == [] and said == []


# --- never in the way


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_where_nothing_can_be_written_memory_has_to_do(sd, tmp_path, monkeypatch, said, no_memory, code):
    wanted = losses(start(sd, None))
    written = disk_rows.write_aside

    def full(path, content):
        if entries(tmp_path):
            raise OSError(code, "the reason")
        written(path, content)

    monkeypatch.setattr(disk_rows, "write_aside", full)
    assert losses(start(sd, tmp_path)) == wanted and sd.runs == {"vae": 4, "text": 2}
    assert len(entries(tmp_path)) == 1 and len(said) == 2
    assert sorted(said) == [
        f"the cache of {kind} in {tmp_path} cannot be written (the reason): what is encoded from now on stays in "
        "memory, and the training goes on" for kind in ("latents", "text")]
    assert not [path for path in tmp_path.rglob("*") if path.name.startswith(".")]


def test_a_folder_that_cannot_be_made_is_no_fault(sd, tmp_path, said):
    (tmp_path / "file").write_text("")
    wanted = losses(start(sd, None))
    assert losses(start(sd, tmp_path / "file" / "cache")) == wanted and sd.runs["vae"] == 4 and len(said) == 2


def _fill(folder, barrier):
    rows = DiskRows(folder, "latents", lambda: {"weights": "w"}, "a model", in_memory=0)
    barrier.wait()
    for _ in range(3):
        for key in range(40):
            row = rows.row(f"{key:02d}", "cpu", lambda key=key: {"moments": torch.full((1000,), float(key))})
            assert torch.equal(row["moments"], torch.full((1000,), float(key)))


def test_several_processes_write_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=_fill, args=(tmp_path, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    (store,) = find_stores(tmp_path)
    assert len(store.entries()) == 40 and list(store.damaged()) == []
    assert not list(tmp_path.rglob(".*"))


# --- keys, seals, what is refused


def test_keys_tell_what_is_different():
    picture = torch.rand(3, 8, 4)
    others = [picture, picture.reshape(3, 4, 8), picture.double(), picture.flip(-1), picture[:, 1:]]
    assert len({tensor_key(value) for value in others}) == 5 and tensor_key(picture) == tensor_key(picture.clone())
    assert tensor_key(picture.flip(-1).flip(-1)) == tensor_key(picture)
    assert text_key("a") != text_key("A") and text_key("\ud800")


def test_an_entry_under_another_name_is_no_entry(sd, tmp_path):
    losses(start(sd, tmp_path))
    path = entries(tmp_path)[0]
    store = path.parent.parent
    assert fault(path.read_bytes(), entry_name(store, path.stem)) == ""
    assert "not what was written" in fault(path.read_bytes(), entry_name(store, "0" * 64))


def trained(name):
    def change(model):
        model.get_submodule(name).requires_grad_(True)
    return change


@pytest.mark.parametrize(("change", "latents", "text", "folder", "message"), [
    (None, "dsik", True, None, r"model\.cache_latents is 'dsik'; allowed: True, False, 'disk'"),
    (None, True, True, "/x", r"model\.cache_folder='/x' has no effect: nothing is kept on disk"),
    (trained("vae"), "disk", True, None, r"model\.cache_latents cannot be 'disk': vae is trained"),
    (trained("text_encoder"), True, "disk", None, r"model\.cache_text cannot be 'disk': text_encoder is trained"),
    (lambda model: setattr(model, "quantizer", SimpleNamespace(component="text_encoder")), True, "disk", None,
     r"model\.cache_text cannot be 'disk': text_encoder is quantised"),
])
def test_what_cannot_be_kept_is_said(sd, change, latents, text, folder, message):
    model = deepcopy(sd)
    if change is not None:
        change(model)
    with pytest.raises(ValueError, match=message):
        Caches(model, latents, text, folder)


def test_the_table_says_what_is_kept_and_why_not(sd, tmp_path):
    assert sd.cache_rows() == [("latents", "kept in memory"), ("text states", "kept in memory")]
    assert Caches(sd, "disk", True, str(tmp_path)).rows[0] == ("latents", f"kept in {tmp_path / 'latents'}")
    model = deepcopy(sd)
    trained("vae")(model)
    assert Caches(model, True, False, None).rows == [
        ("latents", "not kept: vae is trained"), ("text states", "not kept: model.cache_text is False")]


def test_pictures_without_a_key_are_said_once(sd, tmp_path, said):
    losses(start(sd, tmp_path), key=[None, "a"])
    assert len(entries(tmp_path)) == 1 and len(said) == 1 and "not kept, and the VAE runs for them" in said[0]
