"""Fetches URLs over HTTP: one URL gives one value, within a hard deadline, and never an exception.

Every request, also one that a redirect or a retry asks for, waits in the queue of its host (core.hosts), where it holds
neither a thread nor a connection. A URL's time begins with its first request.
"""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from queue import SimpleQueue
from typing import Generic, TypeVar

from landmark_spark.core.attempts import Answer, Requester
from landmark_spark.core.deadlines import Deadline, Watchdog
from landmark_spark.core.fetch_limits import FetchLimits
from landmark_spark.core.hosts import HostQueue, Turn
from landmark_spark.core.records import hash_fraction
from landmark_spark.core.statuses import ADVICE, STATUSES, advice_of, check_status_words, matches_status
from landmark_spark.core.urls import HttpUrl, parse_http_url, parse_redirect

__all__ = [
    "ADVICE",
    "STATUSES",
    "FetchLimits",
    "FetchPool",
    "Fetched",
    "advice_of",
    "check_status_words",
    "load_fetcher",
    "matches_status",
]

_MAX_REDIRECTS = 10
_FIRST_PAUSE = 0.5  # seconds before the second attempt, doubled before each further one
_LONGEST_WAIT = 120.0  # seconds that a host may ask for and what was not begun waits; past that it ends
_IDLE_SECONDS = 5.0  # after which a thread without work ends; the next URL starts another

# What an answer may look like whose connection was cut at the deadline, or a URL whose time went by otherwise:
_STATUSES_OF_A_CUT = ("ok", "empty_body", "connection_failed", "dns_failed", "tls_failed", "truncated", "timeout")
_NO_URL = HttpUrl("http", "", 0, "")

Key = TypeVar("Key")


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


@dataclass(slots=True, eq=False)
class _Job(Generic[Key]):
    """A URL on its way: ``hop`` is what is asked for next, the URL itself or where it redirected to."""

    key: Key
    url: HttpUrl
    hop: HttpUrl
    deadline: Deadline | None = None  # from the first request on
    num_attempts: int = 0
    num_redirects: int = 0  # in this attempt
    failure: Fetched | None = None  # of the attempt before


