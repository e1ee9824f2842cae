"""What the check reads from Python files: names, signatures, the demands of constructors."""

import ast
import importlib
import inspect
import sys
from pathlib import Path

import pytest

from diffkit.utils.config_check.annotations import fits
from diffkit.utils.config_check.evaluate import Unknown, evaluate
from diffkit.utils.config_check.guards import broken_demands
from diffkit.utils.config_check.registered import resolve_name
from diffkit.utils.config_check.resolve import resolve
from diffkit.utils.config_check.signatures import signature_of
from diffkit.utils.config_check.source import find_source
from diffkit.utils.config_check.symbols import OPAQUE, Definition, Missing

REAL = [
    *(
        f"diffkit.models.{name}"
        for name in (
            "LatentDiffusion",
            "LoRATuner",
            "FullTuner",
            "Denoising",
            "StableDiffusion",
            "PyramidNoise",
            "MinSNRWeight",
            "RangeTimesteps",
            "GenerationSettings",
        )
    ),
    *(f"diffkit.datasets.{name}" for name in ("ConceptDataset", "DrawSampler", "ShapesDataset", "collate_samples")),
    *(f"diffkit.engine.{name}" for name in ("OptimWrapper", "StepLoop", "hooks.EMAHook", "hooks.SampleHook")),
    *(f"mmengine.optim.{name}" for name in ("LinearLR", "CosineAnnealingLR", "ConstantLR", "PolyLR", "MultiStepLR")),
    "mmengine.hooks.LoggerHook",
    "mmengine.runner.LogProcessor",
    "mmengine.visualization.Visualizer",
    "mmengine.runner.IterBasedTrainLoop",
    "torch.optim.AdamW",
    "torch.optim.SGD",
    "torch.nn.Linear",
    "torch.utils.data.DataLoader",
    "diffusers.UNet2DConditionModel",
    "diffusers.DDPMScheduler",
]


