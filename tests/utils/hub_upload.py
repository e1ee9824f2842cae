"""A hub on this machine that takes uploads as the Hugging Face hub does, and keeps what it was sent."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.utils.hub import online


@dataclass
class Received:
    """What the hub was sent.

    Attributes:
        files: by path in the repository.
        requests: method and path of each request.
        tokens: what stood in their headers for authorisation.
        created: the body of the request that made the repository.
        message: of the commit.
        public: whether the repository was there before, for all to see.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    tokens: set[str | None] = field(default_factory=set)
    created: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    public: bool = False

    def save(self, folder: Path) -> Path:
        """Writes the repository to a folder, as a download would."""
        for name, data in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder


@contextmanager
def uploading(monkeypatch: pytest.MonkeyPatch, token: str) -> Iterator[Received]:
    """Serves a hub for one user, who is known by ``token``; large files go the way of git LFS."""
    from huggingface_hub import constants

    received, blobs = Received(), {}

    class Handler(BaseHTTPRequestHandler):
        def answer(self, body: Any, status: int = 200) -> None:
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def do_PUT(self) -> None:
            blobs[self.path.rpartition("/")[2]] = self.body()
            received.requests.append("PUT lfs")
            self.answer({})

        def do_POST(self) -> None:
            body = self.body()
            received.requests.append(f"POST {self.path}")
            received.tokens.add(self.headers.get("Authorization"))
            if self.headers.get("Authorization") != f"Bearer {token}":
                self.answer({"error": "Invalid username or password."}, 401)
            elif self.path == "/api/repos/create":
                received.created = json.loads(body)
                self.answer({"url": f"{base}/me/my-model", "name": "me/my-model"})
            elif self.path == "/api/validate-yaml":
                self.answer({"errors": [], "warnings": []})
            elif self.path == "/api/models/me/my-model/preupload/main":
                self.answer({"files": [{"path": file["path"], "shouldIgnore": False,
                                        "uploadMode": "lfs" if file["path"].endswith("safetensors") else "regular"}
                                       for file in json.loads(body)["files"]]})
            elif self.path == "/me/my-model.git/info/lfs/objects/batch":
                self.answer({"transfer": "basic", "objects": [
                    {**each, "actions": {"upload": {"href": f"{base}/lfs/{each['oid']}"}}}
                    for each in json.loads(body)["objects"]]})
            elif self.path.startswith("/api/models/me/my-model/commit/main"):
                self.commit([json.loads(line) for line in body.splitlines()])
            else:
                self.answer({"error": "Not Found"}, 404)

        def commit(self, lines: list[dict[str, Any]]) -> None:
            for line in lines:
                value = line["value"]
                if line["key"] == "header":
                    received.message = value["summary"]
                elif line["key"] == "file":
                    received.files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    received.files[value["path"]] = blobs[value["oid"]]
            self.answer({"success": True, "commitOid": "0" * 40, "commitUrl": f"{base}/me/my-model/commit/{'0' * 40}"})

        def do_GET(self) -> None:
            received.requests.append(f"GET {self.path}")
            if self.path == "/api/models/me/my-model" and received.created:
                self.answer({"id": "me/my-model", "private": not received.public, "siblings": []})
            else:
                self.answer({"error": "Not Found"}, 404)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    base = f"http://127.0.0.1:{server.server_port}"
    online(monkeypatch, base)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield received
    finally:
        server.shutdown()
        server.server_close()
