"""Placeholders in prompts and tokenizers."""

import pytest

from diffkit.models.families.scratch import build_tokenizer
from diffkit.utils import placeholders as module
from diffkit.utils.placeholders import add_placeholder, check_free, expand, placeholders, warn_of_cut
from tests.tiny import CORPUS


@pytest.fixture
def tokenizer():
    made = build_tokenizer(CORPUS, max_length=12)
    for word, count in (("<toy>", 3), ("<hat>", 1), ("<toy>s", 2)):
        add_placeholder(made, word, count)
    return made


@pytest.mark.parametrize("prompt, expanded", [
    ("a <toy>", "a <toy> <toy>_1 <toy>_2"),
    ("<toy>, and <TOY>!", "<toy> <toy>_1 <toy>_2, and <toy> <toy>_1 <toy>_2!"),
    ("a <hat> and a dog", "a <hat> and a dog"),
    ("<toy>s", "<toy>s <toy>s_1"),
    ("<toy> <toy>_1 <toy>_2", "<toy> <toy>_1 <toy>_2"),
    ("<toy> <toy>_1 <toy>_2 and a <toy>", "<toy> <toy>_1 <toy>_2 and a <toy> <toy>_1 <toy>_2"),
    ("<toy>s_1 and <toy>_2 on <toy>s", "<toy>s_1 and <toy>_2 on <toy>s <toy>s_1"),
    ("", ""),
])
def test_prompts_are_expanded(tokenizer, prompt, expanded):
    assert expand(prompt, placeholders(tokenizer)) == expanded


def test_placeholders_are_found_in_a_tokenizer(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = type(tokenizer).from_pretrained(tmp_path)
    for one in (tokenizer, again):
        assert {word: len(ids) for word, ids in placeholders(one).items()} == {"<toy>": 3, "<hat>": 1, "<toy>s": 2}
    assert placeholders(build_tokenizer(CORPUS)) == {}


def test_a_prompt_that_loses_vectors_is_told_once(tokenizer, monkeypatch):
    told = []
    monkeypatch.setattr(module, "print_log", lambda text, **_: told.append(text))
    module._warned.cache_clear()
    known = placeholders(tokenizer)

    def encode(*prompts):
        rows = tokenizer([expand(prompt, known) for prompt in prompts], truncation=True, max_length=12,
                         padding="max_length").input_ids
        warn_of_cut(prompts, rows, known)

    encode("a photo of a dog <toy>", "a photo of a dog in a bucket", "a <hat>", "a <toy>s")
    assert told == []
    long = "a photo of a dog in a bucket <toy>"
    encode(long, long)
    encode(long)
    assert len(told) == 1
    assert told[0].startswith("1 of 3 vectors of '<toy>' are cut off: the prompt is longer than 12 tokens")


def test_what_is_taken_is_refused(tokenizer):
    check_free(tokenizer, "<new>", 4, "it")
    for word, message in (("<hat>", "'<hat>' is a token of it already"), ("dog", "'dog' is a token of it"),
                          ("<toy>_3", "'<toy>_3' reads as a vector of '<toy>'")):
        with pytest.raises(ValueError, match=message):
            check_free(tokenizer, word, 1, "it")
    with pytest.raises(ValueError, match="'<new>' of 11 vectors does not fit into a prompt: it has room for 10 tokens"):
        check_free(tokenizer, "<new>", 11, "it")
