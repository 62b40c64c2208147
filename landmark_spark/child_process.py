"""A child process that works on jobs until its parent is gone, and the parent's side of it.

Jobs and results go through a pipe. That a job begins what may crash or hang is noted in memory that both share: it
costs no message, and what a child noted before it died is there to read.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

__all__ = [
    "Cause",
    "Child",
    "ChildGoneError",
    "Done",
    "Report",
    "Start",
    "Submit",
    "borrow_child",
    "die_with_parent",
    "give_back",
    "serve",
]

Job = TypeVar("Job")
Result = TypeVar("Result")
Cause = Literal["crash", "timeout"]
Submit = Callable[[int, Job], None]
_READY = (-1, None)  # a child's first message
_MAX_THREADS = 2048  # of a child, in the middle of jobs at once
_NUMBER, _TIME = struct.Struct("=q"), struct.Struct("=d")
_SLOT_SIZE = _NUMBER.size + _TIME.size
_LOOK_SECONDS = 1.0  # between looks for jobs whose patience is at its end
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux' prctl(2)


@dataclass(frozen=True)
class Done(Generic[Result]):
    """Stands among the jobs for one whose result is there already; num_bytes is what waits with it."""

    result: Result
    num_bytes: int = 0


class Notes:
    """What each thread of a child has begun: a job's number and when, in a file that parent and child map.

    Only the child writes. A thread has a slot from the beginning of a job to its end: threads come and go. A slot has
    the number plus one, 0 for none, then the time, which is written first: a reader that comes between sees the job
    before with too late a time.
    """

    def __init__(self, file_number: int) -> None:
        self._memory = mmap.mmap(file_number, _MAX_THREADS * _SLOT_SIZE)
        self._thread = threading.local()
        self._free = list(range(0, _MAX_THREADS * _SLOT_SIZE, _SLOT_SIZE))  # its pop and append are atomic

    def begin(self, number: int) -> None:
        """Note that the calling thread has begun a job."""
        slot: int | None = getattr(self._thread, "slot", None)
        if slot is None:
            slot = self._thread.slot = self._free.pop()
        _TIME.pack_into(self._memory, slot + _NUMBER.size, time.monotonic())
        _NUMBER.pack_into(self._memory, slot, number + 1)

    def end(self) -> None:
        """Note that the calling thread is done with its job, where it had begun one."""
        slot: int | None = getattr(self._thread, "slot", None)
        if slot is not None:
            _NUMBER.pack_into(self._memory, slot, 0)
            self._thread.slot = None
            self._free.append(slot)

    def begun(self) -> dict[int, float]:
        """Return the jobs that were begun and not ended, each with the time (time.monotonic) at which it was."""
        entries = struct.iter_unpack("=qd", self._memory[: _SLOT_SIZE * _MAX_THREADS])
        return {number - 1: started for number, started in entries if number}


class Report:
    """What the jobs in the child say to the parent; from any thread."""

    def __init__(self, connection: Connection, notes: Notes) -> None:
        self._connection = connection
        self._notes = notes
        self._lock = threading.Lock()

    def begin(self, number: int) -> None:
        """Say that a job is about to enter code that may crash or hang, and stays in this thread until it is done."""
        self._notes.begin(number)

    def done(self, number: int, result: object) -> None:
        """Hand over a job's result; exactly once a job."""
        data = pickle.dumps((number, result), protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._connection.send_bytes(data)
        self._notes.end()


Start = Callable[[Report], Submit[Job]]


class ChildGoneError(Exception):
    """The child died ("crash"), or a job's patience is at its end ("timeout")."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause)
        self.cause: Cause = cause


class Child:
    """The parent's side of one child process."""

    def __init__(self, start: Start[Job]) -> None:
        self.start = pickle.dumps(start)
        self.has_started = False
        self._connection, theirs = Pipe(duplex=True)
        self._poll = select.poll()
        self._poll.register(self._connection.fileno(), select.POLLIN)
        with theirs, tempfile.TemporaryFile() as shared:
            shared.truncate(_MAX_THREADS * _SLOT_SIZE)
            numbers = (theirs.fileno(), shared.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from landmark_spark.child_process import serve; serve{numbers}"],
                pass_fds=numbers,
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            )
            self._notes = Notes(shared.fileno())
        self._next_look = 0.0
        self._send_bytes(self.start)

    @property
    def exit_code(self) -> int | None:
        """The process's exit code once it has ended; minus the signal's number where one ended it."""
        return self._process.returncode

    def is_alive(self) -> bool:
        """Tell whether the process runs."""
        return self._process.poll() is None

    def send(self, message: tuple[int, Job]) -> None:
        """Give it a job and its number; where it is dead, the next ``receive`` says so."""
        self._send_bytes(pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL))

    def _send_bytes(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # dead: the next receive says so
            self._connection.send_bytes(data)

    def begun(self) -> dict[int, float]:
        """Return the jobs that are, or were when it died, in code that may crash or hang, with their start times."""
        return self._notes.begun()

    def receive(self, patience: float) -> tuple[int, Any, int]:
        """Return a job's number, its result and the message's length.

        Raises ChildGoneError: the child died, or a job was begun more than ``patience`` seconds ago.
        """
        while True:
            self._look(patience)
            try:
                if not self._poll.poll(1000 * min(_LOOK_SECONDS, patience)):
                    continue
                data = self._connection.recv_bytes()
            except (EOFError, OSError):
                raise ChildGoneError("crash") from None
            number, result = pickle.loads(data)
            if (number, result) != _READY:
                return number, result, len(data)
            self.has_started = True

    def _look(self, patience: float) -> None:
        """Look, once in a while, whether a job has been at it for too long."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + min(_LOOK_SECONDS, patience)
        if any(started + patience <= now for started in self.begun().values()):
            raise ChildGoneError("timeout")

    def kill(self, grace: float = 0.0) -> None:
        """End the process; ``grace``: seconds in which one that is dying may do so with its own exit code."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        self._process.kill()
        self._process.wait()
        self._connection.close()


_idle: dict[bytes, Child] = {}  # children whose task has ended, by what they were started with


def borrow_child(start: Start[Job]) -> Child:
    """Return the idle child that was started with an equal ``start``, or a new one; other idle ones end."""
    wanted = pickle.dumps(start)
    for key in list(_idle):
        child = _idle.pop(key)
        if key == wanted and child.is_alive():
            return child
        child.kill()
    return Child(start)


def give_back(child: Child) -> None:
    """Keep a child that has no job for the next task of this process."""
    _idle[child.start] = child


def die_with_parent() -> None:
    """Ask Linux to kill this process with its parent: one that is stuck in native code notices nothing by itself."""
    with contextlib.suppress(OSError, AttributeError):  # other systems: the closed connection has to do
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def serve(connection_number: int, notes_number: int) -> None:
    """Work in the child: take jobs until the parent is gone. Both numbers are of inherited file descriptors."""
    die_with_parent()
    connection: Connection = Connection(connection_number)
    start: Start[object] = pickle.loads(connection.recv_bytes())
    submit = start(Report(connection, Notes(notes_number)))
    connection.send_bytes(pickle.dumps(_READY))
    while True:
        try:
            number, job = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)  # at once: threads may be in the middle of anything
        submit(number, job)
