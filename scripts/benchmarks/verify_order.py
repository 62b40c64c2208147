"""Counts the comparisons until the verdict, by the order of the references, on the images of a finished store."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from landmark_spark.core.local_features import LocalFeatures
from landmark_spark.core.similarity import order_by_similarity, round_features
from landmark_spark.core.verification import VerificationSettings, match_pair
from landmark_spark.schemas import BOTTLENECKS, LOCAL_FEATURES, PREDICTIONS
from landmark_spark.stages.verification_task import features_of
from landmark_spark.store import Store
from scripts.benchmarks.report_lines import LineWriter, say

__all__ = ["comparisons_until", "measure_order"]

_POSITIONS = 16  # of VGG16's last map at 128 pixels, 4 x 4
_SETTINGS = VerificationSettings()
Counts = dict[str, list[int]]


def comparisons_until(counts: Sequence[int], min_inliers: int) -> int:
    """Return how many references are compared, given the inliers with each in order."""
    return next((place for place, count in enumerate(counts, start=1) if count > min_inliers), len(counts))


def measure_order(write: LineWriter, store: Path | None) -> None:
    """Compare each test image with every reference of its landmark once, then count for each order."""
    if store is None:
        write("verify.order", "not_run", reason="no store with local features: run conf/mini.yaml first, or --store")
        return
    references, inliers = _count_all(Store(str(store)))
    bottlenecks = _table(Store(str(store)), BOTTLENECKS, ["id", "features"])
    features = {row.id: row.features for row in bottlenecks}
    verified = [name for name, counts in inliers.items() if max(counts, default=0) > _SETTINGS.min_inliers]
    orders: dict[str, Callable[[bytes], bytes] | None] = {"hash": None, "similarity": bytes}
    orders |= {"average_pooled": _average, "gem_pooled": _gem}
    for name, reduce in orders.items():
        found = {
            image: comparisons_until(
                [counts[place] for place in _order(image, references[image], features, reduce)], _SETTINGS.min_inliers
            )
            for image, counts in inliers.items()
        }
        write(
            "verify.order",
            "summary",
            order=name,
            num_images=len(found),
            mean_comparisons=statistics.fmean(found.values()),
            num_verified=len(verified),
            mean_comparisons_verified=statistics.fmean(found[image] for image in verified) if verified else None,
        )


def _count_all(store: Store) -> tuple[dict[str, list[str]], Counts]:
    """Return, for each test image, the ids of its references by hash and the inliers with each."""
    rows = _table(store, LOCAL_FEATURES, LOCAL_FEATURES.schema.names)
    landmark_of = {
        row.id: row.landmark_id for row in _table(store, PREDICTIONS, ["id", "rank", "landmark_id"]) if not row.rank
    }
    trained = sorted(
        (row for row in rows if row.split == "train" and row.reference_rank < _SETTINGS.max_comparisons),
        key=lambda row: (row.landmark_id, row.reference_rank),
    )
    references: dict[int, list[tuple[str, LocalFeatures]]] = {
        landmark: [(row.id, features_of(row)) for row in group]
        for landmark, group in itertools.groupby(trained, key=lambda row: row.landmark_id)
    }
    names, inliers = {}, {}
    for row in rows:
        if row.split != "test" or row.id not in landmark_of:
            continue
        mine = references.get(landmark_of[row.id], [])
        query = features_of(row)
        names[row.id] = [name for name, _ in mine]
        inliers[row.id] = [int(np.count_nonzero(match_pair(query, each, _SETTINGS)[2])) for _, each in mine]
        if len(inliers) % 200 == 0:
            say(f"order: {len(inliers)} images compared")
    return names, inliers


def _order(
    image: str, names: Sequence[str], features: dict[str, bytes], reduce: Callable[[bytes], bytes] | None
) -> Sequence[int]:
    if reduce is None:
        return range(len(names))
    known = [(name, round_features(reduce(features[name]))) for name in names]
    return order_by_similarity(round_features(reduce(features[image])), known)


def _average(data: bytes) -> bytes:
    return _map_of(data).mean(axis=0).astype("<f2").tobytes()


def _gem(data: bytes) -> bytes:
    return np.cbrt((_map_of(data) ** 3).mean(axis=0)).astype("<f2").tobytes()


def _map_of(data: bytes) -> Any:
    return np.frombuffer(data, "<f2").astype(np.float64).reshape(_POSITIONS, -1)


def _table(store: Store, table: Any, columns: Sequence[str]) -> list[Any]:
    return list(store.read_arrow(table, columns).to_pandas().itertuples(index=False))
