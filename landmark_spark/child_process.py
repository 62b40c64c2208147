"""A child process that works on jobs until its parent is gone, and the parent's side of it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import subprocess
import sys
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
    "give_back",
    "serve",
]

Job = TypeVar("Job")
Result = TypeVar("Result")
Cause = Literal["crash", "timeout"]
Submit = Callable[[int, Job], None]
_READY = (-1, None)  # a child's first message
_SET_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of Linux' prctl(2)


@dataclass(frozen=True)
class Done(Generic[Result]):
    """Stands among the jobs for one whose result is there already; num_bytes is what waits with it."""

    result: Result
    num_bytes: int = 0


class Report:
    """What the jobs in the child say to the parent; from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def begin(self, number: int) -> None:
        """Say that a job is about to enter code that may crash or hang."""
        self._send((number, None))

    def done(self, number: int, result: object) -> None:
        """Hand over a job's result; exactly once a job."""
        self._send((number, Done(result)))

    def _send(self, message: tuple[int, Done[object] | None]) -> None:
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        with self._lock:
            self._connection.send_bytes(data)


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
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [sys.executable, "-c", f"from landmark_spark.child_process import serve; serve({number})"],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)},
            )
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

    def receive(self, end: float | None) -> tuple[int, Done[Any] | None, int]:
        """Return a job's number, its result (None: it has begun) and the message's length; raise ChildGoneError."""
        try:
            if end is not None and not self._connection.poll(max(end - time.monotonic(), 0)):
                raise ChildGoneError("timeout")
            data = self._connection.recv_bytes()
        except (EOFError, OSError):
            raise ChildGoneError("crash") from None
        number, done = pickle.loads(data)
        if (number, done) == _READY:
            self.has_started = True
            return self.receive(end)
        return number, done, len(data)

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


def _die_with_parent() -> None:
    """Ask Linux to kill this process with its parent: one that is stuck in native code notices nothing by itself."""
    with contextlib.suppress(OSError, AttributeError):  # other systems: the closed connection has to do
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def serve(file_number: int) -> None:
    """Work in the child: take jobs until the parent is gone."""
    _die_with_parent()
    connection: Connection = Connection(file_number)
    start: Start[object] = pickle.loads(connection.recv_bytes())
    submit = start(Report(connection))
    connection.send_bytes(pickle.dumps(_READY))
    while True:
        try:
            number, job = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(0)  # at once: threads may be in the middle of anything
        submit(number, job)
