"""Fetches URLs over HTTP: one URL gives one value, within a hard deadline, and never an exception.

Every URL has one deadline for all its redirects, attempts and pauses (core.deadlines holds it).
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from landmark_spark.core.attempts import attempt, is_http_url
from landmark_spark.core.deadlines import Deadline, Watchdog, WatchedAdapter
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
_FIRST_PAUSE = 0.5  # seconds before the second attempt, doubled before each further one
_NUM_HOSTS = 64  # hosts whose connections are kept open

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


def load_fetcher(limits: FetchLimits, *, num_threads: int) -> Callable[[str], Fetched]:
    """Return ``fetch(url)``, which keeps connections open between calls and may be called from num_threads threads.

    No exception leaves it, no cookie is kept, and .netrc is not read. Proxies of the environment (HTTP_PROXY,
    HTTPS_PROXY, NO_PROXY) are used except for loopback addresses; REQUESTS_CA_BUNDLE names other root certificates.
    """
    if num_threads < 1:
        raise ValueError(f"num_threads should be at least 1. Received: {num_threads}")
    adapter = WatchedAdapter(pool_connections=_NUM_HOSTS, pool_maxsize=num_threads)
    watchdog = Watchdog()

    def fetch(url: str) -> Fetched:
        try:
            with watchdog.guard(limits.deadline) as deadline:
                return _fetch(url, adapter, deadline, limits)
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


def _fetch(url: str, adapter: WatchedAdapter, deadline: Deadline, limits: FetchLimits) -> Fetched:
    """Attempt until an answer is good, cannot get better, or time or attempts are at their end."""
    fetched = Fetched("bad_url")
    if not is_http_url(url):
        return fetched
    for number in range(1, limits.max_attempts + 1):
        answer = attempt(
            url,
            adapter,
            deadline,
            connect_timeout=limits.connect_timeout,
            max_bytes=limits.max_bytes,
            user_agent=limits.user_agent,
        )
        fetched = Fetched(answer.status, answer.body, number, answer.num_bytes, answer.final_url)
        if deadline.remaining() <= 0 and not fetched.status.startswith("http_"):
            return replace(fetched, status="timeout", body=None)  # what the watchdog cuts looks like many things
        if not answer.can_heal or number == limits.max_attempts:
            break
        pause = max(answer.retry_after, _pause(url, number))
        if pause >= deadline.remaining():
            break
        time.sleep(pause)
    return fetched


def _pause(url: str, number: int) -> float:
    """Return the seconds after an attempt: doubled each time, spread by a hash so that retries do not come in step."""
    text = url.encode(errors="replace").decode()  # half a surrogate pair has no bytes to hash
    spread = 0.5 + hash_fraction(text, seed=number, purpose="back-off")
    return float(_FIRST_PAUSE * 2 ** (number - 1) * spread)
