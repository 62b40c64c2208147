"""Serves the files of one folder over HTTP on loopback, for runs whose csv files hold relative URLs."""

from __future__ import annotations

import contextlib
import mimetypes
import shutil
import socket
import sys
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

__all__ = ["serve_folder"]


@contextlib.contextmanager
def serve_folder(folder: str | Path) -> Iterator[str]:
    """Serve ``folder`` over HTTP/1.1 at 127.0.0.1 while the context lasts; yield ``http://127.0.0.1:PORT/``.

    The port is a free one of the system's choice. Files alone are served: a folder, a path that leads out of the
    folder (by ``..`` or a symbolic link) and a path that is not there all give 404. At the end the connections still
    open are closed.

    Raises ValueError where ``folder`` is no folder.
    """
    root = Path(folder).resolve()
    if not root.is_dir():
        raise ValueError(f"folder should be a folder that is there. Received: {folder}")
    server = _FolderServer(root)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        server.close_connections()


class _FolderServer(ThreadingHTTPServer):
    """A thread per connection; remembers the connections, to close those that clients keep alive."""

    daemon_threads = True
    block_on_close = False  # a client that keeps its connection alive would hold the end up
    request_queue_size = 1024  # hundreds of download threads connect at once

    def __init__(self, root: Path) -> None:
        self.root = root
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _FileHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    def close_connections(self) -> None:
        with self._lock:
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away is no news
            super().handle_error(request, client_address)


class _FileHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD for the files below the server's root."""

    server: _FolderServer
    protocol_version = "HTTP/1.1"
    server_version = "landmark_spark"
    sys_version = ""
    wbufsize = -1  # head and body leave together; with a packet each, delayed ACKs cost 40 ms a picture
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        path = self._find()
        try:
            opened = path.open("rb") if path is not None else None
        except OSError:  # not to be read, or gone in the meantime
            opened = None
        if path is None or opened is None:
            self._answer_not_found()
            return
        with opened as file:
            self._send_head(HTTPStatus.OK, path.stat().st_size, _content_type(path))
            if self.command == "GET":
                shutil.copyfileobj(file, self.wfile)

    def do_HEAD(self) -> None:
        self.do_GET()

    def _find(self) -> Path | None:
        """Return the file asked for; None where there is none inside the folder."""
        try:
            relative = unquote(urlsplit(self.path).path, errors="surrogateescape").lstrip("/")
            path = (self.server.root / relative).resolve(strict=True)
        except (OSError, ValueError, RuntimeError):  # no URL, no file, a NUL in the name, a loop of links
            return None
        return path if path.is_relative_to(self.server.root) and path.is_file() else None

    def _answer_not_found(self) -> None:
        body = b"404 not found\n"  # send_error would close the connection
        self._send_head(HTTPStatus.NOT_FOUND, len(body), "text/plain")
        if self.command == "GET":
            self.wfile.write(body)

    def _send_head(self, status: HTTPStatus, num_bytes: int, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(num_bytes))
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Stay quiet: the run's own output tells what failed."""


def _content_type(path: Path) -> str:
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"
