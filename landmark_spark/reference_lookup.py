"""Looks up the references of landmarks in a store, as verify_landmarks compares them; without Spark."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from landmark_spark.commits import StoreError
from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.local_features import ExtractMany, LocalFeatures
from landmark_spark.row_lookup import RowLookup
from landmark_spark.schemas import BOTTLENECKS, IMAGES, LOCAL_FEATURES
from landmark_spark.settings import Config
from landmark_spark.stages.verification_task import LandmarkReferences, features_of
from landmark_spark.store import Store

__all__ = ["ReferenceLookup"]

_REFERENCES_KEPT = 1000  # in memory: one of 1,000 keypoints and 128 values is 0.8 MB once it was compared
_FEATURES = ("width", "height", "num_keypoints", "keypoints", "descriptors")


class ReferenceLookup:
    """The references of landmarks, of which the last thousand are in memory.

    extract: of local features, for references that have none in the store: those of landmarks that were named for no
    image of it.
    """

    def __init__(self, store: Store, config: Config, extract: ExtractMany) -> None:
        tables = (IMAGES, LOCAL_FEATURES, BOTTLENECKS)
        num_threads = len(os.sched_getaffinity(0))
        self._rows = {
            each.name: RowLookup(store, each, config.index.num_shards, is_pinned=True, num_threads=num_threads)
            for each in tables
        }
        self._verify = config.verify
        self._extract = extract
        self._batch_size = config.local_features.batch_size
        self._kept: OrderedDict[int, LandmarkReferences] = OrderedDict()
        self._ids, self._ranks, self._landmarks = _read_ids(store, config.verify.max_comparisons)

    @property
    def num_references(self) -> int:
        """Return how many references there are, whose ids are in memory."""
        return len(self._ids)

    def of(self, landmark_ids: Collection[int]) -> dict[int, LandmarkReferences]:
        """Return the references of some landmarks; a landmark that has none has an empty one."""
        missing = [each for each in landmark_ids if each not in self._kept]
        self._kept.update(self._read(missing))
        for each in landmark_ids:
            self._kept.move_to_end(each)
        found = {each: self._kept[each] for each in landmark_ids}
        num_kept = sum(len(each.features) for each in self._kept.values())
        while num_kept > _REFERENCES_KEPT:
            _, oldest = self._kept.popitem(last=False)
            num_kept -= len(oldest.features)
        return found

    def picture(self, reference_id: str) -> bytes:
        """Return the larger copy of a reference, as JPEG."""
        return self._pictures([reference_id])[reference_id]

    def _read(self, landmark_ids: Sequence[int]) -> dict[int, LandmarkReferences]:
        members = {each: self._members(each) for each in landmark_ids}
        ids = [name for each in members.values() for _, name in each]
        bottlenecks: dict[str, list[Any]] = {}
        if self._verify.reference_order == "similarity":
            bottlenecks = self._rows[BOTTLENECKS.name].rows(ids, ["features"])
        features = self._features(ids)
        found = {}
        for landmark_id, pairs in members.items():
            found[landmark_id] = LandmarkReferences(landmark_id, self._verify.max_comparisons)
            for rank, name in pairs:
                if name in bottlenecks:
                    found[landmark_id].add_bottleneck(name, bottlenecks[name][0].features)
                found[landmark_id].add(rank, name, features[name])
        return found

    def _members(self, landmark_id: int) -> list[tuple[int, str]]:
        first, end = np.searchsorted(self._landmarks, [landmark_id, landmark_id + 1])
        names = self._ids.slice(first, end - first).to_pylist()
        return list(zip(self._ranks[first:end].tolist(), names, strict=True))

    def _features(self, ids: Sequence[str]) -> dict[str, LocalFeatures]:
        rows = self._rows[LOCAL_FEATURES.name].rows(ids, _FEATURES)
        found = {name: features_of(each[0]) for name, each in rows.items()}
        lacking = [each for each in ids if each not in found]
        for start in range(0, len(lacking), self._batch_size):
            group = lacking[start : start + self._batch_size]
            images = [decode_jpeg(each) for each in self._pictures(group).values()]
            found.update(zip(group, self._extract(images), strict=True))
        return found

    def _pictures(self, ids: Sequence[str]) -> dict[str, bytes]:
        rows = self._rows[IMAGES.name].rows(ids, ["large_image"])
        for each in ids:
            if each not in rows or rows[each][0].large_image is None:
                raise StoreError(f"{each} should have a larger copy in images. Received: none")
        return {each: rows[each][0].large_image for each in ids}


def _read_ids(store: Store, max_comparisons: int) -> tuple[pa.Array, Any, Any]:
    """Return the ids, ranks and landmarks of all references that were downloaded, by landmark.

    Each of them keeps a larger copy, by ``download.references_per_landmark``. The small columns of images are read.
    """
    rows = store.read_arrow(IMAGES, ["id", "split", "landmark_id", "reference_rank", "status"])
    is_train = pc.and_(pc.equal(rows["split"], "train"), pc.equal(rows["status"], "ok"))
    is_compared = pc.and_(pc.greater_equal(rows["reference_rank"], 0), pc.less(rows["reference_rank"], max_comparisons))
    rows = rows.filter(pc.and_(is_train, is_compared)).sort_by([("landmark_id", "ascending"), ("id", "ascending")])
    ids = rows["id"].combine_chunks() if rows.num_rows else pa.array([], pa.string())
    return ids, rows["reference_rank"].to_numpy(), rows["landmark_id"].to_numpy()
