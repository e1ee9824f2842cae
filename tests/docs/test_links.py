"""Links between the pages lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, pages, prose

_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def slug(heading: str) -> str:
    """The anchor that a heading gets."""
    plain = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    return {slug(match[1]) for match in re.finditer(r"^#+ (.+)$", prose(page), re.MULTILINE)}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in _LINK.findall(prose(page)):
        if re.match(r"(https?|mailto):", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in anchors(path)):
            broken.append(target)
    assert not broken


def test_every_page_is_in_a_table_of_contents() -> None:
    listed = set(re.findall(r"^(\w+)$", (ROOT / "docs/index.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert listed == {page.stem for page in ROOT.glob("docs/*.md")} - {"index"}


def test_every_folder_of_configs_has_a_page_with_all_its_configs() -> None:
    for folder in sorted(ROOT.glob("configs/[a-z]*")):
        names = {path.stem for path in folder.glob("*.py")}
        text = (folder / "README.md").read_text(encoding="utf-8")
        listed = set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE))
        assert listed == names, folder.name


def test_the_readme_names_every_folder_of_configs() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for folder in ROOT.glob("configs/[a-z]*"):
        assert f"configs/{folder.name}/README.md" in text
