"""Checks the rows of one shard as they pass: their order, their shard, one row a key, and values that fit together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from landmark_spark.commits import WHOLE
from landmark_spark.core.records import REASONS, shard_of
from landmark_spark.kept_rows import KeptRows, RowKeeper
from landmark_spark.row_counts import RowCounts
from landmark_spark.schemas import NO_CLASS, Table

__all__ = ["RowChecks", "schema_fault"]

_SPLITS = ("train", "test", "non_landmark")
_ROUNDING = 1e-5  # by which a softmax may end above 1
_JPEG = b"\xff\xd8"

Mask = NDArray[np.bool_]


def schema_fault(table: Table, received: pa.Schema) -> str:
    """Return how a file's columns differ from the table's: names, types, order, whether nulls may be; "" if nowhere."""
    wanted, found = _columns(table.schema), _columns(received)
    if wanted == found:
        return ""
    missing = [each for each in wanted if each not in found] or ["them in another order"]
    others = [each for each in found if each not in wanted] or ["the same columns otherwise"]
    return f"should have the columns {', '.join(missing)}. Received: {', '.join(others)}"


def _columns(schema: pa.Schema) -> list[str]:
    return [f"{each.name} {each.type}{'' if each.nullable else ' not null'}" for each in schema]


class RowChecks:
    """Takes the rows of one shard batch by batch, and says at the end what is wrong with them.

    shard: WHOLE where the table has none. num_shards: of the table. counts: as a commit has them.
    """

    def __init__(self, table: Table, shard: int, num_shards: int) -> None:
        self._table = table
        self._shard = shard
        self._num_shards = num_shards
        self._keeper = RowKeeper(table)
        self._found: dict[str, tuple[int, str]] = {}  # what is wrong -> how many rows, the first of them
        self._before: tuple[Any, ...] | None = None
        self.counts = RowCounts(table.counted)
        self.num_rows = 0

    def add(self, rows: pa.Table) -> None:
        """Take more rows, with the table's columns: no nulls where it has none, which Parquet's own schema ensures."""
        if not rows.num_rows:
            return
        names = _names_of(rows, self._table)
        self._check_order(rows, names)
        if self._shard != WHOLE:
            shards = np.array([shard_of(each, self._num_shards) for each in rows.column("id").to_pylist()])
            self._note("an id of another shard", shards != self._shard, names)
        for check in _CHECKS.get(self._table.name, ()):
            for problem, mask in check(rows).items():
                self._note(problem, mask, names)
        self._keeper.add(rows)
        self.counts.add(rows)
        self.num_rows += rows.num_rows

    def finish(self) -> tuple[list[str], KeptRows]:
        """Return what is wrong, in words, and what is kept of the rows."""
        kept = self._keeper.kept()
        found = [
            f"has {count} row{'s' if count > 1 else ''} with {problem}, the first of {first}"
            for problem, (count, first) in self._found.items()
        ]
        return found + [problem for check in _WHOLE_CHECKS.get(self._table.name, ()) if (problem := check(kept))], kept

    def _note(self, problem: str, mask: Mask, names: Sequence[str]) -> None:
        count = int(mask.sum())
        if count:
            before, first = self._found.get(problem, (0, names[int(mask.argmax())]))
            self._found[problem] = (before + count, first)

    def _check_order(self, rows: pa.Table, names: Sequence[str]) -> None:
        """The order's columns are the table's key: they rise from row to row."""
        keys = list(zip(*(rows.column(name).to_pylist() for name in self._table.order), strict=True))
        before = [self._before, *keys[:-1]]
        key = ", ".join(self._table.order)
        twice = np.array([one == other for one, other in zip(before, keys, strict=True)])
        falls = np.array([one is not None and one > other for one, other in zip(before, keys, strict=True)])
        self._note(f"the same ({key}) as the row before", twice, names)
        self._note(f"a place that the order by {key} does not give it", falls, names)
        self._before = keys[-1]


def _names_of(rows: pa.Table, table: Table) -> list[str]:
    """Return what a row is called in a message."""
    name = "id" if "id" in table.schema.names and not table.schema.field("id").nullable else table.order[-1]
    return [str(each) for each in rows.column(name).to_pylist()]


def _array(rows: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(rows.column(name))


def _lengths(rows: pa.Table, name: str) -> NDArray[Any]:
    return np.asarray(pa.compute.fill_null(pa.compute.binary_length(rows.column(name)), 0))


def _is_in(rows: pa.Table, name: str, words: Sequence[str]) -> Mask:
    return np.asarray(pa.compute.is_in(rows.column(name), value_set=pa.array(words, pa.string())))


def _check_splits(rows: pa.Table) -> dict[str, Mask]:
    return {f"a split that is none of {', '.join(_SPLITS)}": ~_is_in(rows, "split", _SPLITS)}


def _check_classes(rows: pa.Table) -> dict[str, Mask]:
    return {
        "a landmark without a class, or a class without one": (_array(rows, "landmark_id") == NO_CLASS)
        != (_array(rows, "class_index") == NO_CLASS)
    }


def _check_holdouts(rows: pa.Table) -> dict[str, Mask]:
    holdout = _array(rows, "holdout")
    return {"a holdout that is not in [0, 1)": ~((holdout >= 0) & (holdout < 1))}


def _check_lines(rows: pa.Table) -> dict[str, Mask]:
    is_test = _is_in(rows, "split", ["test"])
    return {"a line number where none is, or none where one is": (_array(rows, "line_number") > 1) != is_test}


def _check_reasons(rows: pa.Table) -> dict[str, Mask]:
    return {"a reason that core.records does not have": ~_is_in(rows, "reason", tuple(REASONS))}


def _check_pictures(rows: pa.Table) -> dict[str, Mask]:
    is_ok = _is_in(rows, "status", ["ok"])
    found: dict[str, Mask] = {
        "a picture without the status ok, or that status without a picture": np.asarray(
            pa.compute.is_valid(rows.column("image"))
        )
        != is_ok,
        "a large picture without the status ok": np.asarray(pa.compute.is_valid(rows.column("large_image"))) & ~is_ok,
    }
    for name in ("image", "large_image"):
        is_jpeg = pa.compute.fill_null(pa.compute.starts_with(rows.column(name), _JPEG), True)
        found[f"an {name} that is no JPEG" if name == "image" else f"a {name} that is no JPEG"] = ~np.asarray(is_jpeg)
    return found


def _check_feature_maps(rows: pa.Table) -> dict[str, Mask]:
    lengths = _lengths(rows, "features")
    return {"features that are no whole number of float16": (lengths == 0) | (lengths % 2 != 0)}


def _check_descriptors(rows: pa.Table) -> dict[str, Mask]:
    lengths = _lengths(rows, "descriptor")
    return {"a descriptor that is no whole number of float16": (lengths == 0) | (lengths % 2 != 0)}


def _check_scores(rows: pa.Table) -> dict[str, Mask]:
    score = _array(rows, "score")
    return {"a score that is not in [0, 1]": ~((score >= 0) & (score <= 1 + _ROUNDING))}


def _check_named(rows: pa.Table) -> dict[str, Mask]:
    return {"no landmark": _array(rows, "landmark_id") < 0}


def _check_evidence(rows: pa.Table) -> dict[str, Mask]:
    """What is weighed is a number; the landmark that is right is known of training images alone."""
    evidence = np.stack([_array(rows, name) for name in ("neighbours", "closest", "centroid", "head", "non_landmark")])
    return {
        "evidence that is no number": ~np.isfinite(evidence).all(axis=0),
        "a true landmark of an image that is none of train": (_array(rows, "true_landmark_id") != NO_CLASS)
        & ~_is_in(rows, "split", ["train"]),
    }


def _check_vectors(rows: pa.Table) -> dict[str, Mask]:
    count = _array(rows, "num_keypoints").astype(np.int64)
    lengths = _lengths(rows, "descriptors")
    whole = np.where(count > 0, (lengths > 0) & (lengths % np.maximum(2 * count, 1) == 0), lengths == 0)
    return {
        "keypoints that are not 8 bytes for each of num_keypoints": _lengths(rows, "keypoints") != 8 * count,
        "descriptors that are no whole number of float16 for each of num_keypoints": ~whole,
        "a width or height below 1": (_array(rows, "width") < 1) | (_array(rows, "height") < 1),
    }


def _check_comparisons(rows: pa.Table) -> dict[str, Mask]:
    compared = _array(rows, "num_comparisons")
    return {
        "more comparisons than references, or fewer than 0": (compared > _array(rows, "num_references"))
        | (compared < 0)
    }


def _check_inliers(rows: pa.Table) -> dict[str, Mask]:
    return {"fewer inliers than 0": _array(rows, "num_inliers") < 0}


_CHECKS: Mapping[str, Sequence[Callable[[pa.Table], dict[str, Mask]]]] = {
    "records": (_check_splits, _check_classes, _check_holdouts, _check_lines),
    "rejects": (_check_reasons,),
    "images": (_check_splits, _check_classes, _check_holdouts, _check_pictures),
    "bottlenecks": (_check_splits, _check_classes, _check_holdouts, _check_feature_maps),
    "predictions": (_check_scores, _check_named),
    "global_descriptors": (_check_splits, _check_classes, _check_descriptors),
    "candidates": (_check_splits, _check_classes, _check_named, _check_evidence),
    "local_features": (_check_splits, _check_vectors),
    "verifications": (_check_comparisons, _check_inliers, _check_named),
    "scores": (_check_scores, _check_inliers, _check_named),
}


def _one_row_an_id(kept: KeptRows) -> str:
    """Within a shard that is all there is to check: an id belongs to one."""
    num_more = len(kept.ids) - len(np.unique(kept.ids))
    return f"should have one row an id. Received: {num_more} more" if num_more else ""


def _dense_classes(kept: KeptRows) -> str:
    landmarks = kept.columns["landmark_id"]
    if (np.diff(landmarks) > 0).all():
        return ""
    return "should have one row a landmark, numbered in their order. Received: another order, or one twice"


def _dense_ranks(kept: KeptRows) -> str:
    """The ranks of each id rise (they are its key): they are 0, 1, ... where the last is the number of them less 1."""
    _, place, count = np.unique(kept.ids, return_inverse=True, return_counts=True)
    last = np.full(len(count), -1, np.int64)
    np.maximum.at(last, place, kept.columns["rank"])
    num_wrong = int((last != count - 1).sum())
    return f"should have ranks 0, 1, ... for each id. Received: {num_wrong} ids with others" if num_wrong else ""


def _one_landmark_once(kept: KeptRows) -> str:
    pairs = np.stack([kept.ids, kept.columns["landmark_id"].astype(np.uint64)], axis=1)
    num_more = len(pairs) - len(np.unique(pairs, axis=0))
    return f"should name a landmark once for an id. Received: {num_more} more" if num_more else ""


_WHOLE_CHECKS: Mapping[str, Sequence[Callable[[KeptRows], str]]] = {
    "records": (_one_row_an_id,),
    "images": (_one_row_an_id,),
    "bottlenecks": (_one_row_an_id,),
    "local_features": (_one_row_an_id,),
    "global_descriptors": (_one_row_an_id,),
    "landmarks": (_dense_classes,),
    "predictions": (_dense_ranks, _one_landmark_once),
    "candidates": (_dense_ranks, _one_landmark_once),
    "scores": (_dense_ranks, _one_landmark_once),
}
