"""Asks for a URL once: follows its redirects to an answer, and turns whatever goes wrong into a status."""

from __future__ import annotations

import http.client
import ipaddress
import os
import socket
import ssl
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3
from requests.utils import get_environ_proxies

from landmark_spark.core.deadlines import Deadline, WatchedAdapter

__all__ = ["Answer", "attempt", "is_http_url"]

_MAX_REDIRECTS = 10
_CHUNK_BYTES = 65_536


@dataclass(frozen=True)
class Answer:
    """What one attempt gave: ``body`` where the status, a word of core.fetching.STATUSES, is ok, else None.

    num_bytes is the length of the body as far as it was read; final_url is where the redirects led, without user name
    and password; can_heal tells whether another attempt may give better; retry_after is the seconds the server asks
    to wait before it.
    """

    status: str
    body: bytes | None = None
    num_bytes: int = 0
    final_url: str = ""
    can_heal: bool = False
    retry_after: float = 0.0


def attempt(
    url: str, adapter: WatchedAdapter, deadline: Deadline, *, connect_timeout: float, max_bytes: int, user_agent: str
) -> Answer:
    """Follow a URL's redirects to an answer within a deadline; everything that goes wrong on the way is a status.

    Args:
        url: what to ask for.
        adapter: keeps connections open between attempts.
        deadline: what ``Watchdog.guard`` gave in this thread; a connection that it cuts can look like any failure.
        connect_timeout: seconds.
        max_bytes: a longer body, as decompressed, is not read to its end.
        user_agent: the header.
    """
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            if not is_http_url(url):
                return Answer("bad_url")
            with _send(url, adapter, deadline, connect_timeout, user_agent) as response:
                location = response.headers.get("location") if response.is_redirect else None
                if not location:
                    return replace(_read(response, deadline, max_bytes), final_url=_without_credentials(url))
            url = _redirected(url, location)
        return Answer("too_many_redirects", final_url=_without_credentials(url))
    except Exception as error:
        return replace(_failure(error), final_url=_without_credentials(url))
    finally:  # else the watched duplicate would hold the connection open until the next attempt
        deadline.release()


def is_http_url(url: str) -> bool:
    """Tell whether a URL is a valid one of http or https."""
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _redirected(url: str, location: str) -> str:
    """Return where a Location header leads, or "" where that is no URL."""
    try:  # headers are read as Latin-1, and servers that send more than ASCII send UTF-8
        return urljoin(url, location.encode("latin-1").decode("utf-8", errors="replace"))
    except ValueError:
        return ""


def _send(
    url: str, adapter: WatchedAdapter, deadline: Deadline, connect_timeout: float, user_agent: str
) -> requests.Response:
    """Ask once, below requests.Session, which would read the whole body of a redirect."""
    headers = {"User-Agent": user_agent, "Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity"}
    remaining = max(deadline.remaining(), 0.001)
    return adapter.send(
        requests.Request("GET", url, headers=headers).prepare(),
        stream=True,
        timeout=(min(connect_timeout, remaining), remaining),
        verify=os.environ.get("REQUESTS_CA_BUNDLE") or True,
        proxies={} if _is_loopback(url) else get_environ_proxies(url, no_proxy=None),
    )


def _read(response: requests.Response, deadline: Deadline, max_bytes: int) -> Answer:
    code = response.status_code
    if code != 200:
        can_heal = code == 429 or 500 <= code < 600
        return Answer(f"http_{code}", can_heal=can_heal, retry_after=float(_whole_number(response, "retry-after")))
    if _whole_number(response, "content-length") > max_bytes:
        return Answer("too_large")
    body = bytearray()
    try:
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > max_bytes:
                return Answer("too_large", num_bytes=len(body))
            if deadline.remaining() <= 0:
                return Answer("timeout", num_bytes=len(body))
    except Exception as error:
        return replace(_failure(error), num_bytes=len(body))
    return Answer("ok", bytes(body), num_bytes=len(body)) if body else Answer("empty_body")


def _whole_number(response: requests.Response, header: str) -> int:
    text = response.headers.get(header, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _without_credentials(url: str) -> str:
    try:
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    except ValueError:
        return ""


_STATUS_OF_ERROR: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (  # the first that fits
    ("bad_url", (requests.exceptions.InvalidURL, urllib3.exceptions.LocationParseError, http.client.InvalidURL)),
    ("bad_url", (UnicodeError,)),
    ("dns_failed", (socket.gaierror,)),
    ("timeout", (TimeoutError, urllib3.exceptions.TimeoutError, requests.Timeout)),
    ("connection_failed", (ssl.SSLEOFError, ssl.SSLZeroReturnError)),  # hung up during TLS, and may not do so again
    ("tls_failed", (ssl.SSLError, ssl.CertificateError, urllib3.exceptions.SSLError)),
    ("truncated", (http.client.IncompleteRead, urllib3.exceptions.DecodeError)),
    ("connection_failed", (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)),
)


def _failure(error: Exception) -> Answer:
    causes = list(_causes(error))
    status = _status_of(causes)
    can_heal = status in ("timeout", "connection_failed", "truncated") or any(
        isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN for cause in causes
    )
    return Answer(status, can_heal=can_heal)


def _status_of(causes: list[BaseException]) -> str:
    for status, kinds in _STATUS_OF_ERROR:
        if any(isinstance(cause, kinds) for cause in causes):
            return status
    return "internal_error"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and all it stems from: requests wraps urllib3's errors, which wrap those of sockets."""
    pending: deque[Any] = deque([error])
    seen: set[int] = set()
    while pending:
        cause = pending.popleft()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            pending.extend((cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args))
