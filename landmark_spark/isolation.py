"""Runs jobs in a child process that may die: a death costs the job that caused it, and no other.

Native code that reads a stranger's bytes can crash its process or never return, which no exception handler sees. So the
jobs of a Spark task run in a child of its Python worker. Before a job enters such code it says so; when the child dies,
the jobs that had said so run once more, each alone, and the one that kills its child again is given up. Where children
die and none had said so, all jobs under way are tried alone. The child
serves all tasks of its worker, one after another, and goes when the worker goes, however that ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from landmark_spark.child_process import Cause, Child, ChildGoneError, Done, Start, borrow_child, give_back

__all__ = ["IsolationError", "Window", "run_isolated"]

_MAX_IDLE_DEATHS = 3  # in a row, with no job done and none to blame: then every job is a suspect

Job = TypeVar("Job")
Result = TypeVar("Result")


class IsolationError(RuntimeError):
    """The child process does not start."""


def _check_start(child: Child) -> None:
    if not child.has_started:
        raise IsolationError(
            f"the child process should start. Received: exit code {child.exit_code}; its error is in the log of the "
            "executor"
        )


@dataclass(frozen=True)
class Window:
    """How far jobs run ahead of the results that were taken, so that memory stays flat.

    max_running: jobs that the child has at once; max_waiting and max_waiting_bytes: results that wait for an earlier
    one; patience: seconds from ``Report.begin`` to ``Report.done`` until the child is killed (or a second more).
    """

    max_running: int
    max_waiting: int
    max_waiting_bytes: int
    patience: float


def run_isolated(
    jobs: Iterable[Job | Done[Result]], start: Start[Job], lost: Callable[[Job, Cause], Result], *, window: Window
) -> Iterator[Result]:
    """Yield the result of every job, in the order of the jobs, which are read lazily.

    Args:
        jobs: what to do; must be picklable.
        start: called once in the child with the ``Report``; returns ``submit(number, job)``, which must not block and
            must see to it that the job is reported as done in the end. Must be picklable and importable there.
        lost: gives the result of a job that killed its child ("crash") or exceeded the patience ("timeout").
        window: how far jobs run ahead.

    Raises IsolationError where the child does not start.
    """
    return _Run(iter(jobs), start, lost, window).results()


class _Run(Generic[Job, Result]):
    """One sequence of jobs and the child that works on it."""

    def __init__(
        self,
        jobs: Iterator[Job | Done[Result]],
        start: Start[Job],
        lost: Callable[[Job, Cause], Result],
        window: Window,
    ) -> None:
        self._jobs = enumerate(jobs)
        self._start = start
        self._lost = lost
        self._window = window
        self._running: dict[int, Job] = {}
        self._finished: dict[int, tuple[Result, int]] = {}  # number -> result and its bytes
        self._waiting_bytes = 0
        self._idle_deaths = 0
        self._child = borrow_child(start)

    def results(self) -> Iterator[Result]:
        try:
            yield from self._in_order()
        except BaseException:  # GeneratorExit too: what the child still works on nobody wants
            self._child.kill()
            raise
        give_back(self._child)

    def _in_order(self) -> Iterator[Result]:
        number = 0
        has_more = True
        while True:
            has_more = has_more and self._submit()
            while number in self._finished:
                result, num_bytes = self._finished.pop(number)
                self._waiting_bytes -= num_bytes
                number += 1
                yield result
            if self._running:
                self._receive()
            elif not has_more:
                return

    def _submit(self) -> bool:
        """Give the child jobs up to the window; return False once there are no more."""
        window = self._window
        while (
            len(self._running) < window.max_running
            and len(self._finished) < window.max_waiting
            and self._waiting_bytes < window.max_waiting_bytes
        ):
            entry = next(self._jobs, None)
            if entry is None:
                return False
            number, job = entry
            if isinstance(job, Done):
                self._finish(number, job.result, job.num_bytes)
            else:
                self._running[number] = job
                self._child.send((number, job))
        return True

    def _receive(self) -> None:
        """Take one message from the child, or deal with its death."""
        try:
            number, result, num_bytes = self._child.receive(self._window.patience)
        except ChildGoneError as gone:
            self._recover(gone.cause)
        else:
            self._idle_deaths = 0
            del self._running[number]
            self._finish(number, result, num_bytes)

    def _finish(self, number: int, result: Result, num_bytes: int) -> None:
        self._finished[number] = (result, num_bytes)
        self._waiting_bytes += num_bytes

    def _recover(self, cause: Cause) -> None:
        """Run what may have killed the child alone, then give the rest to a new child."""
        self._child.kill(grace=0.0 if cause == "timeout" else 1.0)
        begun = {number: started for number, started in self._child.begun().items() if number in self._running}
        late = [number for number, started in begun.items() if started + self._window.patience <= time.monotonic()]
        suspects = sorted(late if cause == "timeout" and late else begun)
        if not suspects:
            self._idle_deaths += 1
            if self._idle_deaths >= _MAX_IDLE_DEATHS:
                _check_start(self._child)
                suspects, self._idle_deaths = sorted(self._running), 0
        for number in suspects:
            self._run_alone(number, self._running.pop(number))
        self._child = Child(self._start)
        for number, job in self._running.items():
            self._child.send((number, job))

    def _run_alone(self, number: int, job: Job) -> None:
        child = Child(self._start)
        child.send((number, job))
        try:
            _, result, num_bytes = child.receive(self._window.patience)
            self._finish(number, result, num_bytes)
        except ChildGoneError as gone:
            child.kill(grace=1.0)
            _check_start(child)
            self._finish(number, self._lost(job, gone.cause), 0)
        finally:
            child.kill()
