"""Applies the checks across tables to what a store holds: to shards that were made of the inputs that are there now."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from landmark_spark.chain_checks import (
    SHARD_CHECKS,
    check_landmarks,
    check_one_value,
    check_ranks,
    check_submission,
    submission_ids,
)
from landmark_spark.commits import WHOLE, Commit
from landmark_spark.core.submission import FormatError, parse_answers
from landmark_spark.kept_rows import KeptRows
from landmark_spark.pipeline import STAGES, Stage
from landmark_spark.planning import Inventory, input_digests
from landmark_spark.schemas import (
    BOTTLENECKS,
    GLOBAL_DESCRIPTORS,
    LANDMARKS,
    LOCAL_FEATURES,
    PREDICTIONS,
    RECORDS,
    REJECTS,
    SUBMISSION,
    VERIFICATIONS,
)
from landmark_spark.settings import Config
from landmark_spark.store import Store

__all__ = ["Places", "chain_faults"]

Place = tuple[str, int]
Problem = tuple[Place, str]

_MAKERS: Mapping[str, Stage] = {output.name: stage for stage in STAGES for output in stage.outputs}


@dataclass(frozen=True)
class Places:
    """The shards whose own checks found nothing: what is kept of their rows. inventory: all commits."""

    rows: Mapping[Place, KeptRows]
    inventory: Inventory
    num_shards: int

    def shards(self, name: str) -> dict[int, KeptRows]:
        """Return what is kept of a table by shard."""
        return {shard: rows for (each, shard), rows in self.rows.items() if each == name}

    def all_shards(self, name: str) -> list[KeptRows] | None:
        """Return what is kept of a table where every shard is sound; else None."""
        found = self.shards(name)
        return [found[shard] for shard in range(self.num_shards)] if set(found) >= set(range(self.num_shards)) else None

    def commit(self, name: str, shard: int) -> Commit | None:
        """Return a commit, None where there is none."""
        return self.inventory.commits[name].get(shard)

    def was_made_of(self, commit: Commit, names: Sequence[str]) -> bool:
        """Whether inputs are still as they were when it was made: else it is stale, and need not agree with them."""
        maker = _MAKERS[commit.output]
        current = input_digests(maker, commit.shard, self.inventory)
        return all(name in current and commit.stamp.inputs.get(name) == current[name] for name in names)


def chain_faults(store: Store, config: Config, places: Places) -> Iterator[Problem]:
    """Yield what is wrong between tables: the downstream shard, and the problem."""
    for name, (inputs, check) in SHARD_CHECKS.items():
        for shard, rows in places.shards(name).items():
            commit = places.commit(name, shard)
            read = {each: places.rows[each, shard] for each in inputs if (each, shard) in places.rows}
            if commit is not None and len(read) == len(inputs) and places.was_made_of(commit, inputs):
                problem = check(read, rows, commit.stamp.settings)
                if problem:
                    yield (name, shard), problem
    yield from _landmarks(places)
    yield from _equal_shards(places)
    yield from _submission(store, config, places)


def _landmarks(places: Places) -> Iterator[Problem]:
    """Both are made by one stage of the same csv files."""
    landmarks, records = places.rows.get((LANDMARKS.name, WHOLE)), places.all_shards(RECORDS.name)
    if landmarks is None or records is None:
        return
    commits = [places.commit(LANDMARKS.name, WHOLE), *places.inventory.commits[RECORDS.name].values()]
    if len({each.stamp.fingerprint for each in commits if each}) == 1:
        problem = check_landmarks(records, landmarks)
        if problem:
            yield (LANDMARKS.name, WHOLE), problem


def _equal_shards(places: Places) -> Iterator[Problem]:
    for name, column, what in (
        (PREDICTIONS.name, "", ""),
        (BOTTLENECKS.name, "num_bytes", "bytes in each feature map"),
        (GLOBAL_DESCRIPTORS.name, "num_bytes", "bytes in each descriptor"),
        (LOCAL_FEATURES.name, "num_dimensions", "values in each descriptor"),
    ):
        for group in _made_alike(places, name):
            found = check_one_value(group, column, what) if column else check_ranks(group)
            yield from (((name, shard), problem) for shard, problem in found.items())


def _made_alike(places: Places, name: str) -> list[dict[int, KeptRows]]:
    """Return the shards by what made them: the same settings, version and, of what is read whole, contents."""
    read_whole = [each.output.name for each in _MAKERS[name].reads if each.whole]
    groups: dict[tuple[str, ...], dict[int, KeptRows]] = {}
    for shard, rows in places.shards(name).items():
        commit = places.commit(name, shard)
        if commit is not None:
            made_by = [commit.stamp.fingerprint, *(commit.stamp.inputs.get(each, "") for each in read_whole)]
            groups.setdefault(tuple(made_by), {})[shard] = rows
    return list(groups.values())


def _submission(store: Store, config: Config, places: Places) -> Iterator[Problem]:
    commit = places.commit(SUBMISSION.name, WHOLE)
    names = (RECORDS.name, REJECTS.name, PREDICTIONS.name, VERIFICATIONS.name)
    records, predictions = places.all_shards(RECORDS.name), places.all_shards(PREDICTIONS.name)
    rejects = places.rows.get((REJECTS.name, WHOLE))
    data = store.read_bytes(SUBMISSION.path) if commit is not None else None
    if data is None or commit is None:
        return
    try:
        answers = list(parse_answers(io.BytesIO(data), source=SUBMISSION.path))
    except FormatError as error:
        yield (SUBMISSION.name, WHOLE), str(error)
        return
    if records is None or predictions is None or rejects is None or not places.was_made_of(commit, names):
        return
    mode = commit.stamp.settings.get("submission.mode", config.submission.mode)
    wanted = submission_ids(records, rejects)
    problem = check_submission(answers, wanted, predictions, answers_all=mode != "decision")
    if problem:
        yield (SUBMISSION.name, WHOLE), problem
