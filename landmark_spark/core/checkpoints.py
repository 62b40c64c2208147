"""Checkpoints of a training: all that its later steps depend on, as one file without pickled objects."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from landmark_spark.core.array_files import read_arrays

__all__ = ["Checkpoint", "Checkpoints", "State"]

State = Sequence[npt.NDArray[Any]]

_VERSION = 1
_COUNTS = ("epoch", "step", "num_steps", "num_examples")


@dataclass(frozen=True)
class Checkpoint:
    """A position in a training: ``step`` steps of epoch ``epoch`` are done, both from 0, and ``num_steps`` in all.

    state: arrays in an order that only their maker knows. history: by name, one value for each epoch that has ended.
    total_loss, num_examples: of the steps of this epoch. best: the state after the epoch with the smallest held-out
    loss, where it is to be kept.
    """

    state: State
    epoch: int = 0
    step: int = 0
    num_steps: int = 0
    history: dict[str, list[float]] = field(default_factory=dict)
    total_loss: float = 0.0
    num_examples: int = 0
    best: State | None = None

    def after_step(self, loss: float, num_examples: int) -> Checkpoint:
        """Return the position one step on; the state is the caller's to replace."""
        return replace(
            self,
            step=self.step + 1,
            num_steps=self.num_steps + 1,
            total_loss=self.total_loss + loss * num_examples,
            num_examples=self.num_examples + num_examples,
        )

    def after_epoch(self, measured: dict[str, float]) -> Checkpoint:
        """Return the position at the start of the next epoch."""
        history = {name: [*self.history.get(name, ()), value] for name, value in measured.items()}
        return Checkpoint(self.state, epoch=self.epoch + 1, num_steps=self.num_steps, history=history, best=self.best)

    def to_bytes(self) -> bytes:
        """Return the checkpoint as an .npz file: bit for bit, dtypes included."""
        position = {
            "version": _VERSION,
            "epoch": self.epoch,
            "step": self.step,
            "num_steps": self.num_steps,
            "history": self.history,
            "total_loss": self.total_loss,
            "num_examples": self.num_examples,
            "num_arrays": len(self.state),
            "has_best": self.best is not None,
        }
        arrays = {f"state_{number}": each for number, each in enumerate(self.state)}
        arrays |= {f"best_{number}": each for number, each in enumerate(self.best or ())}
        with io.BytesIO() as file:
            np.savez(file, position=np.array(json.dumps(position)), **arrays)
            return file.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Checkpoint | None:
        """Read what ``to_bytes`` gave; None for anything else, such as a damaged file: training starts anew then."""
        try:
            arrays = read_arrays(data)
            position = json.loads(str(arrays.pop("position")))
            if not isinstance(position, dict) or position.pop("version", None) != _VERSION:
                return None
            count, has_best = position.pop("num_arrays"), position.pop("has_best")
            if not _is_position(position) or type(count) is not int or count * (1 + bool(has_best)) != len(arrays):
                return None
            state = [arrays[f"state_{number}"] for number in range(count)]
            best = [arrays[f"best_{number}"] for number in range(count)] if has_best else None
            return cls(state, best=best, **position)
        except (ValueError, KeyError, RecursionError):
            return None


def _is_position(values: dict[str, Any]) -> bool:
    """Tell whether a checkpoint's position has the fields it should, each of its kind; a loss may be NaN."""
    counts = [values.get(name) for name in _COUNTS]
    history = values.get("history")
    return (
        set(values) == {*_COUNTS, "history", "total_loss"}
        and all(type(each) is int and each >= 0 for each in counts)
        and isinstance(history, dict)
        and all(isinstance(each, list) and all(map(_is_number, each)) for each in history.values())
        and _is_number(values["total_loss"])
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class Checkpoints:
    """Where the latest checkpoint of one training is.

    read: its bytes; None where there is none. write: puts its bytes in the place of the one before in one step, so that
    a killed process leaves one or the other, whole; None for a worker that leaves it to another.
    """

    read: Callable[[], bytes | None]
    write: Callable[[bytes], object] | None = None

    def load(self) -> Checkpoint | None:
        """Return the latest checkpoint, where there is one that can be read."""
        data = self.read()
        return None if data is None else Checkpoint.from_bytes(data)

    def save(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint in the place of the one before."""
        if self.write is not None:
            self.write(checkpoint.to_bytes())
