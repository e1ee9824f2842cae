"""What the page sends is read strictly; messages name the field, what was given and what is allowed."""

import pytest

from diffkit.app.fields import FieldError, Fields, file_name
from diffkit.app.paint_settings import read_settings


@pytest.mark.parametrize(("field", "value", "words"), [
    ("prompt", "", "is empty"), ("prompt", 5, "allowed: a text"), ("prompt", "x" * 2001, "given 2001 characters"),
    ("prompt", "a\x00b", "printable"), ("steps", 0, "allowed: numbers from 1 to 200"), ("steps", "x", "given 'x'"),
    ("steps", 2.5, "given 2.5; allowed: whole numbers from 1 to 200"), ("steps", True, "given True"),
    ("steps", [1], "allowed: numbers"), ("guidance", "nan", "given 'nan'"), ("guidance", 1e9, "from 0 to 50"),
    ("pictures", 65, "from 1 to 64"), ("seed", -1, "from 0 to"), ("sampler", "dpm", "allowed: auto, dpm++"),
    ("width", 70, "multiples of 8"), ("height", 4096, "from 32 to 2048"), ("columns", 0, "from 1 to 16")])
def test_a_setting_that_is_not_allowed(field, value, words):
    with pytest.raises(FieldError) as caught:
        read_settings({"prompt": "a cat", field: value})
    assert caught.value.field == field and words in caught.value.message


def test_settings_and_their_defaults():
    settings = read_settings({"prompt": " a cat ", "pictures": "2", "seed": "7", "width": "64", "height": ""})
    assert (settings.prompt, settings.negative, settings.width, settings.height) == ("a cat", None, 64, None)
    assert settings.wanted == [("a cat", 7), ("a cat", 8)]
    assert (settings.steps, settings.guidance, settings.sampler, settings.columns) == (25, 7.5, "auto", 2)


def test_forms_that_are_none():
    for values in (None, [], "x", 3):
        with pytest.raises(FieldError, match="an object with fields"):
            Fields(values)
    with pytest.raises(FieldError, match="Model A, step folders: given 3; allowed: a list"):
        Fields({"step_folders": 3}, "Model A").items("step_folders", 2)
    with pytest.raises(FieldError, match="allowed: 2 at most"):
        Fields({"steps": [1, 2, 3]}).items("steps", 2)


@pytest.mark.parametrize(("name", "good"), [
    ("a_1.png", True), ("..", False), (".a", False), ("a/b", False), ("", False), ("a..b", False), ("a\n", False),
    ("a b", False)])
def test_plain_names(name, good):
    assert file_name(name) is good
