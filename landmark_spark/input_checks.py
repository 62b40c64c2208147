"""Looks at what a stage is about to read: is it there, is it this release's, is it what was committed?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from landmark_spark.commits import Commit, FileEntry, Mark
from landmark_spark.core.printable import printable
from landmark_spark.pipeline import STAGES, Expectation, Stage
from landmark_spark.planning import (
    Inventory,
    PlanError,
    PlannedStage,
    damaged_inputs,
    foreign_inputs,
    missing_inputs,
    mixed_inputs,
    needed_shards,
)
from landmark_spark.schemas import Table
from landmark_spark.settings import Config
from landmark_spark.store import Store
from landmark_spark.table_reader import read_schema

__all__ = ["DamagedInputError", "FileChecks", "StageError", "check_inputs"]

Place = tuple[str, int]
"""Output and shard."""


class StageError(RuntimeError):
    """A stage failed; the message says which, and the cause in one line."""


class DamagedInputError(StageError):
    """Shards that a stage should read are not as they were committed; they are marked now. stages: what makes them."""

    def __init__(self, message: str, stages: Collection[Stage]) -> None:
        super().__init__(message)
        self.stages = stages


def check_inputs(
    stage: Stage, shards: Sequence[int], config: Config, inventory: Inventory, expected: Mapping[str, Expectation]
) -> None:
    """Raise PlanError for inputs that are missing, in other columns than this release's, or of mixed settings."""
    missing = missing_inputs(stage, shards, config, inventory)
    if missing:
        raise PlanError(f"{stage.name} should have {', '.join(missing)}, not made yet: run what makes it first")
    for name, fault in foreign_inputs(stage, shards, config, inventory, expected).items():
        raise PlanError(f"{stage.name} should read {name} as this release writes it: {fault}. Make it anew first")
    if mixed := mixed_inputs(stage, inventory):
        raise PlanError(
            f"{stage.name} should read shards that were made with the same settings. Received: some of "
            f"{', '.join(mixed)} are of other settings; bring all their shards up to date first"
        )


@dataclass(frozen=True)
class FileChecks:
    """Compares what earlier runs have made with its commits, byte for byte, before a stage reads it.

    trusted: paths of the files that this run has made, or has compared; the others are added. find_damage: reads files
    and returns what is wrong with those that are damaged, by path.
    """

    config: Config
    store: Store
    trusted: set[str]
    find_damage: Callable[[Sequence[FileEntry]], dict[str, str]]

    def check(self, stage: Stage, decision: PlannedStage, inventory: Inventory) -> None:
        """Raise DamagedInputError where something that the stage reads is damaged, having marked it.

        Raises PlanError where an earlier release, whose commits do not name their columns, wrote others than this one.
        """
        reasons = {
            (name, shard): inventory.damaged[name][shard]
            for name, shards in damaged_inputs(stage, decision.shards, self.config, inventory).items()
            for shard in shards
        }
        read = {key: commit for key, commit in self._read_by(stage, decision, inventory).items() if key not in reasons}
        if self.config.check_inputs:
            reasons |= self._compare(read)
        self._check_columns(stage, {key: commit for key, commit in read.items() if key not in reasons})
        if reasons:
            names = {name for name, _ in reasons}
            makers = [maker for maker in STAGES if names & {output.name for output in maker.outputs}]
            raise DamagedInputError(
                f"{stage.name} should read what was committed. Received: {'; '.join(sorted(set(reasons.values())))}; "
                f"to be made anew by {', '.join(maker.name for maker in makers)}",
                makers,
            )

    def _read_by(self, stage: Stage, decision: PlannedStage, inventory: Inventory) -> dict[Place, Commit]:
        """Return the commits of the inputs, and of the stage's own shards of which it makes some rows anew."""
        found = {
            (each.output.name, shard): commit
            for each in stage.reads
            for shard, commit in inventory.commits[each.output.name].items()
            if shard in needed_shards(each, decision.shards, self.config)
        }
        for output in stage.outputs if decision.retried else ():
            commits = inventory.commits[output.name]
            found |= {(output.name, shard): commits[shard] for shard in decision.retried}
        return found

    def _check_columns(self, stage: Stage, read: Mapping[Place, Commit]) -> None:
        tables = {each.output.name: each.output for each in stage.reads if isinstance(each.output, Table)}
        for (name, _), commit in read.items():
            for file in commit.files if name in tables and not commit.stamp.columns else ():
                received = read_schema(self.store.file_system, self.store.path(file.path))
                if not received.equals(tables[name].schema):
                    raise PlanError(
                        f"{stage.name} should read {name} with the columns {_listed(tables[name].schema)}. Received: "
                        f"{_listed(received)} in {file.path}, of an earlier release. Make it anew first"
                    )

    def _compare(self, read: Mapping[Place, Commit]) -> dict[Place, str]:
        """Return what is wrong with the commits' files, and mark them."""
        unread = [file for commit in read.values() for file in commit.files if file.path not in self.trusted]
        faults = self.find_damage(unread)
        self.trusted.update(file.path for file in unread if file.path not in faults)
        reasons = {}
        for place, commit in read.items():
            for file in commit.files:
                if file.path in faults:
                    reasons[place] = faults[file.path]
                    self.store.mark(Mark(*place, reason=printable(faults[file.path])))
        return reasons


def _listed(schema: pa.Schema) -> str:
    return ", ".join(f"{each.name} {each.type}" for each in schema)
