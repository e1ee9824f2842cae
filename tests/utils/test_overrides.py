"""Values from the command line."""

import math

import pytest

from diffkit.utils.overrides import parse_overrides, parse_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("1e-4", 1e-4),
        ("-1", -1),
        ("true", True),
        ("False", False),
        ("None", None),
        ("none", None),
        ("[1,2]", [1, 2]),
        ("(1, 2)", (1, 2)),
        ("1,2", [1, 2]),
        ("[a,b]", ["a", "b"]),
        ("[a, b c]", ["a", "b c"]),
        ("a,b", ["a", "b"]),
        ("[[1,2],[3]]", [[1, 2], [3]]),
        ("[a,[b,c]]", ["a", ["b", "c"]]),
        ("[]", []),
        ("{'a': 1}", {"a": 1}),
        ("mini-sd", "mini-sd"),
        ("work_dirs/a/step9", "work_dirs/a/step9"),
        ("", ""),
        ('"1"', "1"),
        ("'true'", "true"),
        ("inf", math.inf),
        ("a=b", "a=b"),
        ("<cat-toy>", "<cat-toy>"),
        ("a photo of a sks dog", "a photo of a sks dog"),
        ("a dog, in the snow", "a dog, in the snow"),
        ("['a dog, wet','a cat']", ["a dog, wet", "a cat"]),
    ],
)
def test_values(text, value):
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_overrides():
    assert parse_overrides(["a.b=1", "c=x=y", "a.b=2"]) == {"a.b": 2, "c": "x=y"}
    assert parse_overrides(None) == {}


@pytest.mark.parametrize("option", ["novalue", "=1", " =1"])
def test_what_is_no_override(option):
    with pytest.raises(ValueError, match="expected KEY=VALUE"):
        parse_overrides([option])
