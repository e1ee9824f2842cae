"""A headless Chromium for tests of pages, spoken to over its own protocol; no driver and no package is needed.

``find_chromium`` gives None where there is none: tests of pages skip then. On Debian ``apt-get install chromium``
brings it; ``DIFFKIT_CHROMIUM`` names another one.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell")
_OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run", "--disable-sync",
            "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
            "--remote-debugging-pipe", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")


def find_chromium() -> str | None:
    """The program, or None where this machine has none."""
    named = os.environ.get("DIFFKIT_CHROMIUM")
    return named or next(filter(None, map(shutil.which, _NAMES)), None)


class Browser:
    """One page of a headless browser, inside ``with``.

    Args:
        program: of :func:`find_chromium`.
        timeout: seconds that an answer may take.
    """

    def __init__(self, program: str, timeout: float = 240.0) -> None:
        self.program, self.timeout = program, timeout
        self.requests: list[str] = []
        self._number = 0
        self._read = b""
        self._session: str | None = None

    def __enter__(self) -> "Browser":
        self._folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = f'exec "$0" "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, self.program, *_OPTIONS, f"--user-data-dir={self._folder.name}", "about:blank"],
            pass_fds=(theirs_in, theirs_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        pages = [each for each in self.call("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        self._session = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Network.enable")
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._folder.cleanup()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a method of the protocol and waits for its answer; what is loaded meanwhile is noted."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self.timeout
        while True:
            answer = self._message(deadline)
            if answer.get("method") == "Network.requestWillBeSent":
                self.requests.append(answer["params"]["request"]["url"])
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def show(self, path: Path, width: int, height: int, dark: bool = False, media: str = "") -> None:
        """Opens a file in a window of some size."""
        self.visit(path.resolve().as_uri(), width, height, dark, media)

    def visit(self, url: str, width: int, height: int, dark: bool = False, media: str = "") -> None:
        """Opens an address in a window of some size; nothing but files and this machine is reached."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
                  mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState == 'complete'")

    def wait_for(self, expression: str) -> Any:
        """Waits until an expression in the page is true, and returns its value."""
        deadline = time.monotonic() + self.timeout
        while not (found := self.value(expression)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{expression} is {found!r} after {self.timeout} s")
            time.sleep(0.1)
        return found

    def choose_files(self, selector: str, files: list[Path]) -> None:
        """Gives files to a field for files, as dropping them onto it does."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def value(self, expression: str) -> Any:
        """The value of an expression in the page; the page's own policy does not matter here."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def screenshot(self, path: Path, whole: bool = True) -> Path:
        """Saves what the page looks like, from top to bottom."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def pdf(self, path: Path) -> Path:
        """Saves what is printed, on A4."""
        data = self.call("Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69,
                         printBackground=True)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"no answer of {self.program} after {self.timeout} s")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise RuntimeError(f"{self.program} has ended")
            self._read += part
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)
