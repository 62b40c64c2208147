"""Looks up the addresses of hosts within a time limit, each host once however many ask."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable

__all__ = ["Resolver", "can_heal"]

_KEEP_SECONDS = 60.0
_KEEP_FAILURE_SECONDS = 10.0
_NUM_KEPT = 4096


class _LookUp:
    """One question to the system's resolver, which answers in a thread of its own; it may never do so."""

    def __init__(self, host: str, clock: Callable[[], float]) -> None:
        self.answered = threading.Event()
        self.addresses: tuple[str, ...] = ()
        self.error: Exception | None = None
        self.valid_until = float("inf")
        self._host = host
        self._clock = clock
        # A daemon, since nothing can end a thread that waits for the resolver: the interpreter's exit does not wait.
        threading.Thread(target=self._run, name="fetch-dns", daemon=True).start()

    def _run(self) -> None:
        keep = _KEEP_SECONDS
        try:
            found = socket.getaddrinfo(self._host, None, type=socket.SOCK_STREAM)
            self.addresses = tuple(dict.fromkeys(str(address[0]) for *_, address in found))
            if not self.addresses:
                self.error = socket.gaierror(socket.EAI_NONAME, "the host has no address")
        except Exception as error:
            self.error = error
        if self.error is not None:  # one that can heal is not kept, so that the next attempt asks anew
            keep = 0.0 if can_heal(self.error) else _KEEP_FAILURE_SECONDS
        self.valid_until = self._clock() + keep
        self.answered.set()


class Resolver:
    """The system's resolver with a time limit; answers are kept for 60 s, and for 10 s that there is no address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._look_ups: dict[str, _LookUp] = {}

    def addresses(self, host: str, seconds: float) -> tuple[str, ...]:
        """Return a host's addresses in numbers, in the resolver's order.

        Raises:
            TimeoutError: there was no answer within the seconds.
            OSError, UnicodeError: what the resolver gave instead of an address; most often socket.gaierror.
        """
        look_up = self._look_up(host)
        if not look_up.answered.wait(max(seconds, 0.0)):
            raise TimeoutError("the look-up of the host's name took too long")
        if look_up.error is not None:
            raise look_up.error.with_traceback(None)
        return look_up.addresses

    def _look_up(self, host: str) -> _LookUp:
        with self._lock:
            known = self._look_ups.get(host)
            if known is not None and known.valid_until > self._clock():
                return known
            self._look_ups.pop(host, None)
            if len(self._look_ups) >= _NUM_KEPT:
                self._forget()
            self._look_ups[host] = _LookUp(host, self._clock)
            return self._look_ups[host]

    def _forget(self) -> None:
        """Drop the older half; questions still under way stay, else they would be asked twice at once."""
        for host in list(self._look_ups)[: _NUM_KEPT // 2]:
            if self._look_ups[host].answered.is_set():
                del self._look_ups[host]


def can_heal(error: BaseException) -> bool:
    """Tell whether an error is the resolver's own trouble, as opposed to its word that there is no such host."""
    return isinstance(error, socket.gaierror) and error.errno == socket.EAI_AGAIN
