"""Which rows of a table a training takes: by split, by the hash that holds some out, and by status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Part", "RowChoice"]

Part = Literal["train", "validation", "everything"]


@dataclass(frozen=True)
class RowChoice:
    """The training images of a part: "train", "validation" (what is held out of it) or "everything" (both).

    Held out is what has a ``holdout`` below validation_fraction, but never a landmark's first reference, so that each
    can be learned; one whose first reference has no picture may have all others held out, and is then learned from
    "everything" only. with_status: the table has a column ``status`` too, and only its "ok" rows have a picture.
    """

    part: Part
    validation_fraction: float
    with_status: bool = False

    @property
    def _limit(self) -> np.float32:
        """As the column has it: a bound and the row that it comes from must compare alike."""
        return np.float32(self.validation_fraction)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns by which the rows are chosen."""
        return ("split", "holdout", "reference_rank", *(("status",) if self.with_status else ()))

    def may_be_within(self, bounds: Mapping[str, tuple[Any, Any]]) -> bool:
        """Say whether rows whose values lie within (least, largest) may be chosen; a column without bounds may."""
        wanted = {"split": "train"} | ({"status": "ok"} if self.with_status else {})
        for name, value in wanted.items():
            if name in bounds and not bounds[name][0] <= value <= bounds[name][1]:
                return False
        if "holdout" not in bounds or self.part == "everything":
            return True
        least, largest = bounds["holdout"]
        if self.part == "validation":
            return bool(least < self._limit)
        ranks = bounds.get("reference_rank", (0, 0))
        return bool(largest >= self._limit or ranks[0] <= 0 <= ranks[1])

    def is_training(self, rows: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.bool_]:
        """Say of each row whether it is in a part at all: columns of N values -> (N,)."""
        is_training: npt.NDArray[np.bool_] = np.asarray(rows["split"] == "train")
        return is_training & (rows["status"] == "ok") if self.with_status else is_training

    def places(self, rows: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[np.intp]:
        """Return the places of the rows that are chosen: columns of N values -> (M,), ascending."""
        held_out = (rows["holdout"] < self._limit) & (rows["reference_rank"] != 0)
        is_mine = {"train": ~held_out, "validation": held_out, "everything": True}[self.part]
        return np.flatnonzero(self.is_training(rows) & is_mine)
