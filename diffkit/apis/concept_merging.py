"""Several trainings of Custom Diffusion made one, by a formula and without a training."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor

from diffkit.apis.load_pipeline import load_pipeline
from diffkit.apis.ordinary_captions import read_ordinary
from diffkit.export import Artifact, DeltaArtifact, EmbeddingArtifact, read_delta, write_artifacts
from diffkit.export.closed_form import constrained_update, distinct_rows
from diffkit.export.delta import Delta, whole_weights
from diffkit.export.embeddings import add_embeddings, read_embeddings
from diffkit.models.families import Family, StableDiffusion, StableDiffusionXL
from diffkit.models.families.base import token_ids
from diffkit.utils.placeholders import placeholders
from diffkit.utils.step_folder import StepFolder, read_step_folder

#: Sentences that name a concept; ``{}`` is its word and its class, as "<new1> cat".
PROMPTS = ("{}", "photo of a {}")


@dataclass(frozen=True)
class Merged:
    """What :func:`merge_concepts` made.

    Attributes:
        folder: the step folder.
        words: for each concept its word and class, as a prompt names it.
        error: largest difference between what a target is mapped to and what it should be.
        forgetting: how much the features of ordinary captions are mapped otherwise than before, as a share.
    """

    folder: Path
    words: tuple[str, ...]
    error: float
    forgetting: float


def merge_concepts(
    steps: Sequence[str | Path],
    categories: Sequence[str],
    out: str | Path,
    *,
    pretrained: str | None = None,
    prompts: Sequence[str] = PROMPTS,
    ordinary: str | Path | None = None,
    compression: float | None = None,
    pickled: bool = False,
) -> Merged:
    """Makes one step folder of several, each of one concept and trained on the same model.

    Keys and values are solved for: the words of each concept are mapped as its own training maps them, and ordinary
    captions as little otherwise as can be. A word that an earlier folder has too is renamed to ``<new2>``, ``<new3>`` …

    Args:
        steps: two or more step folders of Custom Diffusion with keys and values.
        categories: the class of each concept, as "cat"; an empty text where a word stands alone.
        out: folder to write; it must not exist, or be empty.
        pretrained: what all of them were trained on; None takes what they say.
        prompts: sentences with ``{}`` that name a concept.
        ordinary: a text file of captions, one a line, or ``shapes:scenes``; None takes sentences of diffkit's.
        compression: see ``CrossAttentionTuner``.
        pickled: write ``.bin`` files too, see :func:`~diffkit.apis.concept_export.export_custom_diffusion`.

    Raises:
        ValueError: an argument is not valid, or the folders do not fit together.
    """
    folders, base = _folders(steps, categories, pretrained)
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"out: {target} is there already and not empty; name another folder.")
    if not prompts or not all("{}" in prompt for prompt in prompts):
        raise ValueError(f"prompts: each must have {{}} where the concept stands, given {list(prompts)!r}.")
    pipe = load_pipeline(base, device="cpu", dtype="float32", scheduler=None)
    words = [_add_word(pipe, folder, base) for folder in folders]
    names = [f"{word} {category}".strip() for (word, _), category in zip(words, categories, strict=True)]
    weights = {name: value.detach() for name, value in pipe.unet.named_parameters()}
    own = [_keys_and_values(read_delta(folder.delta), weights, folder) for folder in folders if folder.delta]
    with torch.no_grad():
        wanted = [_features(pipe, [prompt.format(name) for prompt in prompts], word)
                  for name, (word, _) in zip(names, words, strict=True)]
        regular = _features(pipe, read_ordinary(ordinary))
        new, error, forgetting = _solve(weights, own, wanted, regular)
    before = {name: weights[name] for name in new}
    artifacts: list[Artifact] = [DeltaArtifact("unet", lambda: new, lambda: before, base, compression, pickled),
                 *(_embedding(word, rows, base) for word, rows in words)]
    write_artifacts(artifacts, target, lambda: pipe, prompts=[prompts[-1].format(name) for name in names])
    return Merged(target, tuple(names), error, forgetting)


def _folders(steps: Sequence[str | Path], categories: Sequence[str], pretrained: str | None
             ) -> tuple[list[StepFolder], str]:
    """The step folders, and what all of them were trained on."""
    if len(steps) < 2 or len(steps) != len(categories):
        raise ValueError(f"steps and categories: two or more, and as many of both; given {len(steps)} and "
                         f"{len(categories)}.")
    found = []
    for step in steps:
        folder = read_step_folder(step)
        if folder is None or folder.delta is None or not folder.embeddings:
            raise ValueError(f"steps: {step} holds no Custom Diffusion of a word: there must be a file of trained "
                             "cross-attention and one of learned embeddings.")
        found.append(folder)
    bases = list(dict.fromkeys(folder.base for folder in found))
    if pretrained is None and (len(bases) > 1 or bases[0] is None):
        raise ValueError(f"pretrained: the steps say that they were trained on {', '.join(map(repr, bases))}; they "
                         "must all have begun with one model, which this argument names.")
    return found, str(pretrained or bases[0])


def _add_word(pipe: Any, folder: StepFolder, target: str) -> tuple[str, dict[str, Tensor]]:
    """Adds the word of a step folder to the pipeline; returns it, maybe renamed, and its vectors by text encoder."""
    tables = {encoder: dict(item for file in files for item in read_embeddings(file).items())
              for encoder, files in folder.embeddings.items()}
    held = sorted({word for table in tables.values() for word in table})
    if len(held) != 1 or any(held != list(table) for table in tables.values()):
        raise ValueError(f"steps: {folder.path} must hold one word, it has {', '.join(held)}.")
    word, known = held[0], placeholders(pipe.tokenizer)
    new = word if word not in known else next(
        name for i in range(2, len(known) + 3) if (name := f"<new{i}>") not in known)
    if new != word:
        print_log(f"{folder.path}: {word} is the word of an earlier step; here it is {new}.", logger="current")
    rows = {encoder: table[word] for encoder, table in tables.items()}
    tables_here = [(encoder, new, value) for encoder, value in rows.items()]
    add_embeddings(pipe.components, tables_here, str(folder.path), target)
    return new, rows


def _keys_and_values(delta: Delta, base: dict[str, Tensor], folder: StepFolder) -> dict[str, Tensor]:
    """Keys and values as a step folder has them."""
    odd = [name for name in delta.shapes if not name.endswith(("attn2.to_k.weight", "attn2.to_v.weight"))]
    if odd:
        raise ValueError(f"steps: {folder.path} has trained more than keys and values, such as {odd[0]}; only those of "
                         "CrossAttentionTuner(train='kv') can be merged by a formula.")
    return whole_weights(delta, base, f"steps: {folder.path}")


def _features(pipe: Any, prompts: Sequence[str], word: str | None = None) -> Tensor:
    """Text features [n, d] of the tokens of prompts: from the word, or else from the second token, to the end token."""
    family: Family = StableDiffusionXL() if "text_encoder_2" in pipe.components else StableDiffusion()
    tokenizer, rows = pipe.tokenizer, []
    for prompt in prompts:
        ids = token_ids(tokenizer, [prompt], torch.device("cpu"))[0].tolist()
        first = 1 if word is None else ids.index(placeholders(tokenizer)[word][0])
        last = ids.index(tokenizer.eos_token_id, 1)
        rows.append(family.encode_text(pipe.components, [prompt]).embeds[0, first:last + 1].float())
    return torch.cat(rows)


def _solve(base: dict[str, Tensor], own: Sequence[dict[str, Tensor]], wanted: Sequence[Tensor], regular: Tensor
           ) -> tuple[dict[str, Tensor], float, float]:
    """The merged weights, the largest error on the targets, and the relative change on ordinary features."""
    targets = torch.cat(list(wanted))
    kept = distinct_rows(targets)
    new, error, changed, whole = {}, 0.0, 0.0, 0.0
    for name in own[0]:
        values = torch.cat([features @ weights[name].float().T for features, weights in zip(wanted, own, strict=True)])
        new[name] = constrained_update(base[name], regular, targets[kept], values[kept])
        error = max(error, (targets[kept] @ new[name].T - values[kept]).abs().max().item())
        changed += ((new[name] - base[name]) @ regular.T).square().sum().item()
        whole += (base[name] @ regular.T).square().sum().item()
    return new, error, (changed / whole) ** 0.5


def _embedding(word: str, rows: dict[str, Tensor], base: str) -> EmbeddingArtifact:
    return EmbeddingArtifact(word, tuple((encoder, lambda value=value: value)  # type: ignore[misc]
                                         for encoder, value in rows.items()), base)
