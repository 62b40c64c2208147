"""Sends one request for a URL, and turns whatever comes of it into a status or the place it redirects to."""

from __future__ import annotations

import email.utils
import http.client
import re
import socket
import ssl
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any

import urllib3

from landmark_spark.core.addresses import is_forbidden_host
from landmark_spark.core.connections import Connection, Connections, ForbiddenAddressError, SecureConnection
from landmark_spark.core.deadlines import Deadline
from landmark_spark.core.fetch_limits import FetchLimits
from landmark_spark.core.opt_out import has_opted_out, product_names
from landmark_spark.core.resolving import can_heal
from landmark_spark.core.urls import HttpUrl

__all__ = ["Answer", "Requester"]

_CHUNK_BYTES = 262_144
_DRAINED_BYTES = 65_536
_DRAIN_SECONDS = 1.0
_PIECE_BYTES = 16_384
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request gave: ``body`` where the status, a word of core.statuses.STATUSES, is ok, else None.

    num_bytes is the length of the body as far as it was read, to a whole number of chunks of 256 KiB where the
    connection failed; can_heal tells whether another attempt may give better; retry_after is the seconds the server
    asks to wait before it; location is where the server redirects to, "" where it does not.
    """

    status: str
    body: bytes | None = None
    num_bytes: int = 0
    can_heal: bool = False
    retry_after: float = 0.0
    location: str = ""


class Requester:
    """Sends requests for one pool of threads."""

    def __init__(self, limits: FetchLimits) -> None:
        self._limits = limits
        self._connections = Connections(allow_private=limits.allow_private_addresses, trusted=limits.origins())
        self._directives = frozenset(word.lower() for word in limits.opt_out_directives)
        self._names = product_names(limits.user_agent)
        self._headers = {
            "User-Agent": limits.user_agent,
            "Accept": "image/*,*/*;q=0.8",
            "Accept-Encoding": "identity",
        }

    def ask(self, url: HttpUrl, deadline: Deadline) -> Answer:
        """Send one request within a deadline; everything that goes wrong is a status, and nothing is raised.

        The deadline watches the connection; one that it cuts can look like any failure.
        """
        if is_forbidden_host(url.host) and not self._connections.is_trusted(url):
            return Answer("forbidden_address")
        connection = None
        try:
            connection, response = self._send(url, deadline)
            answer = self._read(connection, response, deadline)
        except Exception as error:
            answer = _failure(error)
        deadline.release()  # before the connection can be another thread's
        if connection is not None:
            if connection.sock is not None and response.isclosed() and response.status >= 200:
                self._connections.keep(connection)
            else:
                _discard(connection, response)
        return answer

    def close(self) -> None:
        """Close the connections that are not in use, and the others when they are done with."""
        self._connections.close()

    def _send(self, url: HttpUrl, deadline: Deadline) -> tuple[Connection | SecureConnection, http.client.HTTPResponse]:
        connection = self._connections.take(url)
        if connection is not None:
            try:
                return connection, self._exchange(connection, url, deadline)
            except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError, http.client.HTTPException):
                # A server may end a kept connection at any time, or send there what belongs to the request before,
                # which is found only once it has come: either says nothing of this request.
                if deadline.remaining() <= 0:
                    raise
        connection = self._connections.new(url)
        return connection, self._exchange(connection, url, deadline)

    def _exchange(
        self, connection: Connection | SecureConnection, url: HttpUrl, deadline: Deadline
    ) -> http.client.HTTPResponse:
        """Send the request and read the headers of its answer; the connection is closed where that fails."""
        limits = self._limits
        headers = self._headers
        try:
            connection.deadline = deadline
            if connection.sock is None:
                connection.timeout = max(min(limits.connect_timeout, deadline.remaining()), 0.001)
                connection.connect()
            else:
                deadline.watch(connection.sock)
            connection.sock.settimeout(max(min(limits.read_timeout, deadline.remaining()), 0.001))
            target = url.target
            if connection.proxy_is_forwarding:
                target, headers = str(url), {**headers, **connection.proxy_headers}
            if url.authorization:
                headers = {**headers, "Authorization": url.authorization}
            # http.client's own methods: urllib3's make a response with decoders and more, which takes as long again
            http.client.HTTPConnection.request(connection, "GET", target, headers=headers)
            return http.client.HTTPConnection.getresponse(connection)
        except BaseException:
            connection.close()
            raise

    def _read(
        self, connection: Connection | SecureConnection, response: http.client.HTTPResponse, deadline: Deadline
    ) -> Answer:
        code = response.status
        if code != 200:
            _drain(connection, response, deadline)
            location = (response.getheader("location") or "") if code in _REDIRECTS else ""
            heals = code == 429 or 500 <= code < 600
            retry_after = _seconds(response.getheader("retry-after") or "") if heals else 0.0
            return Answer(f"http_{code}", can_heal=heals, retry_after=retry_after, location=location)
        if has_opted_out(
            response.headers.get_all("x-robots-tag", ()),
            response.headers.get_all("tdm-reservation", ()),
            directives=self._directives,
            names=self._names,
        ):
            return Answer("opted_out")
        encoding = (response.getheader("content-encoding") or "identity").strip().lower()
        if encoding == "identity" and (response.length or 0) > self._limits.max_bytes:
            return Answer("too_large")
        return _read_body(_decoded(response, encoding), response, deadline, self._limits.max_bytes)


def _read_body(source: Any, response: http.client.HTTPResponse, deadline: Deadline, max_bytes: int) -> Answer:
    chunks: list[bytes] = []
    num_bytes = 0
    try:
        while chunk := source.read(min(_CHUNK_BYTES, max_bytes + 1 - num_bytes)):
            chunks.append(chunk)
            num_bytes += len(chunk)
            if num_bytes > max_bytes:
                return Answer("too_large", num_bytes=num_bytes)
            if deadline.remaining() <= 0:
                return Answer("timeout", num_bytes=num_bytes, can_heal=True)
    except Exception as error:
        partial = (cause.partial for cause in _causes(error) if isinstance(cause, http.client.IncompleteRead))
        return replace(_failure(error), num_bytes=num_bytes + sum(map(len, partial)))
    if response.length:  # still to come when the connection ended
        return Answer("truncated", num_bytes=num_bytes, can_heal=True)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    return Answer("ok", body, num_bytes) if body else Answer("empty_body")


def _decoded(response: http.client.HTTPResponse, encoding: str) -> Any:
    """Return what to read the body from; a server may send it compressed though none was asked for."""
    if encoding == "identity":
        return response
    return urllib3.HTTPResponse(response, headers={"content-encoding": encoding}, preload_content=False)


def _drain(connection: Connection | SecureConnection, response: http.client.HTTPResponse, deadline: Deadline) -> None:
    """Read the rest of a small body that nobody wants, so that the connection can be kept; give up if it takes long."""
    if response.will_close or connection.sock is None or (response.length or 0) > _DRAINED_BYTES:
        return
    seconds = max(min(_DRAIN_SECONDS, deadline.remaining()), 0.001)
    end = time.monotonic() + seconds
    connection.sock.settimeout(seconds)
    num_bytes = 0
    try:
        while num_bytes < _DRAINED_BYTES and time.monotonic() < end and (piece := response.read(_PIECE_BYTES)):
            num_bytes += len(piece)
    except (OSError, http.client.HTTPException):
        return  # the connection is not kept, and the status is known


def _discard(connection: Connection | SecureConnection, response: http.client.HTTPResponse) -> None:
    connection.close()
    response.close()


def _seconds(retry_after: str) -> float:
    """Return the seconds that a Retry-After header asks for, as a number or as a date; 0 where it is neither."""
    text = retry_after.strip()
    if re.fullmatch(r"[0-9]{1,18}", text):
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return max(date.timestamp() - time.time(), 0.0)
    except (ValueError, OverflowError, TypeError, IndexError):
        return 0.0


_STATUS_OF_ERROR: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (  # the first that fits
    ("forbidden_address", (ForbiddenAddressError,)),
    ("bad_url", (urllib3.exceptions.LocationParseError, http.client.InvalidURL, UnicodeError)),
    ("dns_failed", (socket.gaierror,)),
    ("timeout", (TimeoutError, urllib3.exceptions.TimeoutError)),
    ("connection_failed", (ssl.SSLEOFError, ssl.SSLZeroReturnError)),  # hung up during TLS, and may not do so again
    ("tls_failed", (ssl.SSLError, ssl.CertificateError, urllib3.exceptions.SSLError)),
    ("truncated", (http.client.IncompleteRead, urllib3.exceptions.DecodeError)),
    ("connection_failed", (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)),
)


def _failure(error: Exception) -> Answer:
    causes = list(_causes(error))
    status = _status_of(causes)
    heals = status in ("timeout", "connection_failed", "truncated") or any(can_heal(cause) for cause in causes)
    return Answer(status, can_heal=heals)


def _status_of(causes: list[BaseException]) -> str:
    for status, kinds in _STATUS_OF_ERROR:
        if any(isinstance(cause, kinds) for cause in causes):
            return status
    return "internal_error"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all it stems from: urllib3's errors wrap those of sockets."""
    pending: deque[Any] = deque([error])
    seen: set[int] = set()
    while pending:
        cause = pending.popleft()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            pending.extend((cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args))
