"""Parts with random weights: where the miniatures begin, and what tests are made of."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTokenizer

from diffkit.registry import DATASETS

#: The noise schedule of Stable Diffusion (Rombach et al. 2022).
SD_SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012,
               "beta_schedule": "scaled_linear", "clip_sample": False, "steps_offset": 1}

START, END = "<|startoftext|>", "<|endoftext|>"


def build_parts(spec: Mapping[str, Any], text_parts: Sequence[tuple[str, str, type[nn.Module]]],
                tokenizers: Mapping[str, CLIPTokenizer] | None = None) -> dict[str, Any]:
    """Builds every part of a pipeline; the weights come from torch's global generator.

    Args:
        spec: ``unet``, ``vae``: the arguments of their diffusers classes; ``tokenizer``: the arguments of
            :func:`build_tokenizer`, used for all tokenizers; one entry for each text encoder: the arguments of
            ``CLIPTextConfig`` (vocabulary and special tokens are filled in); ``scheduler``: changes to
            :data:`SD_SCHEDULE`.
        text_parts: (tokenizer, text encoder, class of the text encoder) of the family.
        tokenizers: tokenizers by name, instead of new ones.
    """
    tokenizer_spec = dict(spec["tokenizer"])
    parts: dict[str, Any] = {"unet": UNet2DConditionModel(**spec["unet"]), "vae": _vae(spec["vae"])}
    for tokenizer_name, encoder_name, encoder_class in text_parts:
        tokenizer = (tokenizers or {}).get(tokenizer_name) or build_tokenizer(**tokenizer_spec)
        parts[tokenizer_name] = tokenizer
        config = CLIPTextConfig(vocab_size=len(tokenizer), max_position_embeddings=tokenizer.model_max_length,
                                bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                                pad_token_id=tokenizer.pad_token_id, **spec[encoder_name])
        parts[encoder_name] = encoder_class(config)
    noise = DDPMScheduler(**{**SD_SCHEDULE, **spec.get("scheduler", {})})
    return {**parts, "noise_scheduler": noise, "scheduler": DPMSolverMultistepScheduler.from_config(noise.config)}


def _vae(spec: Mapping[str, Any]) -> AutoencoderKL:
    """An autoencoder whose latents begin with a standard deviation of about 0.05.

    With the usual start at 1 the noise hides what the encoder says, and hundreds of steps pass before it is heard.
    """
    vae = AutoencoderKL(**spec)
    with torch.no_grad():
        vae.quant_conv.bias[vae.config.latent_channels:].fill_(-6.0)  # the log-variances
    return vae


def build_tokenizer(corpus: Iterable[str] | dict, vocab_size: int = 1000, max_length: int = 77) -> CLIPTokenizer:
    """Trains a CLIP tokenizer: all bytes, and byte pairs learned from ``corpus`` (Sennrich et al. 2016).

    A word that the corpus lacks falls to its bytes, so any text can be encoded. The same corpus gives the same
    tokenizer.

    Args:
        corpus: texts, or a config of DATASETS whose samples have a ``prompt``.
        vocab_size: at most so many tokens, bytes and merges together.
        max_length: tokens of a prompt, with start and end.
    """
    corpus = corpus_texts(corpus)
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    learner = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix="</w>"))
    learner.normalizer = normalizers.Lowercase()
    learner.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"[a-z]+|[0-9]|[^\sa-z0-9]+"), "removed", invert=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    learner.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, end_of_word_suffix="</w>", initial_alphabet=alphabet,
        special_tokens=[], show_progress=False))
    merges = _merges(learner.to_str())
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(pair) for pair in merges), START, END]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=max_length, pad_token=END)


def corpus_texts(corpus: Iterable[str] | dict) -> Iterable[str]:
    """The texts of a corpus: itself, or the prompts of the dataset that a config of DATASETS describes."""
    if not isinstance(corpus, dict):
        return corpus
    dataset = DATASETS.build(corpus)
    return (dataset[i]["prompt"] for i in range(len(dataset)))


def _merges(tokenizer_json: str) -> list[tuple[str, str]]:
    import json

    merges = json.loads(tokenizer_json)["model"]["merges"]
    pairs = (pair.split(" ") if isinstance(pair, str) else pair for pair in merges)
    return [(left, right) for left, right in pairs]