class FetchPool(Generic[Key]):
    """Threads that fetch URLs and hand each result to ``finish(key, fetched)``, in the order in which they come.

    finish is called once for each URL, in a thread of the pool, several at once; what it raises is reported as the
    error of a thread, and the thread goes on. No cookie is kept, and .netrc is not read. Proxies of the environment
    are used (core.proxies); REQUESTS_CA_BUNDLE names other root certificates.

    Args:
        limits: of every URL and host.
        num_threads: requests under way at once, and calls of finish.
        finish: takes the key of ``submit`` and what became of the URL.
    """

    def __init__(self, limits: FetchLimits, *, num_threads: int, finish: Callable[[Key, Fetched], None]) -> None:
        if num_threads < 1:
            raise ValueError(f"num_threads should be at least 1. Received: {num_threads}")
        self._limits = limits
        self._num_threads = num_threads
        self._finish = finish
        self._requester = Requester(limits)
        self._watchdog = Watchdog(limits.deadline)
        self._queue: HostQueue[_Job[Key]] = HostQueue(
            max_connections=limits.max_connections_per_host,
            requests_per_second=limits.requests_per_second_per_host,
            longest_wait=max(limits.deadline, _LONGEST_WAIT),
        )
        self._changed = threading.Condition()
        self._num_alive = 0
        self._num_idle = 0
        self._timer = math.inf  # when the idle thread wakes that waits for the next turn's time; others wait for work
        self._is_closed = False

    def submit(self, key: Key, url: str) -> None:
        """Fetch a URL; does not wait for anything. The caller bounds how many are under way."""
        parsed = parse_http_url(url)
        with self._changed:
            if self._is_closed:
                raise RuntimeError("submit should not be called after close")
            if parsed is None:
                self._queue.put_ended(_Job(key, _NO_URL, _NO_URL, failure=Fetched("bad_url")))
            else:
                self._queue.put(_name(parsed), _Job(key, parsed, parsed), time.monotonic())
            self._wake_one()

    def close(self) -> None:
        """Give up what waits and what is under way: nothing is finished after this. Waits for nothing."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._requester.close()

    def _wake_one(self) -> None:
        """Let one more thread look for a turn; called under the lock."""
        if self._num_idle:
            self._changed.notify()
        elif self._num_alive < self._num_threads:
            try:
                threading.Thread(target=self._work, name="fetch", daemon=True).start()
                self._num_alive += 1
            except RuntimeError:  # the system has no more: fewer will do
                if not self._num_alive:
                    raise

    def _work(self) -> None:
        while (turn := self._next_turn()) is not None:
            fetched = self._step(turn)
            if fetched is None:
                continue
            if turn.job.deadline is not None:
                self._watchdog.finish(turn.job.deadline)
            try:
                if not self._is_closed:
                    self._finish(turn.job.key, fetched)
            except BaseException:
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
            del fetched  # else a body would be held while waiting for the next

    def _next_turn(self) -> Turn[_Job[Key]] | None:
        """Wait for a turn; None where the thread should end, for want of work or after close."""
        idle_until = time.monotonic() + _IDLE_SECONDS
        with self._changed:
            while not self._is_closed:
                now = time.monotonic()
                turn = self._queue.take(now)
                next_time = self._queue.next_time(now)
                if turn is not None:
                    if next_time < self._timer:  # there is more now, or nobody waits for the time when there is
                        self._wake_one()
                    return turn
                if next_time >= self._timer and now >= idle_until:
                    break
                self._wait(now, next_time, idle_until)
            self._num_alive -= 1
        return None

    def _wait(self, now: float, next_time: float, idle_until: float) -> None:
        """Wait for the time of the next turn, unless another thread does; or else for work, until idle_until."""
        is_timer = next_time < self._timer
        if is_timer:
            self._timer = next_time
        self._num_idle += 1
        self._changed.wait(min((next_time if is_timer else idle_until) - now, threading.TIMEOUT_MAX))
        self._num_idle -= 1
        if is_timer and self._timer == next_time:
            self._timer = math.inf

    def _step(self, turn: Turn[_Job[Key]]) -> Fetched | None:
        """Do what a turn is for; return what became of the URL, or None where it waits again."""
        job = turn.job
        if turn.reason != "ask":
            return _ended(job, turn.reason)
        if job.deadline is None:
            job.deadline = self._watchdog.start()
        job.num_attempts += job.num_redirects == 0
        try:
            answer = self._requester.ask(job.hop, job.deadline)
        except Exception:  # the last resort: one URL never ends a job
            answer = Answer("internal_error")
        if job.deadline.remaining() <= 0 and answer.status in _STATUSES_OF_A_CUT:
            answer = replace(answer, status="timeout", body=None, can_heal=True)
        has_failed = answer.can_heal and answer.status != "truncated"
        with self._changed:
            self._queue.release(turn.host, time.monotonic(), has_failed=has_failed, wait=answer.retry_after)
            if self._queue.has_turn(time.monotonic()):  # this thread may be busy with ``finish`` for long
                self._wake_one()
            if answer.location:
                return self._redirect(job, job.deadline, answer.location)
            fetched = Fetched(answer.status, answer.body, job.num_attempts, answer.num_bytes, str(job.hop))
            if answer.can_heal and job.num_attempts < self._limits.max_attempts:
                pause = max(answer.retry_after, _pause(str(job.url), job.num_attempts))
                return self._retry(job, job.deadline, fetched, pause)
            return fetched

    def _redirect(self, job: _Job[Key], deadline: Deadline, location: str) -> Fetched | None:
        """Let a URL wait for the host it leads to."""
        hop = parse_redirect(job.hop, location)
        if hop is None:
            return Fetched("bad_url", num_attempts=job.num_attempts)
        job.hop = hop
        job.num_redirects += 1
        if job.num_redirects > _MAX_REDIRECTS:
            return Fetched("too_many_redirects", num_attempts=job.num_attempts, final_url=str(hop))
        self._queue.put(_name(hop), job, time.monotonic(), ends_at=deadline.end)
        return None

    def _retry(self, job: _Job[Key], deadline: Deadline, failure: Fetched, pause: float) -> Fetched | None:
        """Let a URL wait for its next attempt; return its failure where that would come too late."""
        now = time.monotonic()
        not_before = max(now + pause, self._queue.free_from(_name(job.url)))
        if not_before >= deadline.end:
            return failure
        job.hop, job.num_redirects, job.failure = job.url, 0, failure
        self._queue.put(_name(job.url), job, now, not_before=not_before, ends_at=deadline.end)
        return None


def load_fetcher(limits: FetchLimits) -> Callable[[str], Fetched]:
    """Return ``fetch(url)``, which waits for what becomes of a URL and keeps connections for the next call.

    It takes one URL at a time; for many there is FetchPool.
    """
    pool: FetchPool[SimpleQueue[Fetched]] = FetchPool(limits, num_threads=1, finish=SimpleQueue.put)

    def fetch(url: str) -> Fetched:
        result: SimpleQueue[Fetched] = SimpleQueue()
        pool.submit(result, url)
        return result.get()

    return fetch


def _name(url: HttpUrl) -> str:
    """Return what a URL's host is known by: its ports and schemes count together."""
    return url.host.removesuffix(".")


def _ended(job: _Job[Key], reason: str) -> Fetched:
    """Return what became of a URL that waited in vain: what it was before, if anything."""
    if job.failure is not None:
        return replace(job.failure, num_attempts=job.num_attempts)
    status = "host_unavailable" if reason == "unavailable" else "timeout"
    return Fetched(status, num_attempts=job.num_attempts, final_url=str(job.hop))


def _pause(url: str, number: int) -> float:
    """Return the seconds after an attempt: doubled each time, spread by a hash so that retries do not come in step."""
    spread = 0.5 + hash_fraction(url, seed=number, purpose="back-off")
    return float(_FIRST_PAUSE * 2 ** (number - 1) * spread)
