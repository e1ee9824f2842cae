"""The report on this machine: text and JSON, and a hub that answers, refuses, or says nothing."""

import json
import socket
import threading
import time
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from diffkit.cli import main
from diffkit.commands import doctor
from tests.utils.hub import hub, online


def report(capsys):
    status = main(["doctor", "--json"])
    return status, json.loads(capsys.readouterr().out)


@pytest.fixture
def installed(monkeypatch):
    """diffkit as it is after its installation, with some requirements; gives the list of them."""
    real, needed = metadata.version, ["torch>=2"]
    monkeypatch.setattr(metadata, "requires", lambda name: needed)
    monkeypatch.setattr(metadata, "version", lambda name: "0.1.0" if name == "diffkit" else real(name))
    return needed


def test_json_and_text_say_the_same(capsys, installed):
    status, found = report(capsys)
    assert main(["doctor"]) == status == (1 if found["problems"] else 0)
    text = capsys.readouterr().out
    by_name = {line["name"]: line for line in found["findings"]}
    assert found["problems"] == sum(bool(line["fault"]) for line in found["findings"])
    for name in ("python", "torch", "torch build", "CPU", "free space here", "free space for models",
                 "Hugging Face hub", "openvino (optional)", "onnx (optional)"):
        assert name in by_name and f"\n{name}  " in f"\n{text}", name
    assert by_name["torch"]["value"] == metadata.version("torch")
    assert by_name["Hugging Face hub"]["value"] == "off (HF_HUB_OFFLINE is set)"


def test_a_package_that_is_missing_or_too_old_is_a_problem(capsys, installed):
    installed += ["peft>=99", "no-such-package>=1"]
    status, found = report(capsys)
    faults = {line["name"]: line["fault"] for line in found["findings"] if line["fault"]}
    assert status == 1 and faults["peft"] == "needs >=99" and "torch" not in faults
    assert faults["no-such-package"] == "run: pip install 'no-such-package>=1'"


def test_little_space_is_said(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: SimpleNamespace(free=2**30))
    assert all("make room" in found.fault and found.value.startswith("1.0 GiB") for found in doctor.spaces())


def test_folders_that_are_not_there_yet_have_the_space_of_those_above(monkeypatch, tmp_path):
    monkeypatch.setenv("DIFFKIT_CACHE", str(tmp_path / "a" / "b"))
    asked = []
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda place: asked.append(place) or SimpleNamespace(free=2**40))
    assert [found.fault for found in doctor.spaces()] == ["", "", ""]
    assert asked[-1] == tmp_path and asked[0] == Path.cwd()


def test_a_hub_that_answers_gets_no_token(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secretsecretsecretsecret")
    with hub(monkeypatch, {}) as asked:
        found = doctor.hub()
    assert "answers" in found.value and found.value.endswith("; logged in") and not found.fault
    assert "secret" not in str(found) and len(asked) == 1


def test_a_hub_that_cannot_be_reached_is_no_problem(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    online(monkeypatch, "http://127.0.0.1:9")  # nothing listens there
    found = doctor.hub()
    assert "cannot be reached" in found.value and not found.fault


@pytest.mark.parametrize("where", ["connection", "name"])
def test_a_hub_that_says_nothing_does_not_keep_the_report_waiting(monkeypatch, where):
    monkeypatch.setattr(doctor, "HUB_TIMEOUT", 0.3)
    if where == "name":  # the time that a request may take does not count for the look-up of its name
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: time.sleep(5))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        online(monkeypatch, f"http://localhost:{silent.getsockname()[1]}")
        began = time.monotonic()
        found = doctor.hub()
        assert time.monotonic() - began < 2
    assert "no answer in 0.3 s" in found.value or "timed out" in found.value


def test_a_password_in_the_address_of_a_mirror_is_not_shown(monkeypatch):
    online(monkeypatch, "http://me:secret@127.0.0.1:9/mirror")
    found = doctor.hub()
    assert "secret" not in str(found) and "http://…@127.0.0.1:9/mirror" in found.value


def test_a_hub_that_speaks_no_http_is_said(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        online(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}")

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"no http at all\n")

        threading.Thread(target=answer, daemon=True).start()
        found = doctor.hub()
    assert "cannot be reached" in found.value and "no http" in found.value
