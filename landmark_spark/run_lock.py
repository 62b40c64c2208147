"""Keeps two runs on one store from getting in each other's way.

Each run leaves a claim of its own, ``_locks/<run>.json``, and only then looks at the others': of two that come at once
at least one sees the other, on any file system whose listing shows what has been written. It takes no clock and no
lock of the file system's own. Who sees a claim that is held refuses or waits; of two that ask at once, the one whose
name comes later steps back.

A claim whose process is gone is taken over. On the same machine that is looked up. Of another machine's nobody can
know: its claim counts up every ten seconds, and one that stands still for a minute, watched, is taken over. A process
that was only held up for so long finds its claim gone, and ends; tasks ask for the claim before each commit.

A claim that only asks may be a stopped process's, which would keep the others asking for ever: after two minutes it
counts as one that is held.
"""

from __future__ import annotations

import contextlib
import dataclasses
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from landmark_spark.claims import Claim, Holder, Part, conflict
from landmark_spark.commits import NewerFormatError, StoreError, now
from landmark_spark.core.printable import printable
from landmark_spark.ledger import LOCKS, Ledger
from landmark_spark.processes import is_gone, this_process

__all__ = ["Asking", "LockedError", "RunLock", "held_lock", "living_claims"]

_BEAT = 10.0  # seconds between two beats of a claim
_PATIENCE = 60.0  # seconds without a beat, after which another machine's claim counts as dead
_MAX_ASKING = 120.0  # seconds that a run asks before it holds, steps back or ends: it may have to watch for _PATIENCE
_POLL = 2.0  # seconds between two looks at somebody else's claim
_MAX_PAUSE = 1.0  # seconds at most until a run that stepped back asks again

Tell = Callable[[str], None]


class LockedError(StoreError):
    """Another run is at work on the same outputs; the message says which, where and since when."""


@dataclass(frozen=True)
class Asking:
    """What is asked for: the outputs a command makes and reads, by part; wait: for the others to end."""

    command: str
    writes: Mapping[str, Part]
    reads: Mapping[str, Part] = dataclasses.field(default_factory=dict)
    wait: bool = False


class RunLock:
    """A claim that is held; it beats in a thread until it is let go of."""

    def __init__(self, ledger: Ledger, claim: Claim) -> None:
        self._ledger = ledger
        self._claim = claim
        self._writing = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="run lock", daemon=True)
        self._thread.start()

    @property
    def path(self) -> str:
        """Where the claim lies, relative to the store: what a task asks for before it commits."""
        return _path(self._claim)

    def at(self, stage: str) -> None:
        """Note which stage the run is at. Raises LockedError where the claim was taken over meanwhile."""
        if not self._ledger.exists(self.path):
            raise LockedError(
                f"the run should still have its lock. Received: {self.path} is gone: the run stood still for longer "
                f"than {_PATIENCE:.0f} s and another took its place, or somebody removed it. What was committed stays"
            )
        self._write(stage=stage)

    def let_go(self) -> None:
        """End the claim. Never fails: of a claim that is left, the process is gone soon, and there may be an error."""
        self._ended.set()
        self._thread.join()
        with contextlib.suppress(Exception):
            self._ledger.remove([self.path])

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT):
            with contextlib.suppress(Exception):  # a store that is away for a while
                if self._ledger.exists(self.path):  # else it was taken over: it must not come back
                    self._write(beat=self._claim.beat + 1)

    def _write(self, **changes: object) -> None:
        with self._writing:
            self._claim = dataclasses.replace(self._claim, **changes)  # type: ignore[arg-type]
            _leave(self._ledger, self._claim)


@contextlib.contextmanager
def held_lock(ledger: Ledger, asking: Asking, tell: Tell) -> Iterator[RunLock]:
    """Hold a lock for as long as the block. Raises LockedError where another run has it and ``wait`` is off."""
    lock = RunLock(ledger, _acquire(ledger, asking, tell))
    try:
        yield lock
    finally:
        lock.let_go()


def living_claims(ledger: Ledger) -> list[Holder]:
    """Return the claims that are held, without those whose process is known to have ended."""
    held = [(claim, is_gone(claim.process)) for claim in _claims(ledger).values() if claim.state == "held"]
    found = [Holder.of(claim, known_to_live=gone is False) for claim, gone in held if gone is not True]
    return sorted(found, key=lambda claim: (claim.since, claim.run))


def _acquire(ledger: Ledger, asking: Asking, tell: Tell) -> Claim:
    command = printable(asking.command)
    mine = Claim(uuid.uuid4().hex, command, this_process(), now(), asking.writes, asking.reads)
    watch = _Watch(ledger, tell)
    _check_writable(ledger, mine)
    try:
        while True:
            _leave(ledger, mine)
            others = watch.others(mine)
            if not others:
                held = dataclasses.replace(mine, state="held")
                _leave(ledger, held)
                # Held up between looking and writing for longer than patience lasts, it may have been taken for dead.
                others = [claim for claim in watch.others(mine) if claim.state == "held"]
                if not others:
                    return held
                ledger.remove([_path(mine)])
            pause = _POLL
            if all(watch.is_known_to_live(claim) for claim in others):
                pause = _step_back(ledger, mine, others, asking, watch)
            time.sleep(pause)
    except BaseException:
        ledger.remove([_path(mine)])
        raise


