"""Drive a headless Chromium over its DevTools protocol, and JupyterLab in it; for test_browser.py.

Nothing has to be installed for it but Chromium: the websocket client comes with Jupyter.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new", "--remote-debugging-port=0", "--window-size=1200,1400", "--disable-gpu",
    "--disable-dev-shm-usage", "--no-first-run", "--no-default-browser-check", "--no-proxy-server",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-extensions", "--disable-quic", "--password-store=basic",
)  # fmt: skip
START_SECONDS = 120
TOKEN = "a-token-for-this-test-only"

# Where a server of this machine is asked, no proxy shall come between.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class BrowserError(RuntimeError):
    """The browser, the page or JupyterLab did not do what was asked; the message says what."""


def find_chromium() -> str | None:
    """Return the path of Chromium or Chrome (``AGNEWS_CHROMIUM`` names another), if it is here."""
    wanted = os.environ.get("AGNEWS_CHROMIUM")
    return next(filter(None, map(shutil.which, [wanted] if wanted else NAMES)), None)


class Page:
    """One page of the browser.

    Parameters
    ----------
    address
        The page's own websocket.
    """

    def __init__(self, address: str) -> None:
        import websocket

        self._socket = websocket.create_connection(
            address, timeout=60, suppress_origin=True, http_no_proxy=["127.0.0.1"]
        )
        self._number = 0
        # A page in the background has no focus, and JupyterLab then has no current notebook.
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        self._socket.send(json.dumps(message))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def evaluate(self, expression: str) -> Any:
        """Evaluate JavaScript in the page and return its value as Python's."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            text = details.get("exception", {}).get("description") or details["text"]
            raise BrowserError(f"{expression[:80]}: {text}")
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float, what: str) -> Any:
        """Evaluate an expression until it is true, and return its value."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            value = self.evaluate(expression)
            if value:
                return value
            time.sleep(0.5)
        raise BrowserError(f"waited {seconds:.0f} seconds in vain for: {what}")

    def click(self, element: str) -> None:
        """Click with the mouse on an element, given as a JavaScript expression."""
        place = self.evaluate(
            f"(() => {{ const e = {element}; if (!e) return null;"
            " const r = e.getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        if not place:
            raise BrowserError(f"there is nothing to click on: {element}")
        x, y = place
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Save what the page shows as a PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def chromium(program: str, folder: Path) -> Iterator[Callable[[str], Page]]:
    """Start a headless Chromium with a profile of its own; give a function that opens a page.

    Raises
    ------
    BrowserError
        If it ends, or answers nothing; the message holds the end of what it said.
    """
    flags = [*FLAGS, f"--user-data-dir={folder / 'profile'}"]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        flags.append("--no-sandbox")  # Chromium's sandbox refuses to work for root
    with _process([program, *flags, "about:blank"], folder / "chromium.log") as process:
        port_file = folder / "profile" / "DevToolsActivePort"
        port = _wait(lambda: _first_line(port_file), process, folder / "chromium.log")
        service = f"http://127.0.0.1:{port}/json"
        _wait(lambda: _get(f"{service}/version"), process, folder / "chromium.log")

        def open_page(address: str) -> Page:
            target = _get(f"{service}/new?{quote(address, safe=':/')}", method="PUT")
            if target is None:
                raise BrowserError(f"Chromium opens no page for {address}")
            return Page(json.loads(target)["webSocketDebuggerUrl"])

        yield open_page


def _first_line(path: Path) -> str | None:
    lines = path.read_text().splitlines() if path.exists() else []
    return lines[0] if lines else None


@contextlib.contextmanager
def jupyterlab(root: Path, folder: Path) -> Iterator[str]:
    """Start JupyterLab on this machine's own address, and give the address of its start page.

    Parameters
    ----------
    root
        The folder that it serves.
    folder
        Receives its settings and messages, so that those of the user stay untouched.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = {
        "ServerApp": {"ip": "127.0.0.1", "port": port, "port_retries": 0, "open_browser": False,
                      "root_dir": str(root), "allow_root": True},
        "LabApp": {"expose_app_in_browser": True, "news_url": None,
                   "check_for_updates_class": "jupyterlab.NeverCheckForUpdate"},
    }  # fmt: skip
    config = folder / "config.json"
    config.write_text(json.dumps(settings), encoding="utf-8")
    own = {name: str(folder / name.lower()) for name in
           ("JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR",
            "JUPYTERLAB_SETTINGS_DIR", "JUPYTERLAB_WORKSPACES_DIR")}  # fmt: skip
    command = [sys.executable, "-m", "jupyterlab", f"--config={config}"]
    variables = os.environ | own | {"JUPYTER_TOKEN": TOKEN}
    address = f"http://127.0.0.1:{port}"
    with _process(command, folder / "jupyterlab.log", variables) as process:
        status = f"{address}/api/status?token={TOKEN}"
        _wait(lambda: _get(status), process, folder / "jupyterlab.log")
        yield address


def _get(address: str, method: str = "GET") -> str | None:
    try:
        with _opener.open(urllib.request.Request(address, method=method), timeout=60) as answer:
            return answer.read().decode()
    except OSError:
        return None


def _wait(ready: Any, process: subprocess.Popen, log: Path) -> Any:
    """Wait until a function returns something, or say what the process said last."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        value = ready()
        if value:
            return value
        time.sleep(0.2)
    state = "does not answer" if process.poll() is None else f"ended with {process.returncode}"
    raise BrowserError(f"{process.args[0]} {state}: {log.read_text(errors='replace')[-1000:]}")


@contextlib.contextmanager
def _process(
    command: list[str], log: Path, variables: dict[str, str] | None = None
) -> Iterator[subprocess.Popen]:
    """Run a program beside the test, and end it and its children with the test."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env=variables, stdout=file, stderr=file, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        for stop in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, stop)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=60)
