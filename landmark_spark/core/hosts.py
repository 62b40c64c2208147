"""Decides which request goes next: few at once to a host, not too often, none to a host that is down.

No thread and no clock in here: every call says what time it is, in seconds of any one clock.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

__all__ = ["HostQueue", "Turn"]

Job = TypeVar("Job")
Reason = Literal["ask", "expired", "unavailable"]

_FAILURES_TO_REST = 20
_REST_SECONDS = 60.0
_LONGEST_REST = 600.0  # a host that asks for more is tried again after this
_NEVER = -math.inf


@dataclass(frozen=True, slots=True)
class Turn(Generic[Job]):
    """A job whose wait is over: ask its host now, or end it, since its own time or its host's has run out."""

    job: Job
    host: str
    reason: Reason


@dataclass(slots=True)
class _Entry(Generic[Job]):
    """A job that waits, in the heaps of its host and of the ends; where it waits no more, they skip it."""

    job: Job
    host: _Host[Job]
    order: tuple[bool, int]  # jobs begun before go first, since their time runs
    is_waiting: bool = True


@dataclass(slots=True)
class _Host(Generic[Job]):
    """The queue of one host and what is known of it."""

    name: str
    ready: list[tuple[tuple[bool, int], _Entry[Job]]] = field(default_factory=list)
    later: list[tuple[float, int, _Entry[Job]]] = field(default_factory=list)
    num_running: int = 0
    num_failures: int = 0  # in a row
    is_down: bool = False  # until a request is answered after the rest
    rests_until: float = _NEVER  # while it does, what waits or comes ends at once
    free_from: float = _NEVER  # by rate and Retry-After: until then, what comes waits
    stamp: int = 0  # of its latest place among the hosts; older places are skipped