@pytest.mark.parametrize("dotted", REAL)
def test_signatures_are_those_of_the_imported_classes(dotted):
    module, _, name = dotted.rpartition(".")
    real = inspect.signature(getattr(importlib.import_module(module), name))
    found = resolve(dotted)
    assert isinstance(found, Definition)
    signature = signature_of(found)
    plain = [p for p in real.parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    open_ended = len(plain) < len(real.parameters)
    names = [p.name for p in plain if not p.name.startswith("_")]
    if not open_ended:
        assert list(signature.params) == names
        assert not signature.open
        required = {p.name for p in plain if p.default is p.empty}
        assert {p.name for p in signature.params.values() if p.required} == required
    assert set(names) <= set(signature.params)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes modules of a package ``kitten`` that cannot be imported, only read."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(**modules: str) -> None:
        for name, text in modules.items():
            path = tmp_path / "kitten" / f"{'__init__' if name == 'init' else name}.py"
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    yield write
    assert "kitten" not in sys.modules


def test_names_are_followed_through_imports(package):
    package(
        init="from .a import *\nfrom . import b as bee\nimport kitten.a as again\nif X:\n    from .b import Cat\n",
        a="class Dog: ...\n_hidden = 1\nPuppy = Dog\n",
        b="try:\n    from no import Cat\nexcept ImportError:\n    Cat = 1\nclass Cat:\n    def purr(self): ...\n",
    )
    for dotted, expected in [
        ("kitten.Dog", "Dog"),
        ("kitten.bee.Cat", "Cat"),
        ("kitten.again.Puppy", "Dog"),
        ("kitten.Cat.purr", "Cat.purr"),
        ("kitten.b.Cat", "Cat"),
    ]:
        found = resolve(dotted)
        assert isinstance(found, Definition)
        assert found.name == expected
    missing = resolve("kitten.Dogg")
    assert isinstance(missing, Missing)
    assert "Dog" in missing.candidates
    assert isinstance(resolve("kitten.Cat.bark"), Missing)
    assert isinstance(resolve("nothing_of_this_name.X"), Missing)


def test_names_made_at_run_time_are_left_alone(package):
    package(
        init="def __getattr__(name): ...\n", a="globals().update(x=1)\n", b="import sys\nsys.modules[__name__] = 1\n"
    )
    assert resolve("kitten.Anything") is resolve("kitten.a.Any") is resolve("kitten.b.Any") is OPAQUE
    assert resolve("math.sqrt") is OPAQUE


def test_an_import_of_itself_ends(package):
    package(init="from kitten import x as x\nfrom .a import y\n", a="from kitten import y\n")
    assert not isinstance(resolve("kitten.y"), Definition)
    assert not isinstance(resolve("kitten.x"), Definition)


def test_a_file_that_changes_is_read_again(package):
    package(init="class A: ...\n")
    assert isinstance(resolve("kitten.A"), Definition)
    package(init="class Other: ...\n")
    assert isinstance(resolve("kitten.A"), Missing)


def test_keywords_are_followed_to_where_they_go(package):
    package(
        init="""
from dataclasses import dataclass, field

class A:
    def __init__(self, a, b=1): ...
class B(A):
    def __init__(self, c, **kwargs):
        super().__init__(3, **kwargs)
class Mixin:
    def __init__(self, m, *args, **kw):
        super().__init__(m, *args, **kw)
class C(Mixin, A): ...
class D(B):
    def __init__(self, *, d, **kwargs):
        self.x = kwargs.pop("x", None)
        B.__init__(self, c=2, **kwargs)
class Stores(A):
    def __init__(self, **kwargs):
        self.kwargs = kwargs
class Unknown(SomethingElse):
    '''No arguments that can be seen.'''
class Nothing: ...
@dataclass
class Point:
    x: int
    y: int = 0
    z: int = field(default=0, init=False)
@dataclass
class Named(Point):
    name: str = ""
def make(cls, n): ...
class Factory(A):
    @classmethod
    def build(cls, times, **kw):
        return cls(**kw)
    @staticmethod
    def plain(n): ...
"""
    )
    expected = {
        "A": (["a", "b"], False),
        "B": (["c", "b"], False),
        "C": (["m", "b"], False),
        "D": (["d", "x", "b"], False),
        "Stores": ([], True),
        "Unknown": ([], True),
        "Nothing": ([], False),
        "Point": (["x", "y"], False),
        "Named": (["x", "y", "name"], False),
        "make": (["cls", "n"], False),
        "Factory.build": (["times", "a", "b"], False),
        "Factory.plain": (["n"], False),
    }
    for name, (params, is_open) in expected.items():
        found = resolve(f"kitten.{name}")
        assert isinstance(found, Definition), name
        signature = signature_of(found)
        assert (name, list(signature.params), signature.open) == (name, params, is_open)


def test_strings_name_classes():
    for name, registry, module in [
        ("LoRATuner", "TUNERS", "diffkit.models.tuners.lora"),
        ("CheckpointHook", "HOOKS", "diffkit"),
        ("mmengine.CheckpointHook", "HOOKS", "mmengine.hooks.checkpoint_hook"),
        ("AdamW", "OPTIMIZERS", "torch.optim"),
        ("diffkit.models.LoRATuner", "", "diffkit.models.tuners.lora"),
        ("torch.optim.AdamW", "OPTIMIZERS", "torch.optim"),
        ("TorchAdafactor", "OPTIMIZERS", "torch.optim"),
    ]:
        found = resolve_name(name, registry)
        assert isinstance(found, Definition), name
        assert found.source.name.startswith(module)
    missing = resolve_name("LoraTunr", "TUNERS")
    assert isinstance(missing, Missing)
    assert "LoRATuner" in missing.candidates
    assert isinstance(resolve_name("LoRATuner", "HOOKS"), Missing)
    assert resolve_name("bnb_AdamW8bit", "OPTIMIZERS") is OPAQUE


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int", [1, -3], [1.0, True, "1", None, [1]]),
        ("float", [1, 1.5], ["1", True, None, dict(a=1)]),
        ("str", ["a"], [1, None, dict(type="x")]),
        ("bool", [True], [1, "yes", None]),
        ("int | None", [1, None], ["a"]),
        ("Optional[Union[int, str]]", [1, "a", None], [1.5, [1]]),
        ("'str | Path'", ["a"], [1]),
        ("Literal['a', 2]", ["a", 2], ["b", 2.0, True]),
        ("list[int]", [[1], (1, 2), []], [["a"], 1, "ab", [True]]),
        ("tuple[int, float]", [(1, 2), [1, 2.5]], [(1,), (1, 2, 3), ("a", 1)]),
        ("tuple[int, ...]", [(), (1, 2, 3)], [("a",), 1]),
        ("Sequence[str] | str", ["a", ["a"]], [1, [1]]),
        ("dict[str, dict]", [{}, {"a": {}}, {"type": "X", "b": 1}], [{"a": 1}, {1: {}}, [{}]]),
        ("dict", [{"a": 1}], ["a", 1, None]),
        ("Tensor", [{"type": "X"}], [1, "a", {"a": 1}]),
        ("float | Tensor", [0.1, {"type": "X"}], ["a", {"a": 1}]),
        ("Callable", [{"type": "X"}, "name"], [1, 2.5]),
        ("Any", [1, None, "a", {}], []),
        ("NoIdeaWhatThisIs", [1, None, "a", {}], []),
        ("MODES", ["x"], ["z"]),
        ("Annotated[int, 'note']", [1], ["a"]),
    ],
)
def test_values_fit_annotations(package, annotation, good, bad):
    package(init="from typing import Literal\nMODES = Literal['x', 'y']\n")
    source = find_source("kitten")
    node = ast.parse(annotation, mode="eval").body
    assert [value for value in good if not fits(value, node, source)] == []
    assert [value for value in bad if fits(value, node, source)] == []


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("0 <= a < 2 and b in NAMES", True),
        ("not a or b", "x"),
        ("f'{a!r}: {b:>3} {c}'", "1:   x …"),
        ("', '.join(sorted(NAMES))", "x, y"),
        ("[n for n in NAMES if n != b]", ["y"]),
        ("len(NAMES) * 2 - 1", 3),
        ("isinstance(a, (int, str)) if a else None", True),
        ("TABLE['k']", 3),
        ("max(a, 5) / 2", 2.5),
        ("c", Unknown),
        ("open('x')", Unknown),
        ("a < b", Unknown),
        ("b.upper()", "X"),
        ("OTHER", Unknown),
        ("(lambda: 1)()", Unknown),
        ("'x' * 10**9", Unknown),
        ("2 ** 10**9", Unknown),
        ("__import__('os')", Unknown),
    ],
)
def test_only_plain_expressions_have_a_value(package, expression, value):
    package(init="NAMES = ('x', 'y')\nTABLE = {'k': 3, 'f': print}\nOTHER = input()\n")
    node = ast.parse(expression, mode="eval").body
    try:
        found = evaluate(node, {"a": 1, "b": "x", "c": Unknown}, find_source("kitten"))
    except Unknown:
        found = Unknown
    assert found == value


