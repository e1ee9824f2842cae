"""A step folder to the Hugging Face hub: its exports, a model card and some pictures, and nothing else."""

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffkit.apis.hub_card import HUB_ID, hub_card, is_hub_id
from diffkit.apis.kohya import check_empty
from diffkit.utils.images import read_png_metadata, save_png
from diffkit.utils.pretrained import PACKAGED
from diffkit.utils.secrets import TOKEN
from diffkit.utils.step_folder import StepFolder, read_json, read_step_folder

#: What is never sent: the state for resuming with the config's places, and the manifest that counts it.
_OWN = ("state", "manifest.json", "README.md")
_SUFFIXES = (".safetensors", ".json", ".txt")
_MAX_PICTURES = 6


def push_to_hub(step: str | Path, repo: str, *, private: bool = False, base_model: str | None = None,
                license: str | None = None, metrics: Sequence[str | Path] = (), dry_run: str | Path | None = None,
                message: str | None = None) -> str:
    """Uploads what a step folder holds for others, with a model card made from the run.

    The token is the one that ``hf auth login`` has stored, or ``HF_TOKEN``; it is read by the hub's own library, goes
    to the hub alone, and is in no file that is sent.

    Args:
        step: a step folder, or a folder that ``diffkit export`` or ``merge_adapters`` has written.
        repo: ``owner/name``; made where it is not there.
        private: make a private repository; one that is there already has to be private.
        base_model: what it was trained on, as others can name it; None takes what the step folder says.
        license: an identifier such as ``openrail++``; None takes that of a well-known base.
        metrics: JSON files of ``diffkit test``.
        dry_run: a new or empty folder that gets all files; nothing is sent.
        message: of the commit.

    Returns:
        The address of the repository, or the folder.

    Raises:
        ValueError: an argument is not valid, the base is a folder of this machine, or a file holds a token.
        ConnectionError: the hub cannot be reached, or refuses.
    """
    if not HUB_ID.fullmatch(repo):
        raise ValueError(f"repo is {repo!r}; it must be owner/name, with letters, digits and . _ -")
    folder = read_step_folder(step) if Path(step).is_dir() else None
    if folder is None:
        raise ValueError(f"step: {str(step)!r} is no folder with something that others could load.")
    base = _base(folder, base_model)
    figures = [_read_metrics(Path(file)) for file in metrics]
    if dry_run is not None:
        check_empty(Path(dry_run), "dry_run")
    with tempfile.TemporaryDirectory() as made:
        target = Path(made if dry_run is None else dry_run)
        target.mkdir(parents=True, exist_ok=True)
        _copy(folder, target, base)
        pictures = _pictures(folder, target)
        card = hub_card(folder, repo, base=base, license=license, metrics=figures, pictures=pictures)
        (target / "README.md").write_text(card, encoding="utf-8")
        _check_no_token(target)
        if dry_run is not None:
            return str(target)
        return _send(target, repo, private, message or f"{folder.path.resolve().name} of diffkit")


def _base(folder: StepFolder, given: str | None) -> str | None:
    """What a step folder was trained on, as others can name it."""
    base = given or folder.base
    if folder.is_pipeline and given is None and not is_hub_id(base) and base not in PACKAGED:
        return None  # it needs none
    if base is None or (base not in PACKAGED and not is_hub_id(base)):
        raise ValueError(f"{folder.path} was trained on {base!r}, which others do not have. Name what they have with "
                         "base_model (--base-model), or send a whole pipeline: diffkit export --to pipeline.")
    return base


def _read_metrics(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise ValueError(f"metrics: no file {str(file)!r}; diffkit test --out writes one.")
    return read_json(file)


def _copy(folder: StepFolder, target: Path, base: str | None) -> None:
    """The exports; where one names its base, it is the base that others know."""
    for path in sorted(folder.path.rglob("*")):
        place = path.relative_to(folder.path)
        if not path.is_file() or path.is_symlink() or place.parts[0] in _OWN or path.suffix not in _SUFFIXES:
            continue
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        if path.name in ("diffkit.json", "adapter_config.json", "quantization.json"):
            _write_named(path, target / place, base)
        elif path.name in ("model_index.json", "config.json"):
            _write_nameless(path, target / place)
        else:
            shutil.copyfile(path, target / place)


def _write_named(path: Path, target: Path, base: str | None) -> None:
    content = read_json(path)
    for key in ("base", "base_model_name_or_path"):
        if content.get(key) is not None:
            content[key] = base
    if isinstance(content.get("source"), dict) and "pretrained" in content["source"]:
        content["source"]["pretrained"] = base
    target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _write_nameless(path: Path, target: Path) -> None:
    """Copies a config of diffusers, without the folder of this machine that it was loaded from."""
    content = read_json(path)
    if content.get("_name_or_path") is None or is_hub_id(content["_name_or_path"]):
        shutil.copyfile(path, target)
        return
    del content["_name_or_path"]
    target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _pictures(folder: StepFolder, target: Path) -> dict[str, str]:
    """Copies the training's pictures of that step, with prompt and seed alone; gives their prompts by path."""
    number = folder.info.get("step")
    if not isinstance(number, int):
        return {}
    from PIL import Image

    found: dict[str, str] = {}
    samples = folder.path.resolve().parent / "samples"
    for path in sorted(samples.glob(f"step{number + 1:06d}_*.png"))[:_MAX_PICTURES]:
        about = read_png_metadata(path)
        kept: dict[str, Any] = {key: about[key] for key in ("prompt", "seed") if key in about}
        place = f"pictures/{path.name.partition('_')[2]}"
        with Image.open(path) as image:
            save_png(image.convert("RGB"), target / place, kept)
        found[place] = str(kept.get("prompt", ""))
    return found


def _check_no_token(folder: Path) -> None:
    """Refuses to send a file of text in which a token of the hub stands."""
    from huggingface_hub import get_token

    own = get_token()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in (".json", ".md", ".txt"):
            text = path.read_text(encoding="utf-8", errors="replace")
            if TOKEN.search(text) or (own and own in text):
                raise ValueError(f"{path.relative_to(folder)} would hold a token of the Hugging Face hub: take it out "
                                 "of the config that this was trained with, and revoke it.")


def _send(folder: Path, repo: str, private: bool, message: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, LocalTokenNotFoundError

    api = HfApi()
    try:
        made = api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise ValueError(f"--private: {repo} is there already, and public. Make it private on the hub, or "
                             "name another one.")
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message=message)
    except LocalTokenNotFoundError as error:
        raise ConnectionError("the hub asks who you are: hf auth login") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        hint = ": log in with a token that may write: hf auth login" if status in (401, 403) else ""
        raise ConnectionError(f"the hub refused to take {repo} (status {status}){hint}.") from error
    except (OSError, HTTPError) as error:
        raise ConnectionError(f"the hub cannot be reached: {str(error).splitlines()[0] if str(error) else error!r}."
                              ) from error
    return str(made)
