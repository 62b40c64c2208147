"""Keeps how each stage of a run went, from the events, for the table at its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from landmark_spark.run_events import Event, Listener

__all__ = ["Outcome", "Outcomes"]

_OUTCOMES = {"stage_skip": "skipped", "stage_end": "run", "stage_error": "failed"}


@dataclass(frozen=True)
class Outcome:
    """How a stage went.

    outcome: run, skipped, failed, or not reached, as a stage before it failed. reason: why; of one that failed, why it
    was to run. num_shards, num_rows and seconds are 0 where it did not run.
    """

    stage: str
    outcome: str
    reason: str
    num_shards: int = 0
    num_rows: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.num_rows / self.seconds if self.seconds > 0 else 0.0

    def fields(self) -> dict[str, Any]:
        """Return it for machines, as docs/progress.md says."""
        return {
            "stage": self.stage,
            "outcome": self.outcome,
            "shards_total": self.num_shards,
            "rows": self.num_rows,
            "rows_per_second": round(self.rate, 3),
            "seconds": self.seconds,
            "reason": self.reason,
        }

    def cells(self) -> list[str]:
        """Return its row of the table for people: stage, outcome, shards, rows, seconds, rows a second, why."""
        shards = f"{self.num_shards:,}" if self.num_shards else ""
        rows, rate = (f"{self.num_rows:,}", f"{self.rate:,.1f}") if self.num_rows else ("", "")
        seconds = "" if self.outcome in ("skipped", "not reached") else f"{self.seconds:.1f}"
        return [self.stage, self.outcome, shards, rows, seconds, rate, self.reason]


class Outcomes(Listener):
    """Passes on to another listener what it hears, and keeps how the stages went.

    chosen: the stages of the run, in order.
    """

    def __init__(self, listener: Listener, chosen: Sequence[str]) -> None:
        self.interval = listener.interval
        self._listener = listener
        self._found = {stage: Outcome(stage, "not reached", "") for stage in chosen}

    def hear(self, event: Event) -> None:
        """Keep how a stage went, if it says so; pass it on."""
        if event.name in _OUTCOMES:
            self._keep(_outcome_of(event.name, event.fields))
        self._listener.hear(event)

    def _keep(self, outcome: Outcome) -> None:
        before = self._found.get(outcome.stage)
        if not (before and before.outcome == "run" and outcome.outcome == "skipped"):  # what was gone back to
            self._found[outcome.stage] = outcome

    @property
    def any_tried(self) -> bool:
        """Whether a stage was run, or failed."""
        return any(each.outcome in ("run", "failed") for each in self._found.values())

    def of(self, stages: Sequence[str]) -> list[Outcome]:
        """Return how each of these stages went; one that was not chosen was skipped."""
        return [self._found.get(stage, Outcome(stage, "skipped", "not chosen")) for stage in stages]


def _outcome_of(name: str, fields: Mapping[str, Any]) -> Outcome:
    known = Outcome(fields["stage"], _OUTCOMES[name], fields["reason"])
    if name == "stage_skip":
        return known
    return replace(known, num_shards=fields["shards_total"], num_rows=fields["rows"], seconds=fields["seconds"])
