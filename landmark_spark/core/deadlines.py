"""Puts connections under a deadline: when it passes, they are shut down, whatever the server is doing with them.

A timeout of a socket starts anew with every byte, so a server that drips bytes can hold a client for hours. Here one
watchdog shuts down the connection of each deadline that passes, which ends every wait for it. Only the look-up of a
host's name is the operating system's to limit.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import create_connection

__all__ = ["Deadline", "WatchedAdapter", "Watchdog"]

_IDLE_SECONDS = 5.0  # after which a watchdog without work ends


class Deadline:
    """The end of one URL's time, and the connection to shut down when it comes."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self._lock = threading.Lock()
        self._watched: socket.socket | None = None

    def remaining(self) -> float:
        """Return the seconds left, below 0 once it has passed."""
        return self.end - time.monotonic()

    def watch(self, connected: socket.socket) -> None:
        """Watch a connection in place of the one before.

        A duplicate of its descriptor is kept: it stays valid while TLS wraps the socket or a response takes it over.
        """
        self.release()
        with self._lock:
            self._watched = socket.socket(fileno=os.dup(connected.fileno()))
        if self.remaining() <= 0:
            self.cut()

    def cut(self) -> None:
        """Shut the connection down, which ends every wait for it at once."""
        with self._lock, contextlib.suppress(OSError):
            if self._watched is not None:
                self._watched.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Let go of the connection, which lives on in its pool."""
        with self._lock:
            if self._watched is not None:
                self._watched.close()
            self._watched = None


class Watchdog:
    """One thread that cuts the connections of all deadlines that pass; it starts with the first and ends when idle."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: set[Deadline] = set()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def guard(self, seconds: float) -> Iterator[Deadline]:
        """Put whatever this thread connects to within the block under a deadline."""
        deadline = Deadline(seconds)
        with self._changed:
            self._deadlines.add(deadline)
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="fetch-watchdog", daemon=True)
                self._thread.start()
            self._changed.notify()
        _current.deadline = deadline
        try:
            yield deadline
        finally:
            _current.deadline = None
            with self._changed:
                self._deadlines.discard(deadline)
            deadline.release()

    def _run(self) -> None:
        with self._changed:
            while self._deadlines or self._changed.wait(_IDLE_SECONDS) or self._deadlines:
                first = min(self._deadlines, key=lambda deadline: deadline.end, default=None)
                if first is None:
                    continue
                if first.remaining() > 0:
                    self._changed.wait(first.remaining())
                else:
                    self._deadlines.discard(first)
                    first.cut()
            self._thread = None


_current = threading.local()  # .deadline: of the URL that this thread is fetching


def _watch(connected: socket.socket | None) -> None:
    deadline: Deadline | None = getattr(_current, "deadline", None)
    if deadline is not None and connected is not None:
        deadline.watch(connected)


class _Connection(HTTPConnection):
    """A connection that puts itself under the deadline of the thread that uses it."""

    def _new_conn(self) -> socket.socket:
        connected = _connect(self)
        _watch(connected)
        return connected

    def request(self, *arguments: Any, **options: Any) -> None:
        _watch(self.sock)  # one from the pool; a new one is watched as it is made
        super().request(*arguments, **options)


class _SecureConnection(HTTPSConnection):
    """The same over TLS."""

    _new_conn = _Connection._new_conn

    def request(self, *arguments: Any, **options: Any) -> None:
        _watch(self.sock)
        super().request(*arguments, **options)


def _connect(connection: HTTPConnection) -> socket.socket:
    """Connect to the first address of the host that answers; the timeout is for all addresses together."""
    host = connection._dns_host.strip("[]")
    end = time.monotonic() + float(connection.timeout or 0)
    addresses = socket.getaddrinfo(host, connection.port, type=socket.SOCK_STREAM)
    error: OSError = OSError("the host has no address")
    for *_, address in addresses:
        try:
            remaining = max(end - time.monotonic(), 0.001)
            return create_connection(
                (str(address[0]), connection.port), remaining, socket_options=connection.socket_options
            )
        except OSError as refused:
            error = refused
    raise error


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class WatchedAdapter(HTTPAdapter):
    """requests' adapter whose connections, direct or through an HTTP proxy, are under the deadline of their thread.

    Connections through a SOCKS proxy are not.
    """

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools of direct connections."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        manager = super().proxy_manager_for(proxy, **options)
        if type(manager) is urllib3.ProxyManager:  # SOCKS has connections of its own
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager
