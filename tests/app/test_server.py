"""The server refuses what a page of another site could send, gives out no file by its path, and goes on."""

import http.client
import json
import signal
import threading
import time

import pytest

from diffkit import cli
from diffkit.app import server as module
from diffkit.app.api import Api
from diffkit.app.roots import Roots
from diffkit.app.server import AppServer, is_loopback
from tests.app.test_photos import picture


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    root = tmp_path_factory.mktemp("app") / "work_dirs"
    root.mkdir()
    (root / "secret.png").write_bytes(picture())
    api = Api(Roots([root]))
    with AppServer(api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
    api.close()


def ask(server, method, path, body=None, **headers):
    """Status, headers and content of an answer; a header that is None is not sent."""
    # the first answer imports the models, which takes long on a busy machine
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=300)
    sent = {"Host": f"127.0.0.1:{server.server_port}"} | ({"X-Diffkit": "1"} if method == "POST" else {})
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    if data is not None and "Content_Length" not in headers:
        sent["Content-Length"] = str(len(data))
    for name, value in sent.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders(data)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    found = json.loads(content) if answer.headers["Content-Type"] == "application/json" else content
    return answer.status, answer.headers, found


def test_the_page_and_its_parts_load_nothing_from_elsewhere(app):
    status, headers, _ = ask(app, "GET", "/")
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8"
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    parts = {path.name: path.read_text(encoding="utf-8") for path in module.PAGE.iterdir()}
    for name, text in parts.items():
        assert ask(app, "GET", f"/page/{name}")[2].decode() == text
        assert "https://" not in text and "http://" not in text.replace("http://www.w3.org/2000/svg", ""), name
        assert "innerHTML" not in text and "eval(" not in text, name


def test_what_can_be_chosen(app):
    status, _, state = ask(app, "GET", "/api/state")
    assert status == 200 and [each["name"] for each in state["bases"]] == ["mini-sd", "mini-sdxl"]
    assert state["config"] == "mini_sd_dreambooth_lora" and state["limits"]["photos"] == 50


@pytest.mark.parametrize("headers", [
    {"Host": "evil.example"}, {"Host": "evil.example:7860"}, {"Host": None}, {"Host": "192.168.1.5"}, {"Host": "[evil"},
    {"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"}, {"X_Diffkit": None}])
def test_requests_of_other_sites_are_refused(app, headers):
    status, _, found = ask(app, "POST", "/api/photos", {}, **headers)
    assert status == 403 and found["error"]["message"]


def test_the_own_page_is_heard(app):
    own = f"http://localhost:{app.server_port}"
    status, _, found = ask(app, "POST", "/api/photos", {}, Host=own.removeprefix("http://"), Origin=own,
                           Sec_Fetch_Site="same-origin")
    assert status == 200 and len(found["photos"]) == 16


@pytest.mark.parametrize("path", [
    "/page/../server.py", "/page/..%2fserver.py", "/page/%2e%2e/server.py", "//etc/passwd", "/page//etc/passwd",
    "/page/", "/page/%00", "/pictures/x/../../secret.png", "/pictures/x/..%2f..%2fsecret.png", "/samples/../secret.png",
    "/samples/x/secret.png", "/samples/..%2f..%2fapp/secret.png", "/secret.png", "/work_dirs/secret.png",
    "/api/jobs/..", "/api/trainings/..%2f..", "/nothing"])
def test_no_file_is_given_out_by_its_path(app, path):
    status, _, found = ask(app, "GET", path)
    assert status in (400, 404) and set(found) == {"error"}


@pytest.mark.parametrize(("path", "body", "headers", "status"), [
    ("/api/paint", b"{", {}, 400), ("/api/paint", b"[" * 50_000, {}, 400), ("/api/paint", b"\xff", {}, 400),
    ("/api/paint", b"[]", {}, 400), ("/api/paint", b"{}", {"Content_Length": None}, 411),
    ("/api/paint", b"{}", {"Content_Length": "-1"}, 411), ("/api/paint", b"{}", {"Content_Length": "9" * 12}, 413),
    ("/api/paint", b"x" * 200_001, {}, 413), ("/api/photos/x", b"", {"Content_Length": "25000001"}, 413),
    ("/api/nothing", b"{}", {}, 404), ("/api/trainings/x/delete", b"{}", {}, 400),
    ("/api/trainings/x/stop", b"{}", {}, 400), ("/api/jobs/x/save", b"{}", {}, 400)])
def test_requests_that_are_wrong(app, path, body, headers, status):
    found = ask(app, "POST", path, body, **headers)
    assert found[0] == status and found[2]["error"]["message"] and ask(app, "GET", "/")[0] == 200


def test_other_methods_are_not_known(app):
    assert ask(app, "PUT", "/")[0] == ask(app, "DELETE", "/")[0] == ask(app, "OPTIONS", "/api/paint")[0] == 501


@pytest.mark.parametrize(("values", "field", "words"), [
    ({"model": {"base": "mini-sd"}}, "prompt", "is empty"),
    ({"model": {"base": "/etc"}, "prompt": "x"}, "Model, base", "outside of the folders that this app may read"),
    ({"model": {"base": "mini-sd"}, "prompt": "x", "steps": 900}, "steps", "given 900; allowed: numbers from 1 to")])
