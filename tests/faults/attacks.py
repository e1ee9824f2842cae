"""Models that somebody prepared so that loading them runs code, and how each is loaded: by diffkit, and naively.

The code makes one file, the marker. diffkit has to refuse the model in words and must not have made the marker; after
that the same file is loaded without care, and then the marker has to be there: else the attack would prove nothing.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.models.families.sd import StableDiffusion
from diffkit.utils.pretrained import resolve_pretrained
from tests.faults.attack_parts import (
    UNET,
    Prepare,
    config,
    import_file,
    import_in_path,
    in_the_path,
    index,
    legacy,
    load_torch,
    pickle_in,
    shards,
    single,
    trusting,
    unpickle,
    untar,
    unzip,
)
from tests.faults.payloads import pickled, tar_upwards, torch_file, zip_upwards

TEXT = "text_encoder/model"
PICKLE_WORDS = "it is a pickle, which can hold code"


@dataclass
class Attack:
    """A model with code in it.

    Attributes:
        prepare: changes a diffusers folder; gets the folder and the marker.
        words: the message has to hold them.
        naive: loads the folder without care; it may fail after the code has run.
        allow_pickle: it is loaded with that flag, which must not help it.
        suffix: what is given to diffkit is ``folder`` with it: the attack is a single file.
    """

    prepare: Prepare
    words: str
    naive: Callable[[Path], Any]
    allow_pickle: bool = False
    suffix: str = ""


def attack_trial(name: str, pretrained: Path, work: Path) -> dict[str, Any]:
    """Tries one attack on everything that loads a model.

    Args:
        name: of the attack.
        pretrained: a sound model.
        work: a folder that is emptied first.

    Returns:
        ``said``: the messages, ``naive``: whether the code ran when it was loaded without care, ``faults``: empty at
        best.
    """
    attack, folder, marker = ATTACKS[name], work / "model", work / "executed"
    shutil.rmtree(work, ignore_errors=True)
    shutil.copytree(pretrained, folder)
    attack.prepare(folder, marker)
    given = folder.with_name(folder.name + attack.suffix)
    ways: dict[str, Callable[[], Any]] = {
        "training": lambda: StableDiffusion(allow_pickle=attack.allow_pickle).load(_named(given)),
        "sampling": lambda: load_pipeline(given, device="cpu", allow_pickle=attack.allow_pickle)}
    said, faults = {}, []
    for way, load in ways.items():
        try:
            load()
            faults.append(f"{way}: it was loaded")
        except ValueError as error:
            said[way] = str(error)
            if attack.words not in said[way]:
                faults.append(f"{way}: {said[way]}")
        except Exception as error:
            faults.append(f"{way}: {type(error).__name__}, which is no message to a user: {error}")
        if marker.exists():
            faults.append(f"{way}: its code was run")
            marker.unlink()
    naive = _runs(lambda: attack.naive(given), marker)
    faults += [] if naive else ["its code does not run when it is loaded naively: the attack proves nothing"]
    return {"said": said, "naive": naive, "faults": faults}


def seen(results: dict[str, dict[str, Any]]) -> str:
    """What all trials saw, in one line."""
    naive = sum(result["naive"] for result in results.values())
    said = sum(len(result["said"]) for result in results.values())
    return f"{said} times refused in words; the code of {naive} of {len(results)} ran where it was loaded without care"


def _named(path: Path) -> Path:
    """What a training makes of the name."""
    return Path(resolve_pretrained(str(path)))


def _runs(load: Callable[[], Any], marker: Path) -> bool:
    with suppress(Exception):  # a model of nothing but an attack fails afterwards
        load()
    return marker.exists()


CODE = "asks for code of its own in"
ARCHIVE, FILE = "archive", "is a file; a diffusers folder is needed"
REFUSED = "cannot be loaded"

ATTACKS: dict[str, Attack] = {
    "torch file as .bin": Attack(
        pickle_in(UNET, torch_file, ".bin"), "only pickled weights (.bin)", load_torch(f"{UNET}.bin")),
    "torch file as .bin, pickles allowed": Attack(
        pickle_in(UNET, torch_file, ".bin"), REFUSED, load_torch(f"{UNET}.bin"), allow_pickle=True),
    "old torch file as .bin, pickles allowed": Attack(
        pickle_in(UNET, legacy, ".bin"), REFUSED, load_torch(f"{UNET}.bin"), allow_pickle=True),
    "bare pickle as .bin, pickles allowed": Attack(
        pickle_in(UNET, pickled, ".bin"), REFUSED, unpickle(f"{UNET}.bin"), allow_pickle=True),
    "pickle as .safetensors": Attack(
        pickle_in(UNET, pickled, ".safetensors"), PICKLE_WORDS, unpickle(f"{UNET}.safetensors")),
    "pickle as .safetensors, pickles allowed": Attack(
        pickle_in(UNET, pickled, ".safetensors"), PICKLE_WORDS, unpickle(f"{UNET}.safetensors"), allow_pickle=True),
    "old torch file as .safetensors of the VAE": Attack(
        pickle_in("vae/diffusion_pytorch_model", legacy, ".safetensors"), PICKLE_WORDS,
        load_torch("vae/diffusion_pytorch_model.safetensors")),
    "torch file as .safetensors of the text encoder": Attack(
        pickle_in(TEXT, torch_file, ".safetensors"), "it is a zip archive", load_torch(f"{TEXT}.safetensors")),
    "tar archive as .safetensors": Attack(
        pickle_in(UNET, tar_upwards, ".safetensors"), "it is a tar archive",
        lambda folder: untar(folder / f"{UNET}.safetensors")),
    "pickle named by an index of weights": Attack(
        shards("shard.bin"), "'shard.bin', which is no safetensors file beside it", load_torch("unet/shard.bin")),
    "pickle elsewhere, named by an index of weights": Attack(
        shards("../weights.safetensors"), "'../weights.safetensors', which is no safetensors file beside it",
        load_torch("weights.safetensors")),
    "a .ckpt file": Attack(single(torch_file, ".ckpt"), FILE, load_torch(""), suffix=".ckpt"),
    "a .pt file": Attack(single(legacy, ".pt"), FILE, load_torch(""), suffix=".pt"),
    "a .pkl file": Attack(single(pickled, ".pkl"), FILE, unpickle(""), suffix=".pkl"),
    "a .zip file": Attack(single(zip_upwards, ".zip"), ARCHIVE, unzip, suffix=".zip"),
    "a .tar file": Attack(single(tar_upwards, ".tar"), ARCHIVE, untar, suffix=".tar"),
    "a custom pipeline": Attack(index(_class_name=["pipeline", "MyPipeline"]), CODE, trusting),
    "a pipeline of an unknown class": Attack(
        index(_class_name="MyPipeline"), CODE, import_file("pipeline.py")),
    "a component with code": Attack(index(unet=["evil", "Evil"]), CODE, trusting),
    "a component of a module in the path": Attack(in_the_path, CODE, import_in_path),
    "auto_map of the text encoder": Attack(
        config("text_encoder/config.json", auto_map={"AutoModel": "evil.Evil"}), CODE,
        import_file("text_encoder/evil.py")),
    "auto_map of the tokenizer": Attack(
        config("tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", None]}), CODE,
        import_file("tokenizer/evil.py")),
    "auto_map of the UNet": Attack(
        config("unet/config.json", auto_map={"AutoModel": "evil.Evil"}), CODE, import_file("unet/evil.py")),
}
