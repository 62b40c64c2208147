"""Fetches URLs over HTTP: one URL gives one value, within a hard deadline, and never an exception.

A timeout of a socket starts anew with every byte, so a server that drips bytes can hold a client for hours. Here every
URL has one deadline for all its redirects, attempts and pauses; when it passes, a watchdog shuts the connection down,
whatever the server is doing with it. Only the look-up of a host's name is the operating system's to limit.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import os
import re
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.util.connection import create_connection

from landmark_spark.core.records import hash_fraction

__all__ = ["STATUSES", "FetchLimits", "Fetched", "fetch_all", "is_status", "load_fetcher"]

STATUSES: dict[str, str] = {
    "ok": "the body was received whole, and is a picture where it was decoded",
    "http_<code>": "the server answered with another code than 200; <code> stands for its three digits",
    "timeout": "the deadline of the URL passed, or no attempt could connect in time",
    "connection_failed": "the connection was refused, reset, or did not speak HTTP",
    "dns_failed": "the host's name has no address",
    "tls_failed": "the certificate or the TLS handshake was refused",
    "too_large": "the body is longer than max_bytes",
    "too_many_redirects": "more than 10 redirects",
    "bad_url": "the URL, or one it redirects to, is no valid http or https URL",
    "empty_body": "the server answered 200 without a body",
    "truncated": "the body, or the picture in it, ends before its end",
    "not_an_image": "the body is no picture that can be decoded",
    "decompression_bomb": "the picture has more than max_pixels pixels",
    "internal_error": "a fault of this program: please report it",
}
"""What can become of a URL. not_an_image and decompression_bomb come from decoding (core.images.ImageError)."""

_CODE = re.compile(r"http_[1-9][0-9]{2}")
_MAX_REDIRECTS = 10
_CHUNK_BYTES = 65_536
_FIRST_PAUSE = 0.5  # seconds before the second attempt, doubled before each further one
_NUM_HOSTS = 64  # hosts whose connections are kept open
_IDLE_SECONDS = 5.0  # after which a watchdog without work ends

Key = TypeVar("Key")
Job = TypeVar("Job")
Result = TypeVar("Result")


def is_status(word: str) -> bool:
    """Tell whether a word is a status: one of STATUSES, where http_<code> stands for http_404 and its like."""
    return bool(_CODE.fullmatch(word)) or (word in STATUSES and "<" not in word)


@dataclass(frozen=True)
class Fetched:
    """What became of one URL: ``body`` where the status is ok, else None.

    num_attempts counts the attempts, each with its redirects; num_bytes is the length of the body as far as it was
    read in the last one; final_url is where the redirects led, without user name and password, "" for a bad URL.
    """

    status: str
    body: bytes | None = None
    num_attempts: int = 0
    num_bytes: int = 0
    final_url: str = ""


@dataclass(frozen=True)
class FetchLimits:
    """How long, how much and how often: deadline (all in all) and connect_timeout in seconds, max_bytes decoded."""

    deadline: float = 30.0
    connect_timeout: float = 10.0
    max_bytes: int = 50_000_000
    max_attempts: int = 3
    user_agent: str = "landmark-spark (batch image download)"

    def __post_init__(self) -> None:
        for name in ("deadline", "connect_timeout"):
            value = getattr(self, name)
            if not 0 < value <= threading.TIMEOUT_MAX:  # a NaN holds nowhere
                raise ValueError(f"{name} should be above 0 seconds and finite. Received: {value}")
        for name in ("max_bytes", "max_attempts"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} should be at least 1. Received: {getattr(self, name)}")
        if not re.fullmatch(r"[!-~]([ -~]*[!-~])?", self.user_agent):
            raise ValueError(f"user_agent should be printable ASCII, not empty. Received: {self.user_agent!r}")


@dataclass(frozen=True)
class _Answer:
    """What one attempt gave, whether another may give better, and the seconds the server asks to wait."""

    fetched: Fetched
    can_heal: bool = False
    retry_after: float = 0.0


def load_fetcher(limits: FetchLimits, *, num_threads: int) -> Callable[[str], Fetched]:
    """Return ``fetch(url)``, which keeps connections open between calls and may be called from num_threads threads.

    No exception leaves it, no cookie is kept, and .netrc is not read. Proxies of the environment (HTTP_PROXY,
    HTTPS_PROXY, NO_PROXY) are used except for loopback addresses; REQUESTS_CA_BUNDLE names other root certificates.
    """
    if num_threads < 1:
        raise ValueError(f"num_threads should be at least 1. Received: {num_threads}")
    adapter = _Adapter(pool_connections=_NUM_HOSTS, pool_maxsize=num_threads)
    watchdog = _Watchdog()

    def fetch(url: str) -> Fetched:
        try:
            with watchdog.guard(limits.deadline) as deadline:
                return _fetch(adapter, url, limits, deadline)
        except Exception:  # the last resort: one URL never ends a job
            return Fetched("internal_error")

    return fetch


def fetch_all(
    urls: Iterable[tuple[Key, Job]], fetch: Callable[[Job], Result], *, num_threads: int, window: int | None = None
) -> Iterator[tuple[Key, Result]]:
    """Fetch in a pool of threads; yield (key, result) in the order of ``urls``, which is read lazily.

    At most ``window`` URLs (default: 4 a thread) are under way or wait for an earlier one, so that memory stays flat.
    ``fetch`` may do more than fetch: where it also decodes and shrinks, results are small and the window can be wide,
    and one slow URL then holds up fewer of the others.
    """
    window = 4 * num_threads if window is None else window
    if num_threads < 1 or window < num_threads:
        raise ValueError(
            f"window should be at least num_threads, which is at least 1. Received: {window}, {num_threads}"
        )
    return _fetch_in_order(urls, fetch, num_threads, window)


def _fetch_in_order(
    urls: Iterable[tuple[Key, Job]], fetch: Callable[[Job], Result], num_threads: int, window: int
) -> Iterator[tuple[Key, Result]]:
    waiting: deque[tuple[Key, Future[Result]]] = deque()
    pool = ThreadPoolExecutor(num_threads, thread_name_prefix="fetch")
    try:
        for key, url in urls:
            waiting.append((key, pool.submit(fetch, url)))
            if len(waiting) >= window:
                oldest, future = waiting.popleft()
                yield oldest, future.result()
        while waiting:
            oldest, future = waiting.popleft()
            yield oldest, future.result()
    finally:  # also where the caller stops early: what runs ends by its own deadline, unseen
        pool.shutdown(wait=False, cancel_futures=True)


def _fetch(adapter: _Adapter, url: str, limits: FetchLimits, deadline: _Deadline) -> Fetched:
    if not _is_http(url):
        return Fetched("bad_url")
    for attempt in range(1, limits.max_attempts + 1):
        answer = _attempt(adapter, url, limits, deadline)
        fetched = replace(answer.fetched, num_attempts=attempt)
        if deadline.remaining() <= 0 and not fetched.status.startswith("http_"):
            return replace(
                fetched, status="timeout", body=None
            )  # a connection cut by the watchdog looks like many things
        if not answer.can_heal or attempt == limits.max_attempts:
            break
        pause = max(answer.retry_after, _pause(url, attempt))
        if pause >= deadline.remaining():
            break
        time.sleep(pause)
    return fetched


def _pause(url: str, attempt: int) -> float:
    """Return the seconds after an attempt: doubled each time, spread by a hash so that retries do not come in step."""
    spread = 0.5 + hash_fraction(url, seed=attempt, purpose="back-off")
    return float(_FIRST_PAUSE * 2 ** (attempt - 1) * spread)


def _attempt(adapter: _Adapter, url: str, limits: FetchLimits, deadline: _Deadline) -> _Answer:
    """Follow a URL's redirects to an answer; everything that goes wrong on the way becomes a status."""
    try:
        for _ in range(_MAX_REDIRECTS + 1):
            if not _is_http(url):
                return _Answer(Fetched("bad_url"))
            with _send(adapter, url, limits, deadline) as response:
                location = response.headers.get("location") if response.is_redirect else None
                if not location:
                    answer = _read(response, limits, deadline)
                    return replace(answer, fetched=replace(answer.fetched, final_url=_without_credentials(url)))
            url = _redirected(url, location)
        return _Answer(Fetched("too_many_redirects", final_url=_without_credentials(url)))
    except Exception as error:
        causes = list(_causes(error))
        status = _status_of(causes)
        can_heal = status in ("timeout", "connection_failed", "truncated") or any(
            isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_AGAIN for cause in causes
        )
        return _Answer(Fetched(status, final_url=_without_credentials(url)), can_heal)


