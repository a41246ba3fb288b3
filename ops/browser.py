"""A headless Chromium for tests, driven by its own protocol (CDP over a WebSocket): `start_chromium`.

No driver and no package beyond `websockets`, which `web3` brings. Root on Debian or Ubuntu has the browser installed.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from ops.console import ROOT, SetupError, step
from ops.engine import apt_install, is_root
from ops.ports import HOST, free_port
from ops.stack import Stack
from poco.errors import PewError

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Keys that tests press: name -> (code, Windows key code, text).
_KEYS = {
    "Tab": ("Tab", 9, ""),
    "Enter": ("Enter", 13, "\r"),
    "Space": ("Space", 32, " "),
    "Escape": ("Escape", 27, ""),
}


class BrowserError(PewError):
    """The browser did not do what it was told, or a page's script failed."""


def find_chromium() -> str | None:
    """The browser's program on PATH; None where there is none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def ensure_chromium() -> str:
    """As `find_chromium`; root on Debian or Ubuntu has the package installed.

    Raises:
        SetupError: there is none, and the way to one.
    """
    found = find_chromium()
    if found is None and is_root() and shutil.which("apt-get"):
        with step("browser", "installing Chromium"):
            apt_install("chromium", "fonts-dejavu-core")
        found = find_chromium()
    if found is None:
        raise SetupError(
            "Chromium is not installed",
            "as root on Debian or Ubuntu `apt-get install chromium`; elsewhere put `chromium` on PATH",
        )
    return found


def axe_source() -> str:
    """axe-core's program, which finds faults of accessibility in a page."""
    path = ROOT / "node_modules" / "axe-core" / "axe.min.js"
    if not path.exists():
        raise SetupError("axe-core is not installed", "run `make setup`")
    return path.read_text()


def start_chromium(stack: Stack, *, name: str = "chromium") -> Browser:
    """Start a headless browser with a profile of its own, below the run's folder."""
    program, port = ensure_chromium(), free_port()
    profile = stack.run_dir / f"{name}-profile"
    flags = [
        "--headless=new", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-extensions",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars", "--mute-audio",
        f"--user-data-dir={profile}", f"--remote-debugging-port={port}", "about:blank",
    ]  # fmt: skip
    if os.geteuid() == 0:
        flags.insert(0, "--no-sandbox")  # it refuses to run as root with one
    url = f"http://{HOST}:{port}"
    stack.start(name, [program, *flags], ready=f"{url}/json/version", timeout=90)
    return Browser(url)


class Browser:
    """A running browser."""

    def __init__(self, url: str) -> None:
        self.url = url

    def tab(self) -> Tab:
        """A new, empty tab."""
        request = urllib.request.Request(f"{self.url}/json/new?about:blank", method="PUT")  # noqa: S310  (our own URL)
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
            return Tab(json.load(answer)["webSocketDebuggerUrl"])


