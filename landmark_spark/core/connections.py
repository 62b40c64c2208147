"""Opens connections to checked addresses, directly or through a proxy, and keeps them for the next request.

TLS, its verification and the tunnels of proxies are urllib3's.
"""

from __future__ import annotations

import functools
import http.client
import os
import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import certifi
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.util.connection import create_connection
from urllib3.util.ssl_ import create_urllib3_context

from landmark_spark.core.addresses import is_forbidden_address
from landmark_spark.core.deadlines import Deadline
from landmark_spark.core.proxies import Proxies, Proxy
from landmark_spark.core.resolving import Resolver
from landmark_spark.core.urls import HttpUrl

__all__ = ["Connection", "Connections", "ForbiddenAddressError", "SecureConnection"]

_MAX_INTERIM = 10
_MAX_IDLE = 256  # connections kept; the descriptors of a process are often limited to 1,024


class ForbiddenAddressError(Exception):
    """Every address of the host is one that may not be connected to."""


class _FinalResponse(http.client.HTTPResponse):
    """An answer after the interim ones (103 Early Hints and its like), of which http.client knows 100 alone."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MAX_INTERIM):
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 102 <= status < 200:
                return version, status, reason
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("the server sends one interim answer after another")


class Connection(HTTPConnection):
    """A connection that looks up, and connects to, allowed addresses only, within the deadline it is given."""

    response_class = _FinalResponse
    key: tuple[object, ...] = ()
    deadline: Deadline
    addresses_of: Callable[[str, float], tuple[str, ...]]
    proxy_headers: Mapping[str, str] = MappingProxyType({})

    def _new_conn(self) -> socket.socket:
        addresses = self.addresses_of(self._dns_host, self.deadline.remaining())
        seconds = min(float(self.timeout or 0), self.deadline.remaining())
        connected = _connect(addresses, self.port, seconds, self.socket_options)
        self.deadline.watch(connected)
        return connected


class SecureConnection(HTTPSConnection):
    """The same over TLS."""

    response_class = _FinalResponse
    key: tuple[object, ...] = ()
    deadline: Deadline
    addresses_of: Callable[[str, float], tuple[str, ...]]
    proxy_headers: Mapping[str, str] = MappingProxyType({})
    _new_conn = Connection._new_conn


def _connect(addresses: tuple[str, ...], port: int, seconds: float, socket_options: Any) -> socket.socket:
    """Connect to the first address that answers; each gets half of the time that is left, the last one all of it."""
    end = time.monotonic() + seconds
    error: OSError = OSError("the host has no address")
    for address in addresses:
        remaining = end - time.monotonic()
        share = remaining if address == addresses[-1] else remaining / 2
        try:
            return create_connection((address, port), max(share, 0.001), socket_options=socket_options)
        except OSError as refused:
            error = refused
    raise error


class Connections:
    """The connections of one pool of threads; one that is taken is nobody else's until it is kept again.

    Proxies of the environment (HTTP_PROXY, HTTPS_PROXY, NO_PROXY) are used except for loopback addresses;
    REQUESTS_CA_BUNDLE names other root certificates. Both are read once.

    Args:
        allow_private: whether connections may lead to any address.
        trusted: the origins (``HttpUrl.origin``) that may have any address.
    """

    def __init__(self, *, allow_private: bool, trusted: frozenset[tuple[str, str, int]]) -> None:
        self._allow_private = allow_private
        self._trusted = trusted
        self._resolver = Resolver()
        self._proxies = Proxies()
        self._lock = threading.Lock()
        self._idle: dict[tuple[object, ...], list[Connection | SecureConnection]] = {}
        self._by_age: OrderedDict[Connection | SecureConnection, None] = OrderedDict()
        self._is_closed = False
        self._certificates = os.environ.get("REQUESTS_CA_BUNDLE") or certifi.where()
        if not Path(self._certificates).exists():
            raise ValueError(f"REQUESTS_CA_BUNDLE should name a file or folder. Received: {self._certificates}")

    def take(self, url: HttpUrl) -> Connection | SecureConnection | None:
        """Return a kept connection to where a URL leads, or None."""
        key = _key(url, self._proxies.proxy_to(url))
        while True:
            with self._lock:
                kept = self._idle.get(key)
                if not kept:
                    return None
                connection = kept.pop()
                del self._by_age[connection]
                if not kept:
                    del self._idle[key]
            if connection.is_connected:
                return connection
            connection.close()

    def new(self, url: HttpUrl) -> Connection | SecureConnection:
        """Return a connection to where a URL leads, which is yet to be connected."""
        proxy = self._proxies.proxy_to(url)
        host, port, options = url.host, url.port, dict[str, Any]()
        if proxy is not None:
            host, port = (proxy.url.host or "").strip("[]"), proxy.url.port or 80
            options = {"proxy": proxy.url, "proxy_config": proxy.config}
        connection: Connection | SecureConnection
        if url.scheme == "https" or (proxy is not None and proxy.url.scheme == "https"):
            connection = SecureConnection(host, port, ssl_context=self._context, **options)
        else:
            connection = Connection(host, port, **options)
        if proxy is not None and url.scheme == "https":
            connection.set_tunnel(url.host, url.port, proxy.headers, scheme=proxy.url.scheme or "http")
        elif proxy is not None:
            connection.proxy_headers = proxy.headers
        is_checked = proxy is None and not self.is_trusted(url)
        connection.addresses_of = self._public_addresses if is_checked else self._resolver.addresses
        connection.key = _key(url, proxy)
        return connection

    def keep(self, connection: Connection | SecureConnection) -> None:
        """Keep a connection, whose last answer was read to its end, for the next request; the oldest may go for it."""
        surplus = None
        with self._lock:
            if self._is_closed:
                surplus = connection
            else:
                self._idle.setdefault(connection.key, []).append(connection)
                self._by_age[connection] = None
                if len(self._by_age) > _MAX_IDLE:
                    surplus, _ = self._by_age.popitem(last=False)
                    self._idle[surplus.key].remove(surplus)
                    if not self._idle[surplus.key]:
                        del self._idle[surplus.key]
        if surplus is not None:
            surplus.close()

    def close(self) -> None:
        """Close what is kept, and whatever would be."""
        with self._lock:
            self._is_closed = True
            kept = list(self._by_age)
            self._by_age.clear()
            self._idle.clear()
        for connection in kept:
            connection.close()

    def is_trusted(self, url: HttpUrl) -> bool:
        """Tell whether a URL may lead to any address."""
        return self._allow_private or url.origin in self._trusted

    def _public_addresses(self, host: str, seconds: float) -> tuple[str, ...]:
        found = self._resolver.addresses(host, seconds)
        allowed = tuple(address for address in found if not is_forbidden_address(address))
        if not allowed:
            raise ForbiddenAddressError(host)
        return allowed

    @functools.cached_property
    def _context(self) -> ssl.SSLContext:
        """Root certificates take tens of milliseconds to load: once for all connections."""
        context = create_urllib3_context()
        is_folder = Path(self._certificates).is_dir()
        context.load_verify_locations(**{"capath" if is_folder else "cafile": self._certificates})
        return context


def _key(url: HttpUrl, proxy: Proxy | None) -> tuple[object, ...]:
    """Return what a connection is kept by: one to a forwarding proxy serves all hosts, any other its origin alone."""
    return (proxy,) if proxy is not None and url.scheme == "http" else (proxy, *url.origin)
