"""The page over HTTP, for browsers on this machine: fixed routes, checked requests, and no file by its path."""

import ipaddress
import json
import socket
import sys
import traceback
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from diffkit.app.api import Api
from diffkit.app.fields import FieldError
from diffkit.app.photos import MOST_BYTES
from diffkit.utils.user_errors import debugging, describe, is_user_error

PAGE = Path(__file__).resolve().parent / "page"
KINDS = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".png": "image/png"}
#: Of a form, in bytes.
MOST_JSON = 200_000
#: Seconds that a browser may be silent in the middle of a request.
TIMEOUT = 60
#: A header that pages of other sites cannot send without asking, and nobody answers them.
ASKED_BY = "X-Diffkit"

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
                               "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin", "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store"}


class AppServer(ThreadingHTTPServer):
    """A server of one page.

    Args:
        api: what answers.
        host: the address to listen at.
        port: 0 takes a free one.

    Raises:
        ValueError: the address cannot be listened at.
    """

    daemon_threads = True

    def __init__(self, api: Api, host: str = "127.0.0.1", port: int = 0) -> None:
        self.api, self.host = api, host
        try:
            self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
            super().__init__((host, port), _Handler)
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise ValueError(f"--host {host} --port {port}: cannot listen there ({reason}); is another one running?"
                             ) from None

    def server_bind(self) -> None:
        """Binds without asking a name server for the machine's name, as the base class does."""
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.host, self.server_address[1]

    @property
    def url(self) -> str:
        """Where the page is."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.server_port}/"

    def knows(self, host: str) -> bool:
        """Whether a request's ``Host`` is this machine: a name that another site points at it is not."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:  # brackets that belong to no address
            return False
        if is_loopback(self.host):
            return name == "localhost" or is_loopback(name)
        return name in ("localhost", self.host.lower(), socket.gethostname().lower()) or _is_address(name)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that goes away is no fault."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


@cache
def _page_file(name: str) -> bytes:
    return (PAGE / name).read_bytes()


class _Refused(Exception):
    """A request that is not answered, with its status and the reason."""


class _Handler(BaseHTTPRequestHandler):
    server: AppServer
    protocol_version, server_version, sys_version = "HTTP/1.1", "diffkit", ""
    timeout = TIMEOUT

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the terminal is for what matters."""

    def _answer(self, respond: Any) -> None:
        try:
            self._check()
            url = urlsplit(self.path)
            respond([unquote(part) for part in url.path.split("/")[1:]], parse_qs(url.query))
        except _Refused as refused:
            self._close_with(refused.args[0], "request", refused.args[1])
        except FieldError as error:
            self._close_with(HTTPStatus.BAD_REQUEST, error.field, error.message)
        except (ConnectionError, TimeoutError):
            self.close_connection = True
        except Exception as error:  # the server goes on, whatever it was
            known = is_user_error(error)
            if not known or debugging():
                traceback.print_exc()
            text = describe(error) if known else f"the program failed ({type(error).__name__}); see the app's terminal"
            self._close_with(HTTPStatus.BAD_REQUEST if known else HTTPStatus.INTERNAL_SERVER_ERROR, "request", text)

    def _check(self) -> None:
        """Refuses what a page of another site would make a browser send."""
        host = self.headers.get("Host", "")
        if not self.server.knows(host):
            raise _Refused(HTTPStatus.FORBIDDEN, f"Host {host[:80]!r} is not this app's")
        origin = self.headers.get("Origin")
        if origin is not None and origin != f"http://{host}":
            raise _Refused(HTTPStatus.FORBIDDEN, "a page of another site asked")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise _Refused(HTTPStatus.FORBIDDEN, "a page of another site asked")
        if self.command == "POST" and self.headers.get(ASKED_BY) != "1":
            raise _Refused(HTTPStatus.FORBIDDEN, f"the header {ASKED_BY} is missing")

    def _get(self, parts: list[str], query: dict[str, list[str]]) -> None:
        api = self.server.api
        match parts:
            case [""]:
                self._send(_page_file("index.html"), KINDS[".html"])
            case ["page", name] if name in {path.name for path in PAGE.iterdir()}:
                self._send(_page_file(name), KINDS[Path(name).suffix])
            case ["api", "state"]:
                self._json(api.state())
            case ["api", "configs"]:
                self._json(api.configs())
            case ["api", "jobs", key]:
                self._json(api.job(key))
            case ["api", "trainings", name]:
                self._json(api.progress(name))
            case ["pictures", key, *names] if names:
                self._send(api.picture(key, "/".join(names)).read_bytes(), KINDS[".png"])
            case ["samples", name, file]:
                self._send(api.trainings.sample(name, file).read_bytes(), KINDS[".png"])
            case _:
                raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _post(self, parts: list[str], query: dict[str, list[str]]) -> None:
        api = self.server.api
        match parts:
            case ["api", "photos", key]:
                self._json(api.add_photo(key, query.get("name", ["?"])[0], self._body(MOST_BYTES)))
                return
        values = self._values()
        match parts:
            case ["api", "paint"]:
                self._json(api.paint(values))
            case ["api", "compare"]:
                self._json(api.compare(values))
            case ["api", "jobs", key, "cancel"]:
                self._json(api.cancel(key))
            case ["api", "jobs", key, "save"]:
                self._json(api.save(key))
            case ["api", "photos"]:
                self._json({"photos": api.photos.new()})
            case ["api", "photos", key, name, "remove"]:
                api.photos.remove(key, name)
                self._json({})
            case ["api", "trainings"]:
                self._json(api.train(values))
            case ["api", "trainings", name, action]:
                self._json(api.on_training(name, action))
            case _:
                raise _Refused(HTTPStatus.NOT_FOUND, "there is nothing here")

    def _values(self) -> Any:
        try:
            return json.loads(self._body(MOST_JSON) or b"{}")
        except (ValueError, RecursionError):
            raise _Refused(HTTPStatus.BAD_REQUEST, "what was sent is no JSON") from None

    def _body(self, most: int) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or self.headers.get("Transfer-Encoding"):
            raise _Refused(HTTPStatus.LENGTH_REQUIRED, "the length of what is sent has to be said before")
        if int(length) > most:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes were sent; allowed: {most} at most")
        data = self.rfile.read(int(length))
        if len(data) < int(length):
            raise ConnectionAbortedError
        return data

    def _json(self, values: Any, status: int = HTTPStatus.OK) -> None:
        self._send(json.dumps(values).encode(), "application/json", status)

    def _close_with(self, status: int, field: str, message: str) -> None:
        self.close_connection = True  # what else was sent with the request is not read
        with suppress(ConnectionError, TimeoutError):
            self._json({"error": {"field": field, "message": message}}, status)

    def _send(self, data: bytes, kind: str, status: int = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **_HEADERS}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data)
