"""What the page may name: folders below the roots, and nothing else."""

from pathlib import Path

import pytest

from diffkit.app.fields import FieldError
from diffkit.app.roots import Roots


@pytest.fixture
def place(tmp_path):
    """A root with a folder in it, a folder beside the root, and links that lead out of it and into it."""
    (tmp_path / "root" / "run" / "step9").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path / "secret")
    (tmp_path / "in").symlink_to(tmp_path / "root" / "run")
    return tmp_path


@pytest.mark.parametrize("text", ["run/step9", "{}/root/run/step9", "run/../run/step9", "{}/in/step9", "./run/step9"])
def test_a_folder_below_a_root_is_found(place, text):
    assert Roots([place / "root"]).folder("Step", text.format(place)) == place / "root" / "run" / "step9"


@pytest.mark.parametrize("text", ["..", "../secret", "{}/secret", "out", "{}/root/out", "run/../../secret", "/", "/etc",
                                  "{}/root/../secret", "~", "{}/root_other", "out/../../secret"])
def test_what_leaves_the_roots_is_refused(place, text):
    with pytest.raises(FieldError, match=r"lies outside of the folders|there is no folder") as caught:
        Roots([place / "root"]).folder("Step", text.format(place))
    assert caught.value.field == "Step" and str(place / "root") in caught.value.message


def test_of_what_lies_outside_nothing_is_told(place):
    roots = Roots([place / "root"])
    messages = []
    for name in ("secret", "nothing"):
        with pytest.raises(FieldError) as caught:
            roots.folder("Step", str(place / name))
        messages.append(caught.value.message.replace(name, ""))
    assert messages[0] == messages[1]


def test_a_missing_folder_inside_and_a_zero_byte_have_their_own_words(place):
    with pytest.raises(FieldError, match="there is no folder"):
        Roots([place / "root"]).folder("Step", "run/step10")
    with pytest.raises(FieldError, match="zero byte"):
        Roots([place / "root"]).folder("Step", "run\0")


def test_several_roots(place):
    roots = Roots([place / "root", place / "secret"])
    assert roots.folder("Step", "out") == place / "secret" and roots.work == place / "root"
    assert roots.short(place / "root" / "run") == "root/run"


def test_a_root_that_holds_everything_is_refused(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place / "root"))
    for folder in (place / "root", place, "/"):
        with pytest.raises(ValueError, match=r"--root: .* home folder"):
            Roots([folder])
    with pytest.raises(ValueError, match="no folder"):
        Roots([place / "none"])
    assert Roots([place / "root" / "run"]).folders == [Path(place / "root" / "run")]
