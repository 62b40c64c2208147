"""Gives the tasks of extract_local_features the rows that the stage has made before, so that no image is done twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from landmark_spark.commits import Commit
from landmark_spark.contents import find_damage
from landmark_spark.schemas import IMAGES, LOCAL_FEATURES
from landmark_spark.stages.context import Context
from landmark_spark.table_reader import TaskReader

__all__ = ["KeptFeatures", "find_kept"]

Row = dict[str, Any]

_ROW_CHOICE = frozenset(
    {"verify.candidates", "verify.max_comparisons"}
)  # of a stamp's settings: say which images, not what of them


@dataclass(frozen=True)
class KeptFeatures:
    """The files whose rows still hold, by shard; empty where there are none."""

    store_url: str
    files: Mapping[int, tuple[str, ...]] = field(default_factory=dict)

    def rows(self, wanted: Iterable[Row]) -> Iterator[tuple[Row, Row | None]]:
        """Yield each row that is wanted, with the row that it had before, or None.

        Both are in the table's order within a shard, so that they are read side by side: of the old ones few are held.
        """
        shard = None
        old: Iterator[Row] = iter(())
        ahead: Row | None = None
        for row in wanted:
            if row["shard"] != shard:
                shard = row["shard"]
                old = self._old(shard)
                ahead = next(old, None)
            while ahead is not None and _place(ahead) < _place(row):
                ahead = next(old, None)  # no longer wanted
            yield row, ahead if ahead is not None and _place(ahead) == _place(row) else None

    def _old(self, shard: int) -> Iterator[Row]:
        files = tuple((shard, name) for name in self.files.get(shard, ()))
        batches = TaskReader(self.store_url, LOCAL_FEATURES.schema, files).read()
        return (row for batch in batches for row in batch.to_pylist())


def find_kept(context: Context, settings: Mapping[str, Any], needed: Mapping[str, str] | None = None) -> KeptFeatures:
    """Find the shards whose rows were made of the same images with the same settings, as their commits say.

    Their rows may be of other images than those wanted now, when predictions or candidates have changed. settings: what
    the stage's commits will say. needed: digests of outputs besides the images that the rows depend on, by name.
    Nothing is kept where the run is forced.
    """
    store = context.store
    before = {} if context.forced else store.commits(LOCAL_FEATURES)
    if not before:
        return KeptFeatures(store.url)
    present = store.present_files(LOCAL_FEATURES)
    marks = store.marks(LOCAL_FEATURES)
    images = store.commits(IMAGES)

    def holds(shard: int, commit: Commit) -> bool:
        return (
            shard in images
            and shard not in marks
            and (commit.stamp.version or 1) == context.version
            and commit.stamp.inputs.get(IMAGES.name) == images[shard].digest
            and all(commit.stamp.inputs.get(name) == digest for name, digest in (needed or {}).items())
            and _of_an_image(commit.stamp.settings) == _of_an_image(settings)
            and all(present.get(file.path) == file.num_bytes for file in commit.files)
        )

    kept = {shard: commit for shard, commit in before.items() if shard in context.shards and holds(shard, commit)}
    if context.config.check_inputs:
        damaged = find_damage(context.spark, store.url, [file for commit in kept.values() for file in commit.files])
        kept = {key: each for key, each in kept.items() if not any(file.path in damaged for file in each.files)}
    return KeptFeatures(store.url, {key: tuple(file.path for file in each.files) for key, each in kept.items()})


def _of_an_image(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in _ROW_CHOICE}


def _place(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in LOCAL_FEATURES.order)
