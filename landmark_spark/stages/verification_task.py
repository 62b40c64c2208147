"""Verifies the images of one partition inside a Spark task: a landmark's references first, those to verify after them.

Rows stream: what is held are the references of one landmark, at most ``max_comparisons``, and one batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from landmark_spark.core.local_features import LocalFeatures, unpack_descriptors, unpack_keypoints
from landmark_spark.core.similarity import order_by_similarity, round_features
from landmark_spark.core.verification import Verification, VerificationSettings, verify_against
from landmark_spark.gpu import limit_native_threads
from landmark_spark.schemas import VERIFICATIONS
from landmark_spark.settings import VerifySettings
from landmark_spark.store import arrow_schema

__all__ = ["LandmarkReferences", "VerificationTask", "features_of", "verification_settings"]

_NUM_ROWS = 1000  # of a batch of verifications: small rows


def verification_settings(settings: VerifySettings) -> VerificationSettings:
    """Return the settings as ``core`` takes them."""
    return VerificationSettings(**{each.name: getattr(settings, each.name) for each in fields(VerificationSettings)})


def features_of(row: Any) -> LocalFeatures:
    """Unpack a row of local_features: anything with its columns as attributes."""
    return LocalFeatures(
        keypoints=unpack_keypoints(row.keypoints),
        descriptors=unpack_descriptors(row.descriptors, row.num_keypoints),
        width=row.width,
        height=row.height,
    )


@dataclass(frozen=True)
class _Row:
    """A row of what stages.verify_landmarks sends: of a reference or a query, the bottleneck or the local features."""

    landmark_id: int
    is_query: bool
    id: str
    shard: int
    reference_rank: int
    bottleneck: bytes | None  # None in a row of local features, as these are None in one of a bottleneck
    keypoints: bytes
    descriptors: bytes
    num_keypoints: int
    width: int
    height: int


@dataclass
class LandmarkReferences:
    """What images are compared with of one landmark: its references of least rank, at most ``max_comparisons``."""

    landmark_id: int | None
    max_comparisons: int
    ids: set[str] = field(default_factory=set)
    features: list[tuple[int, str, LocalFeatures]] = field(default_factory=list)
    bottlenecks: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    def add_bottleneck(self, name: str, bottleneck: bytes) -> None:
        """Take the packed bottleneck of a reference, which comes before its features."""
        self.bottlenecks[name] = round_features(bottleneck)

    def add(self, rank: int, name: str, features: LocalFeatures) -> None:
        """Take the local features of a reference; of more than are compared those of least rank are kept."""
        self.ids.add(name)
        self.features.append((rank, name, features))
        self.features.sort(key=lambda each: each[:2])
        for _, dropped, _ in self.features[self.max_comparisons :]:
            self.bottlenecks.pop(dropped, None)
        del self.features[self.max_comparisons :]

    def verify(
        self, query_id: str, query: LocalFeatures, bottleneck: NDArray[np.int64] | None, settings: VerifySettings
    ) -> Verification:
        """Compare an image with the references other than itself.

        bottleneck: the image's, as ``round_features`` gives it; None where it is not known.
        """
        others = self._in_order(query_id, bottleneck, settings.reference_order)
        found = verify_against(query, others, verification_settings(settings))
        return replace(found, num_references=len(self.ids - {query_id}))

    def _in_order(self, query_id: str, query: NDArray[np.int64] | None, order: str) -> list[tuple[str, LocalFeatures]]:
        """Return the references other than the query itself, in the order they are compared in."""
        references = [(name, features) for _, name, features in self.features if name != query_id]
        if order == "hash":
            return references
        known = [(name, self.bottlenecks.get(name)) for name, _ in references]
        return [references[place] for place in order_by_similarity(query, known)]


@dataclass(frozen=True)
class VerificationTask:
    """From Arrow batches sorted by landmark, references before queries, id, and bottleneck before local features.

    An image may come as both: it is not compared with itself.
    """

    settings: VerifySettings

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of verifications."""
        limit_native_threads()
        rows: list[Mapping[str, Any]] = []
        for row in self._verify(_rows_of(batches)):
            rows.append(row)
            if len(rows) == _NUM_ROWS:
                yield _batch_of(rows)
                rows = []
        yield _batch_of(rows)

    def _verify(self, rows: Iterable[_Row]) -> Iterator[Mapping[str, Any]]:
        settings = self.settings
        current = LandmarkReferences(None, settings.max_comparisons)
        bottleneck: tuple[str, NDArray[np.int64] | None] = ("", None)  # of the query whose local features come next
        for row in rows:
            if row.landmark_id != current.landmark_id:
                current = LandmarkReferences(row.landmark_id, settings.max_comparisons)
            if not row.is_query:
                _add_reference(current, row)
            elif row.bottleneck is not None:
                bottleneck = (row.id, round_features(row.bottleneck))
            else:
                known = bottleneck[1] if bottleneck[0] == row.id else None
                found = asdict(current.verify(row.id, features_of(row), known, settings))
                yield {"id": row.id, "landmark_id": row.landmark_id, "shard": row.shard} | found


def _add_reference(landmark: LandmarkReferences, row: _Row) -> None:
    if row.bottleneck is not None:
        landmark.add_bottleneck(row.id, row.bottleneck)
    else:
        landmark.add(row.reference_rank, row.id, features_of(row))


def _rows_of(batches: Iterable[pa.RecordBatch]) -> Iterator[_Row]:
    names = [each.name for each in fields(_Row)]
    for batch in batches:
        columns = [batch.column(name) for name in names]
        for place in range(batch.num_rows):  # one row's bytes at a time
            yield _Row(*(column[place].as_py() for column in columns))


def _batch_of(rows: list[Mapping[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema(VERIFICATIONS))
