"""Prompts of protocols: which, how many, with which seeds, and what is wrong with their files."""

import json

import pytest

from diffkit.datasets.protocols import CustomConceptPrompts, DreamBoothPrompts
from diffkit.datasets.subject_prompts import OWN_PROMPTS
from diffkit.registry import DATASETS

FILE = """Classes

subject_name,class
lamp,lamp
bear_plushie,stuffed animal
dog6,dog

Prompts

Object Prompts

prompt_list = [
'a {0} {1} near a wall'.format(unique_token, class_token),
'a tall {0} {1}'.format(unique_token, class_token)
]

Live Subject Prompts

prompt_list = [
'a {0} {1} asleep'.format(unique_token, class_token)
]
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "prompts_and_classes.txt"
    path.write_text(FILE)
    return str(path)


def test_own_prompts_are_25_for_each_kind():
    for forms in OWN_PROMPTS.values():
        assert len(set(forms)) == 25 and all(form.count("{}") == 1 for form in forms)
    prompts = DATASETS.build({"type": "DreamBoothPrompts", "subjects": {"rex": "dog", "pot": "vase"}})
    assert len(prompts) == 2 * 25 * 4
    items = [prompts[i] for i in range(len(prompts))]
    assert len({item["seed"] for item in items}) == len(items)  # one for each picture
    assert items[0]["prompt"] == items[3]["prompt"] != items[4]["prompt"]
    assert items[0]["caption"] == items[0]["prompt"].replace("sks dog", "dog")
    assert [item["subject"] for item in items] == ["rex"] * 100 + ["pot"] * 100
    assert any("crown" in item["prompt"] for item in items[:100])
    assert not any("crown" in item["prompt"] for item in items[100:])


def test_the_file_of_the_paper_is_read(file):
    prompts = DreamBoothPrompts(file, placeholder={"lamp": "<a>", "bear_plushie": "<b>", "dog6": "<c>"}, images_num=1)
    assert [prompts[i]["prompt"] for i in range(len(prompts))] == [
        "a <a> lamp near a wall", "a tall <a> lamp", "a <b> stuffed animal near a wall", "a tall <b> stuffed animal",
        "a <c> dog asleep"]
    assert prompts[4]["caption"] == "a dog asleep"
    one = DreamBoothPrompts(file, subjects=["dog6"], seed=3)
    assert len(one) == 4 and one[0]["seed"] != DreamBoothPrompts(file, subjects=["dog6"])[0]["seed"]


@pytest.fixture
def concepts(tmp_path):
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "barn.txt").write_text("photo of a {}.\n\n{} in the rain\n")
    entries = [{"instance_prompt": f"photo of {article}<new1> {name}", "class_prompt": name,
                "instance_data_dir": f"./x/{folder}", "class_data_dir": "./y", "prompt_filename": "prompts/barn.txt"}
               for article, name, folder in (("a ", "barn", "scene_barn"), ("", "boots", "boots2"))]
    (tmp_path / "dataset.json").write_text(json.dumps(entries))
    return tmp_path


def test_custom_concepts_are_read(concepts):
    prompts = DATASETS.build({"type": "CustomConceptPrompts", "root": str(concepts)})
    assert [(prompts[i]["prompt"], prompts[i]["caption"], prompts[i]["subject"]) for i in range(len(prompts))] == [
        ("photo of a <new1> barn.", "photo of a barn.", "scene_barn"),
        ("<new1> barn in the rain", "barn in the rain", "scene_barn"),
        ("photo of a <new1> boots.", "photo of a boots.", "boots2"),
        ("<new1> boots in the rain", "boots in the rain", "boots2")]
    assert len(CustomConceptPrompts(str(concepts), ["boots2"], images_num=50)) == 100


@pytest.mark.parametrize(("build", "message"), [
    (lambda file, root: DreamBoothPrompts(), "subjects must be a dict"),
    (lambda file, root: DreamBoothPrompts("none.txt"), "does not exist: clone github.com/google/dreambooth"),
    (lambda file, root: DreamBoothPrompts(file, ["dog5"]), 'no subject \'dog5\' among the 3; did you mean "dog6"'),
    (lambda file, root: DreamBoothPrompts(file, placeholder={"lamp": "a"}), "no word for the subject 'bear_plushie'"),
    (lambda file, root: DreamBoothPrompts(file, images_num=0), "images_num must be at least 1"),
    (lambda file, root: DreamBoothPrompts(str(root / "dataset.json")), "lacks classes or prompts"),
    (lambda file, root: CustomConceptPrompts(str(root / "prompts")), "has no dataset.json: clone"),
    (lambda file, root: CustomConceptPrompts(str(root), ["barn"]), "no subject 'barn'")])
def test_mistakes_are_named(build, message, file, concepts):
    with pytest.raises(ValueError, match=message):
        build(file, concepts)


def test_a_file_that_leads_out_of_the_folder_is_refused(concepts):
    entries = json.loads((concepts / "dataset.json").read_text())
    entries[0]["prompt_filename"] = "../secret.txt"
    (concepts.parent / "secret.txt").write_text("a {}")
    (concepts / "dataset.json").write_text(json.dumps(entries))
    with pytest.raises(ValueError, match=r"no file '\.\./secret\.txt'"):
        CustomConceptPrompts(str(concepts))
    (concepts / "dataset.json").write_text('[{"class_prompt": "a"}]')
    with pytest.raises(ValueError, match="is not that of CustomConcept101"):
        CustomConceptPrompts(str(concepts))