class HostQueue(Generic[Job]):
    """Jobs by host; of the hosts that may be asked, the one with the fewest requests under way is next.

    A host whose last 20 requests in a row failed, or that asks to wait longer than ``longest_wait``, is unavailable:
    what waits for it ends at once, and so does what comes, until it has rested for 60 seconds or the time it asked for,
    600 at most. Then it gets one request at a time until one is answered. Each call takes O(log n) of n waiting jobs,
    amortised.

    Args:
        max_connections: requests under way at one host, at most.
        requests_per_second: to one host, evenly spaced; 0 for no limit.
        longest_wait: seconds.
    """

    def __init__(self, *, max_connections: int, requests_per_second: float, longest_wait: float) -> None:
        self._max_connections = max_connections
        self._spacing = 1.0 / requests_per_second if requests_per_second > 0 else 0.0
        self._longest_wait = longest_wait
        self._hosts: dict[str, _Host[Job]] = {}
        self._num_to_sweep = 1024
        self._numbers = itertools.count()
        self._free: list[tuple[int, tuple[bool, int], int, _Host[Job]]] = []  # by requests under way, order, stamp
        self._soon: list[tuple[float, int, int, _Host[Job]]] = []  # by the time from which they may be asked
        self._ends: list[tuple[float, int, _Entry[Job]]] = []
        self._ended: deque[Turn[Job]] = deque()

    def put(self, host: str, job: Job, now: float, *, not_before: float = _NEVER, ends_at: float = math.inf) -> None:
        """Let a job wait for its host; one that was begun ends as expired at ``ends_at`` if it still waits then."""
        state = self._hosts.get(host)
        if state is None:
            self._sweep(now)
            state = self._hosts[host] = _Host(host)
        if now < state.rests_until:
            self._ended.append(Turn(job, host, "unavailable"))
            return
        number = next(self._numbers)
        entry = _Entry(job, state, (ends_at == math.inf, number))
        if ends_at < math.inf:
            heapq.heappush(self._ends, (ends_at, number, entry))
        if not_before > now:
            heapq.heappush(state.later, (not_before, number, entry))
        else:
            heapq.heappush(state.ready, (entry.order, entry))
        self._place(state, now)

    def put_ended(self, job: Job) -> None:
        """Let a job that needs no host be taken, as expired, before all others."""
        self._ended.append(Turn(job, "", "expired"))

    def take(self, now: float) -> Turn[Job] | None:
        """Return the next turn, or None. One to ask holds a connection of its host until ``release``."""
        self._advance(now)
        if self._ended:
            return self._ended.popleft()
        if not self._free:
            return None
        state = heapq.heappop(self._free)[-1]
        entry = heapq.heappop(state.ready)[-1]
        entry.is_waiting = False
        state.num_running += 1
        if self._spacing:
            state.free_from = max(state.free_from, now) + self._spacing
        self._place(state, now)
        return Turn(entry.job, state.name, "ask")

    def release(self, host: str, now: float, *, has_failed: bool, wait: float = 0.0) -> None:
        """End a request that ``take`` gave out.

        Args:
            host: as in the turn.
            now: the time.
            has_failed: whether it ended as if the host were down or overloaded.
            wait: the seconds that the host asks to be left alone.
        """
        state = self._hosts[host]
        state.num_running -= 1
        is_resting = now < state.rests_until
        state.num_failures = state.num_failures + 1 if has_failed else 0
        state.is_down = state.is_down and (has_failed or is_resting)
        if wait > self._longest_wait:
            self._rest(state, now + min(wait, _LONGEST_REST))
        elif not is_resting and (state.num_failures >= _FAILURES_TO_REST or (has_failed and state.is_down)):
            self._rest(state, now + max(wait, _REST_SECONDS))
        elif wait > 0:
            state.free_from = max(state.free_from, now + wait)
        self._place(state, now)

    def free_from(self, host: str) -> float:
        """Return the time before which a host gets no request, -inf where it may get one any time."""
        state = self._hosts.get(host)
        return _NEVER if state is None else max(state.free_from, state.rests_until)

    def has_turn(self, now: float) -> bool:
        """Tell whether ``take`` would give one."""
        self._advance(now)
        return bool(self._ended or self._free)

    def next_time(self, now: float) -> float:
        """Return when ``take`` may give a turn if nothing else happens before, inf where it will not."""
        if self.has_turn(now):
            return now
        return min(self._soon[0][0] if self._soon else math.inf, self._ends[0][0] if self._ends else math.inf)

    def _advance(self, now: float) -> None:
        """Move on what the time has come for, and drop from the heads of the heaps what no longer counts."""
        while self._ends and (not self._ends[0][-1].is_waiting or self._ends[0][0] <= now):
            entry = heapq.heappop(self._ends)[-1]
            if entry.is_waiting:
                entry.is_waiting = False
                self._ended.append(Turn(entry.job, entry.host.name, "expired"))
                self._place(entry.host, now)
        while self._soon and (self._soon[0][2] != self._soon[0][-1].stamp or self._soon[0][0] <= now):
            _, _, stamp, state = heapq.heappop(self._soon)
            if stamp == state.stamp:
                self._place(state, now)
        while self._free and self._free[0][2] != self._free[0][-1].stamp:
            heapq.heappop(self._free)

    def _place(self, state: _Host[Job], now: float) -> None:
        """Put a host where it belongs: among those that may be asked now, those that may later, or none."""
        state.stamp += 1
        _drop_ended(state.ready)
        _drop_ended(state.later)
        while state.later and state.later[0][0] <= now:
            entry = heapq.heappop(state.later)[-1]
            if entry.is_waiting:
                heapq.heappush(state.ready, (entry.order, entry))
        if state.num_running >= (1 if state.is_down else self._max_connections):
            return
        if state.ready and state.free_from <= now:
            place = (state.num_running, state.ready[0][0], state.stamp, state)
            self._free = _without_old(self._free, len(self._hosts))
            heapq.heappush(self._free, place)
        elif state.ready or state.later:
            time = max(state.free_from, now if state.ready else state.later[0][0])
            self._soon = _without_old(self._soon, len(self._hosts))
            heapq.heappush(self._soon, (time, next(self._numbers), state.stamp, state))

    def _rest(self, state: _Host[Job], until: float) -> None:
        """Leave a host alone, and end what waits for it."""
        state.is_down = True
        state.rests_until = max(state.rests_until, until)
        waiting = [entry for *_, entry in state.ready] + [entry for *_, entry in state.later]
        for entry in sorted(waiting, key=lambda entry: entry.order):
            if entry.is_waiting:
                entry.is_waiting = False
                self._ended.append(Turn(entry.job, state.name, "unavailable"))

    def _sweep(self, now: float) -> None:
        """Forget the hosts of which nothing needs to be known, each time that there are twice as many as after it."""
        if len(self._hosts) < self._num_to_sweep:
            return
        for state in list(self._hosts.values()):
            is_idle = not (state.ready or state.later or state.num_running)
            if is_idle and not state.num_failures and not state.is_down and state.free_from <= now:
                del self._hosts[state.name]
        self._num_to_sweep = max(1024, 2 * len(self._hosts))


def _drop_ended(heap: list[Any]) -> None:
    while heap and not heap[0][-1].is_waiting:
        heapq.heappop(heap)


def _without_old(places: list[Any], num_hosts: int) -> list[Any]:
    """Return a heap of places, without the old ones where they are more than the others can be."""
    if len(places) <= 2 * num_hosts + 64:
        return places
    kept = [place for place in places if place[2] == place[-1].stamp]
    heapq.heapify(kept)
    return kept
