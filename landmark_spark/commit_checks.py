"""Checks a store's commits before their files: are they readable, in their place, and is none lost?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from landmark_spark.commits import WHOLE, Commit
from landmark_spark.ledger import Output
from landmark_spark.pipeline import STAGES, columns_of
from landmark_spark.place_checks import misplaced
from landmark_spark.store import Store
from landmark_spark.unneeded import OUTPUTS, shard_named

__all__ = ["Commits", "Fault", "Place", "check_commits", "is_foreign"]

Place = tuple[str, int]
Commits = Mapping[str, Mapping[int, Commit]]


@dataclass(frozen=True)
class Fault:
    """What is wrong with one shard; shard: WHOLE where the output has none.

    remedy: mark, where making it anew mends it; set_aside, for a commit that is none; run, where nothing is there.
    """

    output: str
    shard: int
    problem: str
    remedy: Literal["mark", "set_aside", "run"] = "mark"

    @property
    def place(self) -> str:
        """Name the output and, where it has any, the shard."""
        return self.output if self.shard == WHOLE else f"{self.output} shard {self.shard}"


def check_commits(store: Store, num_shards: int) -> tuple[dict[str, dict[int, Commit]], list[Fault]]:
    """Return the commits of a configuration's shards, and what is wrong: not readable, misplaced, lost."""
    kept: dict[str, dict[int, Commit]] = {}
    refused: dict[Place, str] = {}
    for name, output in OUTPUTS.items():
        kept[name] = {}
        for shard, commit in store.commits(output).items():
            if fault := _commit_fault(output, commit, num_shards):
                refused[name, shard] = fault
            elif shard < num_shards:
                kept[name][shard] = commit
    refused |= {place: f"has a commit that is none: {why}" for place, why in _unreadable(store).items()}
    faults = [Fault(*place, problem, "set_aside") for place, problem in sorted(refused.items())]
    lost = [place for place in _lost(kept, num_shards) if place not in refused]
    return kept, [*faults, *(Fault(*each, "is not there any more, and others were made of it", "run") for each in lost)]


def is_foreign(output: Output, commit: Commit) -> bool:
    """Whether another release wrote it in other columns, which its commit names: it is read by nobody, and stale."""
    columns = commit.stamp.columns.get(output.name)
    return columns is not None and columns != columns_of(output)


def _unreadable(store: Store) -> dict[Place, str]:
    books = store.path("_commits/")
    found = {}
    for path, why in store.unreadable.items():
        shard = shard_named(path)
        if path.startswith(books) and shard is not None:
            found[path.removeprefix(books).partition("/")[0], shard] = why
    return found


def _commit_fault(output: Output, commit: Commit, num_shards: int) -> str:
    """Return why a commit that can be read should not be where it is."""
    if (commit.shard == WHOLE) is output.sharded:
        return "has a commit of a shard where it is made whole, or of the whole where it has shards"
    if commit.shard >= num_shards and commit.stamp.num_shards == num_shards:
        return f"should be one of {num_shards} shards, as its commit says too"
    return misplaced(output, commit)


def _lost(commits: Commits, num_shards: int) -> list[Place]:
    """Return what is not there though something was made of it: no run that is still to come leaves such gaps."""
    wanted: set[Place] = set()
    for stage in STAGES:
        made = {output.name: _of_this_number(commits[output.name], num_shards) for output in stage.outputs}
        for each in stage.reads:
            for output in stage.outputs:
                for shard, commit in made[output.name].items():
                    if each.output.name in commit.stamp.inputs:
                        wanted |= _read_for(each.output, shard, num_shards, is_whole=each.whole)
        names = list(made)  # committed in this order
        for place, name in enumerate(names):
            if any(made[later] for later in names[place + 1 :]):
                wanted |= _read_for(OUTPUTS[name], WHOLE, num_shards, is_whole=True)
    return sorted(place for place in wanted if place[1] not in commits[place[0]])


def _of_this_number(commits: Mapping[int, Commit], num_shards: int) -> dict[int, Commit]:
    return {shard: each for shard, each in commits.items() if each.stamp.num_shards == num_shards}


def _read_for(output: Output, shard: int, num_shards: int, *, is_whole: bool) -> set[Place]:
    if not output.sharded:
        return {(output.name, WHOLE)}
    shards = range(num_shards) if is_whole or shard == WHOLE else [shard]
    return {(output.name, each) for each in shards}