def test_a_mistake_names_the_field_what_was_given_and_what_is_allowed(app, values, field, words):
    status, _, found = ask(app, "POST", "/api/paint", values)
    assert status == 400 and found["error"]["field"] == field and words in found["error"]["message"]


def test_a_training_without_photographs_says_what_to_do(app):
    wish = {"config": "mini_sd_dreambooth_lora", "name": "dog", "photos": ""}  # none was dropped
    status, _, found = ask(app, "POST", "/api/trainings", wish)
    assert status == 400 and found["error"] == {"field": "photos", "message": "there is none; drop one or more"}


def test_a_fault_of_the_program_is_told_and_the_server_goes_on(app, monkeypatch, capsys):
    monkeypatch.setattr(app.api, "state", lambda: {}["nothing"])
    status, _, found = ask(app, "GET", "/api/state")
    assert status == 500 and found["error"]["message"].startswith("the program failed (KeyError)")
    assert "Traceback" in capsys.readouterr().err and ask(app, "GET", "/")[0] == 200


def test_photographs_come_in_as_they_are(app):
    key = ask(app, "POST", "/api/photos", {})[2]["photos"]
    assert ask(app, "POST", f"/api/photos/{key}?name=a%20b.png", picture())[2]["name"] == "photo_001.png"
    status, _, found = ask(app, "POST", f"/api/photos/{key}?name=b.png", b"no picture")
    assert status == 400 and found["error"]["message"].startswith("b.png: not a picture")
    assert ask(app, "POST", f"/api/photos/{key}/photo_001.png/remove", {})[0] == 200
    wish = {"config": "mini_sd_dreambooth_lora", "name": "a", "photos": key}
    status, _, found = ask(app, "POST", "/api/trainings", wish)
    assert found["error"] == {"field": "photos", "message": "there is none; drop one or more"}


@pytest.mark.parametrize(("host", "loopback"), [
    ("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.9.9.9", True), ("0.0.0.0", False),
    ("10.0.0.1", False), ("example.org", False)])
def test_what_loopback_is(host, loopback):
    assert is_loopback(host) is loopback


def test_the_command_says_where_the_page_is_and_warns_of_other_hosts(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    served = []

    def serve(self):
        served.append((self.url, self.knows("192.168.1.5:80"), self.knows("evil.example")))
        raise KeyboardInterrupt

    monkeypatch.setattr(AppServer, "serve_forever", serve)
    monkeypatch.setattr(Api, "load_libraries", lambda self: None)
    assert cli.main(["app", "--port", "0"]) == 130
    said = capsys.readouterr()
    assert f"The page: {served[0][0]}" in said.out and "warning" not in said.err
    assert served[0][0].startswith("http://127.0.0.1:") and served[0][1:] == (False, False)
    assert (tmp_path / "work_dirs").is_dir()
    assert cli.main(["app", "--port", "0", "--host", "0.0.0.0"]) == 130
    assert "warning: --host 0.0.0.0 lets every machine" in capsys.readouterr().err and served[1][1:] == (True, False)


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_trainings_as_ctrl_c_does(tmp_path, monkeypatch, capsys, sent):
    monkeypatch.chdir(tmp_path)
    closed = []
    monkeypatch.setattr(AppServer, "serve_forever", lambda self: signal.raise_signal(sent))
    monkeypatch.setattr(Api, "load_libraries", lambda self: None)
    monkeypatch.setattr(Api, "close", lambda self: closed.append(self))
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
        assert cli.main(["app", "--port", "0"]) == 130 and len(closed) == 1
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        if sent == signal.SIGHUP:
            assert cli.main(["app", "--port", "0"]) == 0
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@pytest.mark.parametrize(("arguments", "words"), [
    (["--root", "none"], "--root: no folder 'none'"), (["--root", "/"], "--root: '/' holds your whole home folder"),
    (["--port", "99999"], "--port 99999: cannot listen there")])
def test_mistakes_on_the_command_line(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["app", *arguments]) == 1
    error = capsys.readouterr().err
    assert words in error and "Traceback" not in error


def test_a_port_that_is_taken_is_said(app, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["app", "--port", str(app.server_port)]) == 1
    assert "is another one running?" in capsys.readouterr().err


def test_painting_is_queued_and_its_failure_told(app, monkeypatch):
    class Failing:
        def paint(self, job, choice, settings):
            raise ValueError("steps: nothing fits")

        def close(self):
            pass

    monkeypatch.setattr(app.api, "_painter", Failing())
    job = ask(app, "POST", "/api/paint", {"model": {"base": "mini-sd"}, "prompt": "x"})[2]["job"]
    deadline = time.monotonic() + 30
    while (found := ask(app, "GET", f"/api/jobs/{job}")[2])["state"] != "failed":
        assert time.monotonic() < deadline, found
    assert "steps: nothing fits" in found["error"]
    assert ask(app, "GET", f"/pictures/{job}/grid.png")[0] == 400
