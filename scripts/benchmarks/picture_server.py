"""Serves a few pictures under many URLs on loopback, in a process of its own that costs little and counts its CPU time.

/17.jpg            picture 17 modulo their number
/missing/17.jpg    404
/drip/17.jpg       headers at once, then a byte a second for ever; ?seconds=60: the connection ends after that
/stats             cpu_seconds of this process, and the requests so far
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PictureServer", "serve_pictures"]

_PICTURE = re.compile(rb"GET /(\d+)\.jpg")
_DRIP = re.compile(rb"GET /drip/\d+\.jpg(?:\?seconds=([\d.]+))?")
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
_DRIP_LENGTH = 160_000
_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class PictureServer:
    """The running server: base_url ends with a slash."""

    base_url: str

    def cpu_seconds(self) -> float:
        """Return the CPU time that the server has used so far: it shares the cores with what is measured."""
        with urllib.request.urlopen(f"{self.base_url}stats", timeout=30) as answer:
            return float(json.load(answer)["cpu_seconds"])


@contextlib.contextmanager
def serve_pictures(pictures: list[bytes], folder: Path) -> Iterator[PictureServer]:
    """Serve the pictures from a process of its own while the context lasts; it ends with this process, too."""
    lengths = " ".join(str(len(each)) for each in pictures)
    (folder / "served.bin").write_bytes(lengths.encode() + b"\n" + b"".join(pictures))
    command = [sys.executable, "-m", __name__, str(folder / "served.bin")]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        try:
            yield PictureServer(f"http://127.0.0.1:{port}/")
        finally:
            process.stdin.close()  # the sign to end


class _Connection(asyncio.Protocol):
    """One connection: answers GET after GET."""

    num_requests = 0

    def __init__(self, answers: list[bytes]) -> None:
        self._answers = answers
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            request, self._received = self._received[:end], self._received[end + 4 :]
            _Connection.num_requests += 1
            if not self._answer(request):
                return
            if b"onnection: close" in request:
                self._transport.close()

    def _answer(self, request: bytes) -> bool:
        """Answer; say whether the connection can take another request."""
        if found := _PICTURE.match(request):
            self._transport.write(self._answers[int(found[1]) % len(self._answers)])
        elif found := _DRIP.match(request):
            self._transport.write(_HEAD % (b"200 OK", b"image/jpeg", _DRIP_LENGTH) + b"\xff\xd8\xff")
            self._drip(float(found[1] or "inf"))
            return False
        elif request.startswith(b"GET /stats"):
            used = resource.getrusage(resource.RUSAGE_SELF)
            values = {"cpu_seconds": used.ru_utime + used.ru_stime, "num_requests": _Connection.num_requests}
            body = json.dumps(values).encode()
            self._transport.write(_HEAD % (b"200 OK", b"application/json", len(body)) + body)
        else:
            self._transport.write(_HEAD % (b"404 Not Found", b"text/plain", 10) + b"not found\n")
        return True

    def _drip(self, seconds_left: float) -> None:
        if self._transport.is_closing():
            return
        if seconds_left <= 0:
            self._transport.close()
            return
        self._transport.write(b"\0")
        asyncio.get_running_loop().call_later(1.0, self._drip, seconds_left - 1.0)


async def _serve(answers: list[bytes]) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(answers), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def _end_with_parent() -> None:
    sys.stdin.read()  # returns when the parent closes it, or has died
    os._exit(0)


def _read_answers(path: Path) -> list[bytes]:
    """Read the pictures; each answer is ready whole, head and body."""
    lengths, _, data = path.read_bytes().partition(b"\n")
    answers = []
    start = 0
    for length in map(int, lengths.split()):
        answers.append(_HEAD % (b"200 OK", b"image/jpeg", length) + data[start : start + length])
        start += length
    return answers


if __name__ == "__main__":
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_serve(_read_answers(Path(sys.argv[1]))))
