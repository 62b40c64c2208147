"""Drives a headless Chromium over its DevTools protocol, by two pipes: no port is opened, and no package is needed."""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

__all__ = ["BROWSER", "Browser", "Tab"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, _NAMES)), None)

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
_SECONDS = 60.0


class Browser:
    """A browser with a profile of its own; to be used in a with statement."""

    def __init__(self):
        self._numbers = itertools.count(1)
        self._read = b""
        self.events = []

    def __enter__(self):
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        commands, self._write_end = os.pipe()
        self._read_end, answers = os.pipe()
        # It reads commands from its file 3 and writes answers to its file 4: a shell puts them there.
        wrapper = 'c="$1"; a="$2"; shift 2; eval "exec \\"\\$@\\" 3<&$c 4>&$a"'
        command = ["bash", "-c", wrapper, "browser", str(commands), str(answers)]
        self._process = subprocess.Popen(
            [*command, BROWSER, *_OPTIONS, f"--user-data-dir={self._profile.name}"],
            pass_fds=(commands, answers),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands)
        os.close(answers)
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError, RuntimeError, TimeoutError):
            self.ask("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._write_end)
        os.close(self._read_end)
        self._profile.cleanup()

    def ask(self, method, session=None, **parameters):
        """Send a command, return its result; what happens meanwhile is kept in ``events``."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        os.write(self._write_end, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        end = time.monotonic() + _SECONDS
        while True:
            answer = self._next(end)
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, event, session, **parameters):
        """Wait for such an event of a session, with these parameters, where it has not been yet."""
        end = time.monotonic() + _SECONDS
        while True:
            for each in self.events:
                is_it = each.get("method") == event and each.get("sessionId") == session
                if is_it and parameters.items() <= each["params"].items():
                    return
            self.events.append(self._next(end))

    def _next(self, end):
        while b"\0" not in self._read:
            ready, _, _ = select.select([self._read_end], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise TimeoutError("the browser should answer in time")
            piece = os.read(self._read_end, 1 << 20)
            if not piece:
                raise RuntimeError("the browser has ended")
            self._read += piece
        message, _, self._read = self._read.partition(b"\0")
        return json.loads(message)


class Tab:
    """A page in a browser, with what it asked for and what it complained of."""

    def __init__(self, browser, *, width=1280, height=900, dark=False, scripts=True):
        self._browser = browser
        self._target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = browser.ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask("Page.setLifecycleEventsEnabled", enabled=True)
        self.resize(width, height)
        self.color_scheme(dark=dark)
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)

    def ask(self, method, **parameters):
        return self._browser.ask(method, self._session, **parameters)

    def close(self):
        self._browser.ask("Target.closeTarget", targetId=self._target)

    def resize(self, width, height=900):
        narrow = width < 600
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=narrow)

    def color_scheme(self, *, dark):
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def open(self, path):
        loader = self.ask("Page.navigate", url=path.as_uri())["loaderId"]  # that of the blank page may load late
        self._browser.wait_for("Page.lifecycleEvent", self._session, name="load", loaderId=loader)
        return self

    def evaluate(self, expression):
        """Return the value of an expression, after its promise where it is one."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"])
        return found["result"].get("value")

    def press(self, *keys):
        """Press keys one after the other, as on a keyboard; capitals begin the names of those without a letter."""
        codes = {"Enter": 13, "Escape": 27, "Tab": 9, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowUp": 38}
        codes |= {"ArrowRight": 39, "ArrowDown": 40}
        for key in keys:
            words = {"key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
            text = {"text": "\r"} if key == "Enter" else {}
            self.ask("Input.dispatchKeyEvent", type="keyDown", **words, **text)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **words)

    def screenshot(self, path, *, whole=True):
        self.settle()
        picture = self.ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(picture))

    def settle(self):
        """Wait until the page has been laid out and painted again."""
        self.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def complaints(self):
        """Return errors and warnings of the console, the network and the policy."""
        self.settle()
        found = []
        for each in self._own_events():
            parameters = each["params"]
            if each["method"] == "Runtime.exceptionThrown":
                found.append(parameters["exceptionDetails"].get("text", "exception"))
            if each["method"] == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
                found.append(str(parameters["args"]))
            if each["method"] == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
                found.append(parameters["entry"]["text"])
        return found

    def requests(self):
        """Return every address that the page has asked for."""
        self.settle()
        return [
            each["params"]["request"]["url"]
            for each in self._own_events()
            if each["method"] == "Network.requestWillBeSent"
        ]

    def _own_events(self):
        return [each for each in self._browser.events if each.get("sessionId") == self._session]