def _check_writable(ledger: Ledger, mine: Claim) -> None:
    try:
        _leave(ledger, mine)
    except Exception as error:  # the library of each kind of store has errors of its own: keys, networks, rights
        with contextlib.suppress(Exception):
            ledger.remove([_path(mine)])
        raise StoreError(f"store should be a place that can be written to. Received: {ledger.url} ({error})") from error


def _step_back(ledger: Ledger, mine: Claim, others: list[Claim], asking: Asking, watch: _Watch) -> float:
    """Make way for other claims, or refuse; return how long to wait, in seconds, until asking again."""
    blocking = watch.blocking(others)
    if blocking and not asking.wait:
        raise LockedError(_refusal(ledger, mine, blocking[0]))
    if blocking or mine.run > min(claim.run for claim in others):
        ledger.remove([_path(mine)])
    for claim in blocking:
        watch.tell_once(f"waiting for {claim.holder}{'' if claim.state == 'held' else _hanging()}")
    return _POLL if blocking else random.uniform(0, _MAX_PAUSE)


def _refusal(ledger: Ledger, mine: Claim, other: Claim) -> str:
    by = f"it is held by {other.holder}" if other.state == "held" else f"{other.holder}{_hanging()}"
    return (
        f"the store should be this run's own for {conflict(mine, other)}. Received: {by}. "
        f"Wait for it (--wait), or end it; its lock is {ledger.path(_path(other))}"
    )


def _hanging() -> str:
    return f", which has been asking for more than {_MAX_ASKING:.0f} s: it may be stopped, or hang"


class _Watch:
    """Tells the living claims from those whose process has ended, and removes these."""

    def __init__(self, ledger: Ledger, tell: Tell) -> None:
        self._ledger = ledger
        self._tell = tell
        self._told: set[str] = set()
        self._beats: dict[str, tuple[int, float]] = {}  # run -> its last beat, and when it was first seen
        self._living: set[str] = set()
        self._asking_since: dict[str, float] = {}  # run -> since when every look found it asking, and nobody holding

    def others(self, mine: Claim) -> list[Claim]:
        """Return the other claims that get in our way, but for those that are dead, which are removed."""
        found = []
        for claim in _claims(self._ledger).values():
            if claim.run == mine.run or not conflict(mine, claim):
                continue
            if self._is_dead(claim):
                self._ledger.remove([_path(claim)])
                self._tell(f"taking over from {claim.holder}, which has ended without letting go")
            else:
                found.append(claim)
        return found

    def is_known_to_live(self, claim: Claim) -> bool:
        """Whether its process was looked up, or seen to beat; else there is more to watch."""
        return claim.run in self._living

    def blocking(self, others: list[Claim]) -> list[Claim]:
        """Return the claims that are held; where none is, those that every look has found asking for too long.

        A process that goes on takes the lock as soon as it sees that nobody holds it, or steps back.
        """
        holders = [claim for claim in others if claim.state == "held"]
        if holders:
            self._asking_since.clear()
            return holders
        looked = time.monotonic()
        self._asking_since = {claim.run: self._asking_since.get(claim.run, looked) for claim in others}
        return [claim for claim in others if looked - self._asking_since[claim.run] > _MAX_ASKING]

    def tell_once(self, line: str) -> None:
        """Say a line unless it was said before."""
        if line not in self._told:
            self._told.add(line)
            self._tell(line)

    def _is_dead(self, claim: Claim) -> bool:
        gone = is_gone(claim.process)
        if gone is not None:
            self._living.add(claim.run)
            return gone
        beat, since = self._beats.setdefault(claim.run, (claim.beat, time.monotonic()))
        if claim.beat != beat:
            self._beats[claim.run] = (claim.beat, time.monotonic())
            self._living.add(claim.run)
        elif claim.run not in self._living:
            self.tell_once(f"looking for up to {_PATIENCE:.0f} s whether it is still alive: {claim.holder}")
        return claim.beat == beat and time.monotonic() - since > _PATIENCE


def _claims(ledger: Ledger) -> dict[str, Claim]:
    """Return all claims by run; one that cannot be read is noted in ``unreadable`` and holds nothing.

    Raises NewerFormatError for one of a later release: nobody here can tell what it holds.
    """
    found = {}
    for name, text in ledger.json_files(LOCKS).items():
        try:
            claim = Claim.from_json(text)
        except NewerFormatError as error:
            raise NewerFormatError(f"{error}, {printable(name)}: it may be at work, or has left it") from None
        except StoreError as error:
            ledger.note_unreadable(name, str(error))
        else:
            if name.endswith(f"/{_path(claim)}"):
                found[claim.run] = claim
            else:
                ledger.note_unreadable(name, f"it is the lock of run {claim.run!r}")
    return found


def _leave(ledger: Ledger, claim: Claim) -> None:
    ledger.write_bytes(_path(claim), claim.to_json().encode(), durable=False)


def _path(claim: Claim) -> str:
    return f"{LOCKS}/{claim.run}.json"