class Tab:
    """One page of the browser.

    `troubles` collects what its console says is wrong: errors of scripts, and what the security policy has blocked.
    """

    def __init__(self, url: str) -> None:
        self._socket: ClientConnection = connect(url, max_size=64 * 2**20, open_timeout=30)
        self._numbers = itertools.count(1)
        self._bindings: dict[str, Callable[[Any], Any]] = {}
        self.troubles: list[str] = []
        for domain in ("Page", "Runtime", "Log", "DOM", "Accessibility"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        self.call("Page.close")
        self._socket.close()

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One call of the protocol; BrowserError where it is refused."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            said = json.loads(self._socket.recv(timeout=60))
            if said.get("id") == number:
                if "error" in said:
                    raise BrowserError(f"{method}: {said['error']['message']}")
                return dict(said["result"])
            self._event(said)

    def _event(self, said: dict[str, Any]) -> None:
        method, params = said.get("method"), said.get("params", {})
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.troubles.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.troubles.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Runtime.bindingCalled":
            asked = json.loads(params["payload"])
            answer = json.dumps(self._bindings[params["name"]](asked["value"]))
            script = f"window.__answer({asked['number']}, {answer})"
            # not waited for: the caller of this is itself waiting for an answer
            self._socket.send(
                json.dumps({"id": next(self._numbers), "method": "Runtime.evaluate", "params": {"expression": script}})
            )

    # --- going somewhere, looking

    def go(self, url: str) -> None:
        """Load an address and wait until its scripts have run."""
        self.evaluate("window.__left = true")
        said = self.call("Page.navigate", url=url)
        if said.get("errorText"):
            raise BrowserError(f"{url}: {said['errorText']}")
        self.until("!window.__left && document.readyState === 'complete'")

    def evaluate(self, script: str) -> Any:
        """The value of an expression (a promise is waited for); BrowserError where it throws."""
        said = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in said:
            details = said["exceptionDetails"]
            raise BrowserError(f"{script[:200]}: {details.get('exception', {}).get('description', details['text'])}")
        return said["result"].get("value")

    def until(self, script: str, seconds: float = 20) -> Any:
        """The first true value of an expression; BrowserError after that many seconds."""
        end = time.monotonic() + seconds
        while True:
            try:
                found = self.evaluate(script)
            except BrowserError:  # the page is just being replaced
                found = None
            if found:
                return found
            if time.monotonic() > end:
                raise BrowserError(f"it did not happen within {seconds:g} s: {script[:300]}")
            time.sleep(0.05)

    def text(self, selector: str = "body") -> str:
        """What a reader sees of the first element that fits; empty where there is none."""
        return str(self.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def look(self, width: int, *, dark: bool = False, height: int = 900) -> None:
        """Be a window of that many CSS pixels, in the light or the dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.call("Emulation.setEmulatedMedia", features=[scheme, still])

    def screenshot(self, path: Path, *, whole: bool = True, height: int | None = None) -> None:
        """Write a PNG of the page, all of it or its upper `height` pixels."""
        options: dict[str, Any] = {}
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        if whole or height is not None:
            area = {"x": 0, "y": 0, "width": size["width"], "height": min(height or size["height"], size["height"])}
            options = {"clip": {**area, "scale": 1}, "captureBeyondViewport": True}
        shot = self.call("Page.captureScreenshot", format="png", **options)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    # --- doing something

    def press(self, key: str) -> None:
        """Press and let go of a key."""
        code, number, text = _KEYS[key]
        name = " " if key == "Space" else key
        for kind in ("keyDown", "keyUp"):
            said: dict[str, Any] = {"type": kind, "key": name, "code": code, "windowsVirtualKeyCode": number}
            if text and kind == "keyDown":
                said["text"] = text
            self.call("Input.dispatchKeyEvent", **said)

    def type(self, text: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click the middle of the first element that fits, with a mouse."""
        where = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); "
            "e.scrollIntoView({block: 'center'});"
            "const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    def offer(self, name: str, answer: Callable[[Any], Any]) -> None:
        """Give pages a function `name(value)` that returns a promise of what `answer` says here."""
        self._bindings[f"__{name}"] = answer
        self.call("Runtime.addBinding", name=f"__{name}")
        script = (
            "window.__waiting ??= new Map(); window.__answer = (n, v) => { window.__waiting.get(n)(v); };"
            f"window.{name} = (value) => new Promise((done) => {{ const number = Math.random();"
            f"window.__waiting.set(number, done); window.__{name}(JSON.stringify({{number, value}})); }});"
        )
        self.before_pages(script)

    def before_pages(self, script: str) -> None:
        """Have a script run before those of every page that is loaded from now on."""
        self.call("Page.addScriptToEvaluateOnNewDocument", source=script)

    def faults(self, axe: str) -> list[str]:
        """What axe-core finds wrong with the page: serious and critical violations, one a line."""
        self.evaluate(axe + ";0")
        found = self.evaluate(
            "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.filter((v) => "
            "['serious', 'critical'].includes(v.impact)).flatMap((v) => v.nodes.map((n) => "
            "`${v.id}: ${n.target.join(' ')}: ${n.failureSummary}`)))"
        )
        return [str(each) for each in found]
