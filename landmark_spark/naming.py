"""Names landmarks for one image, and ranks them once they are verified, in the way of a submission's mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from landmark_spark.commits import WHOLE, Commit, StoreError
from landmark_spark.core.evidence_fusion import Fusion
from landmark_spark.core.fusion import LEARNED, score_prediction
from landmark_spark.core.verification import Verification
from landmark_spark.retrieval_settings import EVIDENCE
from landmark_spark.schemas import CANDIDATES, FINE_TUNED_MODEL, FUSION, LANDMARKS, RETRIEVAL_MODEL, TOP_MODEL, Artifact
from landmark_spark.settings import Config
from landmark_spark.stages.extract_global_descriptors import DescriptorTask, descriptor_task
from landmark_spark.stages.fuse_evidence import read_fusion, score_evidence
from landmark_spark.stages.predict_landmarks import PredictionTask, prediction_task
from landmark_spark.stages.retrieve_neighbours import RetrievalTask
from landmark_spark.store import Store, arrow_schema

__all__ = ["Named", "Naming", "load_naming"]

_INLIERS = "inliers"
_SAID = tuple(each for each in EVIDENCE if each != _INLIERS)
"""Kinds of evidence that the table candidates has."""


@dataclass(frozen=True)
class Named:
    """A landmark named for an image. evidence: by kind. is_compared: whether the batch job would verify it."""

    landmark_id: int
    evidence: Mapping[str, float]
    is_compared: bool = True


Ranked = list[tuple[Named, float | None]]
"""The best first, each with its score; None: of which nothing should be said."""


class Naming(Protocol):
    """Names the landmarks of an image."""

    @property
    def takes_bottleneck(self) -> bool:
        """Whether naming needs the row of bottlenecks."""

    @property
    def is_probability(self) -> bool:
        """Whether scores are probabilities that the landmark is right."""

    def name(self, image: pa.RecordBatch, bottleneck: pa.RecordBatch | None) -> list[Named]:
        """Return the landmarks named for an image: its row of images, and that of bottlenecks where it is known."""

    def rank(self, named: Sequence[Named], verifications: Mapping[int, Verification]) -> Ranked:
        """Score what was named and verified."""


def load_naming(config: Config, store: Store) -> Naming:
    """Return what names landmarks in the way of ``config.submission.mode``, from the models of a store."""
    if config.submission.mode == LEARNED:
        retrieval = RetrievalTask(
            config.retrieval, store.url, _commit(store, RETRIEVAL_MODEL).to_json(), _landmark_ids(store)
        )
        fusion = _read_fusion(store)
        return _Learned(descriptor_task(config, store), retrieval, fusion, config.fusion.full_inliers)
    models = (_commit(store, each) for each in (TOP_MODEL, FINE_TUNED_MODEL))
    task, is_fine_tuned = prediction_task(config, store.url, *models)
    return _Predicted(task, config, takes_bottleneck=not is_fine_tuned)


@dataclass(frozen=True)
class _Learned:
    describe: DescriptorTask
    retrieve: RetrievalTask
    fusion: Fusion | None
    full_inliers: int
    takes_bottleneck: bool = False

    @property
    def is_probability(self) -> bool:
        return self.fusion is not None

    def name(self, image: pa.RecordBatch, bottleneck: pa.RecordBatch | None) -> list[Named]:
        del bottleneck
        rows = pa.Table.from_batches(self.retrieve(self.describe([image])), schema=arrow_schema(CANDIDATES))
        return [
            Named(row["landmark_id"], {kind: row[kind] for kind in _SAID}) for row in rows.sort_by("rank").to_pylist()
        ]

    def rank(self, named: Sequence[Named], verifications: Mapping[int, Verification]) -> Ranked:
        if not named:
            return []
        counts = np.array([verifications[each.landmark_id].num_inliers for each in named])
        evidence = {kind: np.array([each.evidence[kind] for each in named]) for kind in _SAID}
        evidence[_INLIERS] = np.minimum(counts, self.full_inliers) / self.full_inliers
        scores = score_evidence(evidence, self.fusion)
        order = np.argsort(-scores, kind="stable")  # of equal ones the one whose images are closer
        return [(named[place], float(scores[place])) for place in order]


@dataclass(frozen=True)
class _Predicted:
    predict: PredictionTask
    config: Config
    takes_bottleneck: bool
    is_probability: bool = False

    def name(self, image: pa.RecordBatch, bottleneck: pa.RecordBatch | None) -> list[Named]:
        given = bottleneck if self.takes_bottleneck else image
        assert given is not None
        rows = pa.Table.from_batches(self.predict([given])).sort_by("rank").to_pylist()
        return [
            Named(row["landmark_id"], {"confidence": row["score"]}, row["rank"] < self.config.verify.candidates)
            for row in rows
        ]

    def rank(self, named: Sequence[Named], verifications: Mapping[int, Verification]) -> Ranked:
        """Rank as ``core.fusion.choose_candidate`` chooses; those that it does not consider come last."""
        mode, full_inliers = self.config.submission.mode, self.config.submission.full_inliers
        considered = [each for each in named if each.is_compared][: 1 if mode == "classifier" else None]
        scored: Ranked = []
        for each in considered:
            found = verifications[each.landmark_id]
            scored.append(
                (
                    each,
                    score_prediction(
                        mode,
                        each.evidence["confidence"],
                        num_inliers=found.num_inliers,
                        is_verified=found.is_verified,
                        full_inliers=full_inliers,
                    ),
                )
            )
        scored.sort(key=lambda pair: -1.0 if pair[1] is None else pair[1], reverse=True)  # stable: equal ones as named
        return scored + [(each, None) for each in named if each not in considered]


def _commit(store: Store, artifact: Artifact) -> Commit:
    return store.commits(artifact)[WHOLE]


def _landmark_ids(store: Store) -> tuple[int, ...]:
    rows = store.read_arrow(LANDMARKS, ["class_index", "landmark_id"]).sort_by("class_index")
    return tuple(rows.column("landmark_id").to_pylist())


def _read_fusion(store: Store) -> Fusion | None:
    try:
        return read_fusion((store.read_bytes(FUSION.path) or b"").decode())
    except ValueError as error:
        raise StoreError(f"{store.path(FUSION.path)} should be as fuse_evidence wrote it. Received: {error}") from error