def _redirected(url: str, location: str) -> str:
    """Return where a Location header leads, or "" where that is no URL."""
    try:  # headers are read as Latin-1, and servers that send more than ASCII send UTF-8
        return urljoin(url, location.encode("latin-1").decode("utf-8", errors="replace"))
    except ValueError:
        return ""


def _send(adapter: _Adapter, url: str, limits: FetchLimits, deadline: _Deadline) -> requests.Response:
    """Ask once, below requests.Session, which would read the whole body of a redirect."""
    headers = {"User-Agent": limits.user_agent, "Accept": "image/*,*/*;q=0.8", "Accept-Encoding": "identity"}
    remaining = max(deadline.remaining(), 0.001)
    return adapter.send(
        requests.Request("GET", url, headers=headers).prepare(),
        stream=True,
        timeout=(min(limits.connect_timeout, remaining), remaining),
        verify=os.environ.get("REQUESTS_CA_BUNDLE") or True,
        proxies={} if _is_loopback(url) else get_environ_proxies(url, no_proxy=None),
    )


def _read(response: requests.Response, limits: FetchLimits, deadline: _Deadline) -> _Answer:
    code = response.status_code
    if code != 200:
        can_heal = code == 429 or 500 <= code < 600
        return _Answer(Fetched(f"http_{code}"), can_heal, float(_whole_number(response, "retry-after")))
    if _whole_number(response, "content-length") > limits.max_bytes:
        return _Answer(Fetched("too_large"))
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
        body += chunk
        if len(body) > limits.max_bytes:
            return _Answer(Fetched("too_large", num_bytes=len(body)))
        if deadline.remaining() <= 0:
            return _Answer(Fetched("timeout", num_bytes=len(body)))
    if not body:
        return _Answer(Fetched("empty_body"))
    return _Answer(Fetched("ok", bytes(body), num_bytes=len(body)))


def _whole_number(response: requests.Response, header: str) -> int:
    text = response.headers.get(header, "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


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
    ("tls_failed", (ssl.SSLError, ssl.CertificateError, urllib3.exceptions.SSLError)),
    ("truncated", (http.client.IncompleteRead, urllib3.exceptions.DecodeError)),
    ("connection_failed", (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError)),
)


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


class _Deadline:
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


class _Watchdog:
    """One thread that cuts the connections of all deadlines that pass; it starts with the first and ends when idle."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._deadlines: set[_Deadline] = set()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def guard(self, seconds: float) -> Iterator[_Deadline]:
        """Put whatever this thread connects to within the block under a deadline."""
        deadline = _Deadline(seconds)
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
    deadline: _Deadline | None = getattr(_current, "deadline", None)
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


class _Adapter(HTTPAdapter):
    """requests' adapter with the connections above, direct or through an HTTP proxy."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        if type(manager) is urllib3.ProxyManager:  # SOCKS has connections of its own
            manager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}
        return manager