DEMANDS = """
import re
from dataclasses import dataclass
LIMITS = {"a": 1, "b": something()}

class Base:
    def __init__(self, size=1):
        self.size = size
        if size > 9:
            raise ValueError(f"{type(self).__name__}: size is {size}")

@dataclass
class Settings:
    steps: int = 5
    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"steps is {self.steps}")

class Thing(Base):
    def __init__(self, rank=1, alpha=None, name="a", pattern="x", items=(), settings=None, low=0, high=1, **more):
        super().__init__(**more)
        if rank < 1:
            raise ValueError(f"rank is {rank}")
        if alpha is None:
            alpha = rank
        if alpha > 100:
            raise ValueError("alpha is large")
        if name not in LIMITS:
            raise ValueError(f"name is {name!r}{did_you_mean(name, LIMITS)}")
        try:
            self.pattern = re.compile(pattern)
        except re.error as error:
            raise ValueError(f"pattern: {error}") from None
        for key, value in (("low", low), ("high", high)):
            if value < 0:
                raise ValueError(f"{key} is {value}")
        found = []
        for item in unknown_function(items):
            found.append(item)
        if not found:
            raise ValueError("never known")
        self.settings = Settings(**(settings or {}))
        self.check(high)
        if LATER():
            return
        assert rank > 1000, "not reached for certain"

    def check(self, top):
        if self.size > top:
            raise ValueError(f"size {self.size} is above {top}")
"""


@pytest.mark.parametrize(
    ("arguments", "about", "message"),
    [
        ({}, None, ""),
        ({"rank": 0}, "rank", "rank is 0"),
        ({"rank": 101, "high": 2}, "rank", "alpha is large"),
        ({"alpha": 200}, "alpha", "alpha is large"),
        ({"alpha": Unknown, "rank": 500}, None, ""),
        ({"name": "c"}, "name", "name is 'c'; allowed: a, b"),
        ({"pattern": "("}, "pattern", "pattern: missing ), unterminated subpattern at position 0"),
        ({"low": -1}, "low", "low is -1"),
        ({"size": 12, "high": 20}, "size", "Thing: size is 12"),
        ({"size": 3}, "size", "size 3 is above 1"),
        ({"settings": {"steps": 0}}, "settings.steps", "steps is 0"),
        (
            {"settings": {"step": 0}},
            "settings.step",
            'Settings takes no argument "step" (given 0); did you mean "steps"?',
        ),
        ({"settings": {"steps": "x"}}, "settings.steps", "Settings wants int, given 'x'"),
    ],
)
def test_demands_of_a_constructor_are_tried(package, arguments, about, message):
    package(init=DEMANDS)
    thing = resolve("kitten.Thing")
    assert isinstance(thing, Definition)
    demands = broken_demands(thing, arguments)
    assert [d.message for d in demands] == ([message] if message else [])
    if about:
        assert demands[0].arguments[0] == about
