"""Commands on the pages exist, with their options and their configs."""

import argparse
import re
import shlex

import pytest

from diffkit import cli
from diffkit.apis.configs import find_config
from tests.docs.pages import ROOT, Block, blocks_of, pages, prose

#: Options that mim itself takes before it starts a script.
MIM_OPTIONS = {"--gpus": 1, "--gpus-per-node": 1, "--partition": 1, "--srun-args": 1}
#: Commands that start another one in several processes.
STARTERS = {"torchrun", "srun", "mpirun"}
#: Files of the user that pages make or speak of.
OWN_CONFIGS = {"my_dog.py", "my_heart.py", "my_experiment.py", "my_validated.py", "bad.py", "CONFIG"}


def command_lines() -> list[tuple[str, str]]:
    """(place, command) of every command on a page: in blocks of bash, and between backticks."""
    found = []
    for block in blocks_of("bash", "console"):
        text = block.text.replace("\\\n", " ")
        found += [(block.place, line.split(" #")[0].strip().removeprefix("$ ")) for line in text.splitlines()]
    for page in pages():
        found += [(page.name, code) for code in re.findall(r"`((?:diffkit|mim|make|python tools/)[^`]*)`", prose(page))]
    return [(place, line) for place, line in found if line and not line.startswith("#")]


def parser_of(name: str) -> argparse.ArgumentParser:
    module = cli._module(name)
    parser = argparse.ArgumentParser(exit_on_error=False)
    cli._fill(parser, module)
    return parser


def tool_command(script: str) -> str:
    """The command that a script of tools/ runs; a name in capitals stands for any of them."""
    if script.isupper():
        return script
    text = (ROOT / "tools" / f"{script.removesuffix('.py')}.py").read_text(encoding="utf-8")
    return re.findall(r'run_tool\("([\w-]+)"\)', text)[0]


def arguments(line: str) -> tuple[str, list[str]] | None:
    """The command and its arguments, of any of the ways to start it; None for other programs."""
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=\S+", word)]
    match words:
        case ["diffkit", name, *rest] if not name.startswith("-"):
            return name, rest
        case ["mim", "train" | "test" as name, "diffkit", *rest]:
            return name, without_mim(rest)
        case ["mim", "run", "diffkit", script, *rest]:
            return tool_command(script), rest
        case ["python", script, *rest] if script.startswith("tools/"):
            return tool_command(script.removeprefix("tools/")), rest
        case [starter, *rest] if starter in STARTERS:
            return arguments(shlex.join(rest[rest.index("diffkit"):]))
    return None


def without_mim(words: list[str]) -> list[str]:
    kept, skip = [], 0
    for word in words:
        if skip:
            skip -= 1
        elif word in MIM_OPTIONS:
            skip = MIM_OPTIONS[word]
        else:
            kept.append(word)
    return kept


@pytest.mark.parametrize(("place", "line"), command_lines())
def test_commands_are_understood(place: str, line: str) -> None:
    found = arguments(line)
    if found is None:
        return
    name, words = found
    if name in ("COMMAND", "TOOL", "NAME"):
        return
    assert name in cli.COMMANDS or name == "build-mini-sd", line
    if {"--help", "-h"} & set(words) or "…" in line or line.endswith(name):
        return
    parsed = parser_of(name).parse_args(words)
    config = getattr(parsed, "config", None)
    if config and config not in OWN_CONFIGS:
        find_config(config)
    if name == "copy-cfg":
        find_config(parsed.name)


@pytest.mark.parametrize(("place", "line"), [(p, c) for p, c in command_lines() if c.startswith("make")])
def test_targets_of_make_exist(place: str, line: str) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    for word in shlex.split(line.split("…")[0])[1:]:
        if "=" in word:
            assert re.search(rf"^{word.partition('=')[0]}\s*\?=", text, re.MULTILINE), line
        else:
            assert re.search(rf"^{word}:", text, re.MULTILINE), line


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_configs_that_a_page_names_exist(page: object) -> None:
    bases = {path.stem for path in (ROOT / "configs/_base_").rglob("*.py")}
    names = re.findall(r"`((?:mini|small|tiny|stable)_\w+)(?:\.py)?`", prose(page))  # type: ignore[arg-type]
    for name in names:
        if name not in bases:
            find_config(name)


def test_blocks_are_closed() -> None:
    for page in pages():
        assert page.read_text(encoding="utf-8").count("```") % 2 == 0, page
    assert all(isinstance(block, Block) for block in blocks_of("bash"))
