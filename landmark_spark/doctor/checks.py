"""What a check says, what was seen on a node, and a limit for what may hang."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

__all__ = ["Check", "Node", "State", "TooSlowError", "limited"]

State = Literal["ok", "warning", "failed"]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Check:
    """What was found of one thing that a run needs. advice: what to do; empty where all is well."""

    name: str
    state: State
    found: str
    advice: str = ""


@dataclass(frozen=True)
class Node:
    """What ``node_facts.take_facts`` saw where it ran: on the driver, or on one executor.

    place: host and working folder. project: a digest of the sources, empty where project_error says why they cannot be
    imported. packages: name -> version, empty where not installed. store: step -> error, empty where it worked; None
    where it was not tried. inputs: csv file -> error likewise. statuses: URL -> status of a download. gpus: as the
    driver of the graphics cards names them; given: the addresses that Spark gave the task. framework_gpus: how many the
    framework sees, None where it was not asked; framework_error: why it could not be. free_bytes: folder -> bytes.
    """

    place: str
    python: str
    project: str = ""
    project_error: str = ""
    packages: Mapping[str, str] = field(default_factory=dict)
    store: Mapping[str, str] | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)
    statuses: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[str, ...] = ()
    given: tuple[str, ...] | None = None
    framework_gpus: int | None = None
    framework_error: str = ""
    free_bytes: Mapping[str, int] = field(default_factory=dict)


class TooSlowError(RuntimeError):
    """What was asked for did not answer in time."""


def limited(probe: Callable[[], Value], seconds: float) -> Value:
    """Return what ``probe`` returns, or raise what it raises; after some seconds give it up: TooSlowError.

    It then goes on in its thread, which does not keep this process from ending.
    """
    answers: queue.SimpleQueue[tuple[Value | None, BaseException | None]] = queue.SimpleQueue()

    def answer() -> None:
        try:
            answers.put((probe(), None))
        except BaseException as error:  # also SystemExit: it is the caller's to judge
            answers.put((None, error))

    threading.Thread(target=answer, daemon=True, name="doctor").start()
    try:
        value, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TooSlowError(f"no answer within {seconds:g} s") from None
    if error is not None:
        raise error
    return value  # type: ignore[return-value]
