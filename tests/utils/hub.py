"""A hub on this machine: it knows some models and says so as the Hugging Face hub does."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


@contextmanager
def hub(monkeypatch: pytest.MonkeyPatch, models: Mapping[str, list[str] | str]) -> Iterator[list[str]]:
    """Serves ``models`` by name: the files of each, or the error code of the hub. Yields what was asked."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/api/agent-harnesses"):  # what else a client likes to know
                self.send_error(404)
                return
            asked.append(self.path)
            name = self.path.removeprefix("/api/models/").partition("?")[0]
            known = models.get(name, "RepoNotFound")
            self.send_response(200 if isinstance(known, list) else 401)
            if isinstance(known, list):
                body = json.dumps({"id": name, "siblings": [{"rfilename": file} for file in known]}).encode()
            else:
                self.send_header("X-Error-Code", known)
                body = b"{}"
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    online(monkeypatch, f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield asked
    finally:
        server.shutdown()
        server.server_close()


def online(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Lets huggingface_hub ask ``endpoint``, as if no variable forbade it."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


def put_into_cache(monkeypatch: pytest.MonkeyPatch, cache: Path, name: str, folder: Path) -> Path:
    """Makes ``folder`` what the cache of the hub holds of model ``name``; returns the folder in the cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "snapshots").mkdir()
    revision = "0123456789abcdef" * 2 + "01234567"
    (repository / "refs/main").write_text(revision)
    snapshot = repository / "snapshots" / revision
    snapshot.symlink_to(folder, target_is_directory=True)
    return snapshot
