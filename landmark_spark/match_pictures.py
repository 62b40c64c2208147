"""Draws the matches of one test image and its best reference from what the store holds, for people to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.commits import StoreError
from landmark_spark.core.counted import counted
from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.local_features import LocalFeatures
from landmark_spark.core.statuses import advice_of
from landmark_spark.core.verification import match_pair
from landmark_spark.report.pictures import add_caption, compose_matches, encode_picture, mark_keypoints
from landmark_spark.row_lookup import look_up
from landmark_spark.schemas import IMAGES, LANDMARKS, LOCAL_FEATURES, PREDICTIONS, VERIFICATIONS, Table
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.verify_landmarks import features_of, verification_settings
from landmark_spark.store import Store

__all__ = ["DrawnMatches", "Match", "draw_best_match", "draw_match", "find_best_match"]

_HEIGHT = 480
_FEATURE_COLUMNS = ("split", "landmark_id", "width", "height", "num_keypoints", "keypoints", "descriptors")


@dataclass(frozen=True, eq=False)
class DrawnMatches:
    """A picture, (H, W, 3) uint8 RGB, and the lines that stand below it."""

    test_id: str
    landmark_id: int
    reference_id: str
    num_inliers: int
    num_matches: int
    caption: tuple[str, ...]
    picture: NDArray[np.uint8] = field(repr=False)

    def encode(self, suffix: str) -> bytes:
        """Return the bytes of a file: suffix .png, .jpg or .jpeg."""
        return encode_picture(self.picture, suffix)


@dataclass(frozen=True, eq=False)
class Match:
    """A query and the reference it fits best.

    matched: points of the query, points of the reference, and which are inliers, as ``match_pair`` returns them.
    """

    reference_id: str
    reference: LocalFeatures
    matched: tuple[Any, Any, NDArray[np.bool_]]

    @property
    def num_inliers(self) -> int:
        """Return how many matches agree on one affine map."""
        return int(np.count_nonzero(self.matched[2]))


def draw_best_match(config: Config, test_id: str, *, landmark_id: int | None = None) -> DrawnMatches:
    """Draw a test image beside the reference with the most inliers, all keypoints grey but the inliers.

    Args:
        config: of the run; its verify settings find the matches.
        test_id: a test image.
        landmark_id: whose references to compare with; None: the best prediction's, and the reference that the
            verification found best.

    Raises:
        ConfigError: no test image has the id, or the landmark has no references with features.
        StoreError: what is needed is not made yet, or the image could not be downloaded.
    """
    reader = _Reader(Store(config.store), config)
    image = reader.test_image(test_id)
    verification = reader.verification(test_id, landmark_id)
    known_best = verification.best_reference_id if verification is not None else None
    if verification is not None:
        landmark_id = int(verification.landmark_id)
    assert landmark_id is not None  # without one asked for there is a verification
    reference_ids = [known_best] if known_best else reader.references_of(landmark_id)
    features = reader.features([test_id, *reference_ids])
    query = features[test_id]
    best = find_best_match(query, [(each, features[each]) for each in reference_ids], config)
    caption = _caption(reader, test_id, landmark_id, best, verification)
    reference_image = reader.pictures([best.reference_id])[best.reference_id]
    return DrawnMatches(
        test_id=test_id,
        landmark_id=landmark_id,
        reference_id=best.reference_id,
        num_inliers=best.num_inliers,
        num_matches=len(best.matched[2]),
        caption=caption,
        picture=draw_match(image.large_image, query, reference_image, best, caption),
    )


def draw_match(
    image: bytes, query: LocalFeatures, reference_image: bytes, match: Match, caption: Sequence[str]
) -> NDArray[np.uint8]:
    """Draw an image beside the reference it was matched with, both JPEG: (H, W, 3) uint8 RGB, the caption below."""
    composed = compose_matches(
        mark_keypoints(decode_jpeg(image), query.keypoints),
        mark_keypoints(decode_jpeg(reference_image), match.reference.keypoints),
        *match.matched,
        height=_HEIGHT,
    )
    return add_caption(composed, caption)


def find_best_match(query: LocalFeatures, references: Sequence[tuple[str, LocalFeatures]], config: Config) -> Match:
    """Return the first reference with the most inliers; where none has any, that with the most matches."""
    settings = verification_settings(config.verify)
    found = [Match(name, each, match_pair(query, each, settings)) for name, each in references]
    return max(found, key=lambda each: (each.num_inliers, len(each.matched[2])))


def _caption(reader: _Reader, test_id: str, landmark_id: int, best: Match, verification: Any | None) -> tuple[str, ...]:
    threshold = reader.config.verify.min_inliers
    verdict = "verified" if best.num_inliers > threshold else "not verified"
    score = reader.score_of(test_id, landmark_id)
    name = reader.name_of(landmark_id)
    lines = [
        f"test {test_id}   reference {best.reference_id}   landmark {landmark_id}{f' ({name})' if name else ''}",
        f"{counted(best.num_inliers, 'inlier')} of {counted(len(best.matched[2]), 'match', 'matches')}: {verdict} "
        f"(more than {threshold} are wanted)   "
        + (f"confidence {score:.3f}" if score is not None else "not among the landmarks predicted"),
    ]
    if verification is not None:
        lines[1] += f"   {verification.num_comparisons} of {counted(verification.num_references, 'reference')} compared"
    return tuple(lines)


@dataclass(frozen=True)
class _Reader:
    """Reads from a store what the picture needs, and says what is missing."""

    store: Store
    config: Config

    def test_image(self, test_id: str) -> Any:
        """Return the row of images."""
        found = self._look_up(IMAGES, [test_id], ["split", "status", "large_image"], "download_images").get(test_id)
        row = next((each for each in found or () if each.split == "test"), None)
        if row is None:
            other = f": {found[0].split} image" if found else ": no such image in the store"
            raise ConfigError(f"TEST_ID should be the id of a test image. Received: {test_id}{other}")
        if row.status != "ok":
            raise StoreError(
                f"{test_id} should have been downloaded. Received: {row.status} ({advice_of(row.status)}); "
                f"fetch it again by landmark-spark run --retry {row.status}"
            )
        if row.large_image is None:
            raise StoreError(f"{test_id} should have a larger copy in images. Received: none")
        return row

    def verification(self, test_id: str, landmark_id: int | None) -> Any | None:
        """Return the row of verifications, of the best prediction where no landmark is asked for."""
        columns = ["landmark_id", "num_comparisons", "num_references", "best_reference_id"]
        if landmark_id is not None and not self.store.commits(VERIFICATIONS):
            return None
        rows = self._look_up(VERIFICATIONS, [test_id], columns, "verify_landmarks").get(test_id, [])
        if landmark_id is not None:
            return next((each for each in rows if each.landmark_id == landmark_id), None)
        if not rows:
            raise StoreError(
                f"{test_id} should have a verification. Received: none: run landmark-spark run --to verify_landmarks"
            )
        predicted = {each.landmark_id: each.rank for each in self._predictions(test_id)}
        return min(rows, key=lambda each: predicted.get(each.landmark_id, len(predicted)))

    def references_of(self, landmark_id: int) -> list[str]:
        """Return the ids of a landmark's references with features, in the order they are compared in."""
        self._must_have(LOCAL_FEATURES, "extract_local_features")
        rows = self.store.read_arrow(LOCAL_FEATURES, ["id", "split", "landmark_id", "reference_rank"])
        columns = (rows.column(each).to_pylist() for each in ("reference_rank", "id", "split", "landmark_id"))
        mine = [
            (rank, name)
            for rank, name, split, of in zip(*columns, strict=True)
            if (split, of) == ("train", landmark_id) and rank < self.config.verify.max_comparisons
        ]
        if not mine:
            raise ConfigError(
                f"landmark {landmark_id} should have references with features: only landmarks that were predicted "
                "for some image, or are candidates of one, do. Received: none"
            )
        return [name for _, name in sorted(mine)]

    def features(self, ids: Sequence[str]) -> dict[str, LocalFeatures]:
        """Return the features of images that should have some."""
        found = self._look_up(LOCAL_FEATURES, ids, _FEATURE_COLUMNS, "extract_local_features")
        for each in ids:
            if each not in found:
                raise StoreError(f"{each} should have local features. Received: none: the store has changed since")
        return {name: features_of(rows[0]) for name, rows in found.items()}

    def pictures(self, ids: Sequence[str]) -> dict[str, bytes]:
        """Return the larger copies of images, as JPEG."""
        found = self._look_up(IMAGES, ids, ["large_image"], "download_images")
        for each in ids:
            if each not in found or found[each][0].large_image is None:
                raise StoreError(f"{each} should have a larger copy in images. Received: none")
        return {name: rows[0].large_image for name, rows in found.items()}

    def score_of(self, test_id: str, landmark_id: int) -> float | None:
        """Return the classifier's confidence; None for a landmark that is not among the best."""
        return next((each.score for each in self._predictions(test_id) if each.landmark_id == landmark_id), None)

    def name_of(self, landmark_id: int) -> str:
        """Return the landmark's name; empty where it has none."""
        if not self.store.commits(LANDMARKS):
            return ""
        rows = self.store.read_arrow(LANDMARKS, ["landmark_id", "name"]).to_pylist()
        return next((str(each["name"]) for each in rows if each["landmark_id"] == landmark_id), "")

    def _predictions(self, test_id: str) -> list[Any]:
        columns = ["rank", "landmark_id", "score"]
        return self._look_up(PREDICTIONS, [test_id], columns, "predict_landmarks").get(test_id, [])

    def _look_up(self, table: Table, ids: Sequence[str], columns: Sequence[str], stage: str) -> dict[str, list[Any]]:
        self._must_have(table, stage)
        return look_up(self.store, table, ids, columns=columns, num_shards=self.config.index.num_shards)

    def _must_have(self, table: Table, stage: str) -> None:
        if not self.store.commits(table):
            raise StoreError(
                f"matches should have {table.name}. Received: none in {self.store.url}: "
                f"make them by landmark-spark run --to {stage}, with the same --config and --set"
            )
