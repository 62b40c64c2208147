"""Says of a store what is no fault: what is not made yet, stale, marked, or needed by nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from landmark_spark.commit_checks import Commits, Fault, Place, is_foreign
from landmark_spark.commits import WHOLE
from landmark_spark.pipeline import STAGES
from landmark_spark.planning import Inventory, input_digests
from landmark_spark.store import Store
from landmark_spark.unneeded import OUTPUTS, find_unneeded, shard_named

__all__ = ["list_notes"]


def list_notes(
    store: Store, num_shards: int, commits: Commits, faulty: Collection[Place], *, is_at_work: bool
) -> Iterator[str]:
    """Yield a line each; faulty: places whose faults say already that they are not there."""
    books = store.path("_commits/")
    for path in store.unreadable:
        if path.startswith(books) and shard_named(path) is None:
            yield f"{path.removeprefix(store.path(''))} has no commit's name: nobody reads it"
    yield from _gaps(num_shards, commits, faulty)
    yield from _stale(num_shards, commits)
    for name, output in OUTPUTS.items():
        for shard, mark in store.marks(output).items():
            yield f"{Fault(name, shard, '').place} is marked, and will be made anew: {mark.reason}"
    sizes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    unneeded = find_unneeded(store, num_shards, is_at_work=is_at_work)
    for each in [one for one in unneeded if not one.entry.is_folder]:
        counts[each.why] += 1
        sizes[each.why] += each.entry.num_bytes
    for why, count in sorted(counts.items()):
        yield f"not needed: {count} file{'s' if count > 1 else ''}, {sizes[why]} bytes: {why}"
    if counts:
        yield "landmark-spark gc lists and removes what is not needed"


def _gaps(num_shards: int, commits: Commits, faulty: Collection[Place]) -> Iterator[str]:
    for name, output in OUTPUTS.items():
        wanted = range(num_shards) if output.sharded else [WHOLE]
        lacking = [each for each in wanted if each not in commits[name] and (name, each) not in faulty]
        if len(lacking) == len(wanted):
            yield f"{name} is not made yet"
        elif lacking:
            yield f"{_where(name, lacking)} {'are' if len(lacking) > 1 else 'is'} not made yet"


def _stale(num_shards: int, commits: Commits) -> Iterator[str]:
    inventory = Inventory(commits)
    makers = {output.name: stage for stage in STAGES for output in stage.outputs}
    for name, by_shard in commits.items():
        reasons: dict[str, list[int]] = {}
        for shard, commit in by_shard.items():
            stamp = commit.stamp
            current = input_digests(makers[name], shard if makers[name].sharded else WHOLE, inventory)
            if stamp.num_shards not in (0, num_shards):
                reason = f"made of {stamp.num_shards} shards, index.num_shards is {num_shards}"
            elif is_foreign(OUTPUTS[name], commit):
                reason = f"another release wrote it in other columns, and its rows are not looked at ({stamp.code})"
            else:
                reason = ", ".join(each for each, digest in current.items() if stamp.inputs.get(each, digest) != digest)
                reason = reason and f"{reason} changed since"
            if reason:
                reasons.setdefault(reason, []).append(shard)
        for reason, shards in reasons.items():
            yield f"stale: {_where(name, shards)}: {reason}"


def _where(name: str, shards: Sequence[int]) -> str:
    if list(shards) == [WHOLE]:
        return name
    listed = ", ".join(map(str, shards[:8])) + (f" and {len(shards) - 8} more" if len(shards) > 8 else "")
    return f"{name} shard{'s' if len(shards) > 1 else ''} {listed}"
