"""Tokenizers that cannot be right are refused, those that are in use are not."""

import json
import shutil

import pytest
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from diffkit.models.families.scratch import build_tokenizer
from diffkit.utils.pretrained import MINIATURES
from diffkit.utils.vocabulary import vocabulary_fault
from tests.tiny import CORPUS


@pytest.fixture
def tokenizer():
    return build_tokenizer(CORPUS)


def encoder(rows, places=77):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=rows, max_position_embeddings=places, hidden_size=8, intermediate_size=8, num_hidden_layers=1,
        num_attention_heads=1))


def test_those_in_use_are_right(tokenizer, sdxl_folder):
    assert vocabulary_fault(tokenizer) == vocabulary_fault(tokenizer, encoder(len(tokenizer))) == ""
    for folder in (MINIATURES / "mini_sd" / "tokenizer", sdxl_folder / "tokenizer", sdxl_folder / "tokenizer_2"):
        assert vocabulary_fault(CLIPTokenizer.from_pretrained(folder)) == "", folder
    tokenizer.add_tokens(["<toy>", "<toy>_1"])
    assert vocabulary_fault(tokenizer, encoder(len(tokenizer))) == ""


def test_what_transformers_makes_of_missing_files(tmp_path):
    try:
        made = CLIPTokenizer.from_pretrained(tmp_path)
    except OSError:  # newer versions raise it themselves
        return
    assert "tokens and a maximum length of" in vocabulary_fault(made)


def test_no_maximum_length(tokenizer):
    tokenizer.model_max_length = 10**30
    assert vocabulary_fault(tokenizer).endswith("its files are missing or damaged")


def test_too_few_tokens():
    tokens = {chr(97 + i): i for i in range(20)} | {"<|startoftext|>": 20, "<|endoftext|>": 21}
    assert "has 22 tokens" in vocabulary_fault(CLIPTokenizer(vocab=tokens, merges=[], model_max_length=77))


def test_no_letters():
    words = [f"\u4e00{i}" for i in range(400)] + ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: i for i, word in enumerate(words)}
    assert "knows no letters" in vocabulary_fault(CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77))


def test_ids_that_the_encoder_lacks(tokenizer):
    size = len(tokenizer)
    fault = vocabulary_fault(tokenizer, encoder(size - 1))
    assert f"has ids up to {size - 1}, and the text encoder has {size - 1} rows: they belong to different" in fault
    assert "makes texts of 77 tokens, and the text encoder takes 20" in vocabulary_fault(tokenizer, encoder(size, 20))


def test_an_id_far_away(tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["a</w>"] = 4_000_000_000
    path.write_text(json.dumps(content))
    loaded = CLIPTokenizer.from_pretrained(tmp_path)
    assert "has ids up to 4000000000" in vocabulary_fault(loaded, encoder(len(tokenizer)))


def test_two_tokens_of_one_id(tmp_path, tokenizer):
    tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    content = json.loads(path.read_text())
    content["model"]["vocab"]["a</w>"] = content["model"]["vocab"]["b</w>"]
    path.write_text(json.dumps(content))
    assert "gives one id to several tokens" in vocabulary_fault(CLIPTokenizer.from_pretrained(tmp_path))
    shutil.rmtree(tmp_path)
