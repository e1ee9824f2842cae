"""Sentences that a new word is learned in."""

import pytest

from diffkit.datasets import TEMPLATES, ConceptDataset, Draw, ImageTextDataset
from diffkit.datasets.templates import read_templates
from tests.datasets.pictures import folder_of


def prompts(dataset, draws=300):
    return {dataset[Draw(seed % len(dataset), seed)]["prompt"] for seed in range(draws)}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_every_sentence_has_one_place_for_the_word(kind):
    sentences = TEMPLATES[kind]
    assert 18 <= len(sentences) == len(set(sentences))
    for sentence in sentences:
        assert sentence.count("{}") == 1 and sentence == sentence.strip() and len(sentence.split()) < 12


@pytest.mark.parametrize("given", ["style", "Style", "STYLE"])
def test_a_property_brings_its_sentences(tmp_path, given):
    dataset = ConceptDataset(folder_of(tmp_path, 2), placeholder="<art>", learnable_property=given, resolution=8)
    assert prompts(dataset) == {sentence.format("<art>") for sentence in TEMPLATES["style"]}
    assert set(dataset.texts()) == prompts(dataset)


def test_a_file_brings_ones_own(tmp_path):
    file = tmp_path / "templates.txt"
    file.write_bytes("\ufeffa {} by the sea\r\n\n  {} and {}  \nein {} für mich\n".encode())
    dataset = ConceptDataset(folder_of(tmp_path / "pictures", 1), placeholder="<x>", template_file=file, resolution=8)
    assert prompts(dataset) == {"a <x> by the sea", "<x> and <x>", "ein <x> für mich"}


def test_captions_are_read_only_if_they_are_asked_for(tmp_path):
    folder = folder_of(tmp_path, 1)
    (folder / "00.txt").write_text("my {}")
    options = dict(placeholder="<x>", learnable_property="object", resolution=8)
    assert "my <x>" not in prompts(ConceptDataset(folder, **options))
    asked = ConceptDataset(folder, captions="txt", **options)
    assert prompts(asked) == {"my <x>"} == set(asked.texts())
    drawn = ConceptDataset("shapes:cyan_triangle", **{**options, "resolution": 16})
    assert prompts(drawn) == {sentence.format("<x>") for sentence in TEMPLATES["object"]}


def test_texts_are_all_prompts(tmp_path):
    folder = folder_of(tmp_path, 2)
    (folder / "00.txt").write_text("one")
    assert ConceptDataset(folder, ["a {}", "b"], placeholder="x", resolution=8).texts() == ["a x", "b", "one"]
    (folder / "01.txt").write_text("two")
    assert ConceptDataset(folder, ["a {}", "b"], placeholder="x", resolution=8).texts() == ["one", "two"]
    assert ImageTextDataset(folder, resolution=8).texts() == ["one", "two"]


@pytest.mark.parametrize("options, message", [
    (dict(learnable_property="objekt"), "learnable_property must be one of object, style, face, got 'objekt'"),
    (dict(learnable_property="face", placeholder=None), "learnable_property needs placeholder"),
    (dict(learnable_property="face", template_file="x.txt"), "learnable_property and template_file both bring"),
    (dict(learnable_property="face", instance_prompt="a {}"), "instance_prompt and learnable_property both bring"),
    (dict(template_file="x.txt", instance_prompt="a {}"), "instance_prompt and template_file both bring"),
    (dict(template_file="nowhere.txt"), "template_file='nowhere.txt' cannot be read: .*No such file"),
])
def test_bad_arguments_are_named(tmp_path, options, message):
    folder_of(tmp_path, 1)
    with pytest.raises(ValueError, match=message):
        ConceptDataset(tmp_path, resolution=8, **{"placeholder": "<x>", **options})


def test_a_line_without_a_place_is_named(tmp_path):
    file = tmp_path / "templates.txt"
    file.write_text("a {}\n\na photo of it\n")
    with pytest.raises(ValueError, match=r"templates.txt', line 3 has no \{\} for the placeholder: 'a photo of it'"):
        read_templates(file)
    file.write_text("\n \n")
    with pytest.raises(ValueError, match=r"holds no template: write one a line"):
        read_templates(file)
    file.write_bytes(b"a {} \xff")
    with pytest.raises(ValueError, match="cannot be read"):
        read_templates(file)
