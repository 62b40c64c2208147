"""Learns what retrieval compares images with: of all training images, and of all but those that play test images.

The weights of the evidence (``core.evidence_fusion``) must come from images that nothing has seen: the training and
non-landmark images that play test images are spread over folds, and each is compared with what was made of the other
folds. Only the whitening, which knows of no landmark, has seen all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.array_files import read_arrays
from landmark_spark.core.class_centroids import class_sums
from landmark_spark.core.cross_validation import assign_folds
from landmark_spark.core.global_descriptors import fit_whitening, leave_unwhitened
from landmark_spark.core.linear_head import LinearHead, balanced_weights, fit_linear_head
from landmark_spark.core.pca import Pca, normalise
from landmark_spark.core.retrieval import GRID, References, check_order, whiten_exactly

__all__ = ["MIN_TO_WHITEN", "NO_FOLD", "Described", "RetrievalLearning", "RetrievalModel", "learn_retrieval"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

NO_FOLD = -1
"""Of an image that plays no test image; and of what was made of all images."""

MIN_TO_WHITEN = 20
"""Images from which whitening gains: fewer span as many dimensions, in which all of them become equally unlike."""

_WHITENING, _REFERENCES, _HEAD, _FOLDS = "whitening.npz", "references.npz", "head_{}.npz", "retrieval.json"


@dataclass(frozen=True, eq=False)
class Described:
    """Images of known landmarks, and of none: N.

    descriptors: (N, C). classes: (N,), 0 to num_classes - 1, and num_classes for no landmark. ranks: (N,), the
    0-based place of an image among those of its landmark, in an order that says nothing of the images.
    """

    ids: Sequence[str]
    descriptors: Floats
    classes: Integers
    ranks: Integers
    num_classes: int


@dataclass(frozen=True)
class RetrievalLearning:
    """How to learn: fields as RetrievalSettings has them; has_head: a linear head is fitted too."""

    dimensions: int = 512
    shrinkage: float = 4.0
    has_head: bool = True
    head_penalty: float = 1e-5
    head_class_power: float = 0.5
    head_non_landmark_weight: float = 0.2
    max_training_images: int = 50_000
    max_calibration_images: int = 20_000
    num_folds: int = 5
    seed: int = 0


@dataclass(frozen=True, eq=False)
class RetrievalModel:
    """vectors, classes, folds: of the M training images, by class. non_landmarks, non_landmark_folds: of L others.

    heads: by fold that they have not seen; NO_FOLD: of all. folds_by_id: of the images that play test images.
    """

    whitening: Pca
    vectors: Floats
    classes: Integers
    folds: Integers
    non_landmarks: Floats
    non_landmark_folds: Integers
    num_classes: int
    heads: Mapping[int, LinearHead]
    folds_by_id: Mapping[str, int]

    def references(self, fold: int) -> References:
        """Return what images of a fold are compared with; NO_FOLD: all there is."""
        head = self.heads.get(fold)
        if fold == NO_FOLD:
            return References(self.vectors, self.classes, self.non_landmarks, _directions(self._sums), head)
        left_out = self.folds == fold
        sums = self._sums - class_sums(self.vectors[left_out], self.classes[left_out], self.num_classes)
        others = self.non_landmarks[self.non_landmark_folds != fold]
        return References(self.vectors, self.classes, others, _directions(sums), head, left_out)

    @cached_property
    def _sums(self) -> NDArray[np.float64]:
        """Of the vectors of each class: exact, so that those of a fold can be taken from them."""
        return class_sums(self.vectors, self.classes, self.num_classes)

    def save(self, folder: Path) -> None:
        """Write it as files of a folder; the same model is the same bytes."""
        (folder / _WHITENING).write_bytes(self.whitening.to_bytes())
        with (folder / _REFERENCES).open("wb") as file:
            np.savez(
                file,
                vectors=_to_integers(self.vectors),
                classes=self.classes,
                folds=self.folds,
                non_landmarks=_to_integers(self.non_landmarks),
                non_landmark_folds=self.non_landmark_folds,
            )
        for fold, head in sorted(self.heads.items()):
            (folder / _HEAD.format(fold)).write_bytes(head.to_bytes())
        known = {"num_classes": self.num_classes, "heads": sorted(self.heads), "folds": dict(self.folds_by_id)}
        (folder / _FOLDS).write_text(json.dumps(known, indent=0, sort_keys=True) + "\n", encoding="utf-8")

    def _check(self) -> None:
        """Raise ValueError where the parts are not of one model."""
        size = (len(self.whitening.components),)
        for vectors, folds in ((self.vectors, self.folds), (self.non_landmarks, self.non_landmark_folds)):
            if vectors.ndim != 2 or vectors.shape[1:] != size or folds.shape != vectors.shape[:1]:
                raise ValueError(f"vectors of {size} values and a fold each. Received: {vectors.shape}, {folds.shape}")
            if folds.dtype != np.int64:
                raise ValueError(f"folds of int64. Received: {folds.dtype}")
        if self.classes.dtype != np.int64 or self.classes.shape != self.folds.shape:
            raise ValueError(f"a class each, of int64. Received: {self.classes.shape}, {self.classes.dtype}")
        check_order(self.classes, self.num_classes)
        for head in self.heads.values():
            if head.weights.shape != (*size, self.num_classes + 1):
                raise ValueError(f"a head should be {(*size, self.num_classes + 1)}. Received: {head.weights.shape}")

    @classmethod
    def load(cls, files: Mapping[str, Path]) -> RetrievalModel:
        """Read what ``save`` wrote, file by name. Raises ValueError for anything else."""
        try:
            known = json.loads(files[_FOLDS].read_text(encoding="utf-8"))
            arrays = read_arrays(files[_REFERENCES].read_bytes())
            found = cls(
                whitening=Pca.from_bytes(files[_WHITENING].read_bytes()),
                vectors=_from_integers(arrays["vectors"]),
                classes=arrays["classes"],
                folds=arrays["folds"],
                non_landmarks=_from_integers(arrays["non_landmarks"]),
                non_landmark_folds=arrays["non_landmark_folds"],
                num_classes=int(known["num_classes"]),
                heads={
                    int(fold): LinearHead.from_bytes(files[_HEAD.format(fold)].read_bytes()) for fold in known["heads"]
                },
                folds_by_id={str(name): int(fold) for name, fold in known["folds"].items()},
            )
            found._check()
            return found
        except (KeyError, TypeError, AttributeError, OSError, ArithmeticError, RecursionError, ValueError) as error:
            raise ValueError(f"a retrieval model should be the files that were written. Received: {error}") from None


def learn_retrieval(images: Described, plan: RetrievalLearning) -> RetrievalModel:
    """Whiten, place the images in folds, and fit the heads; from fewer than MIN_TO_WHITEN images nothing is whitened.

    Raises ValueError where no training image is there.
    """
    order = np.lexsort((np.array(images.ids), images.classes))
    is_landmark = images.classes[order] < images.num_classes
    places, others = order[is_landmark], order[~is_landmark]
    if not len(places):
        raise ValueError("there should be training images with a larger copy. Received: none")
    learned = np.concatenate(
        [_first(images, places, plan.max_training_images), _first(images, others, plan.max_training_images)]
    )
    if len(learned) < MIN_TO_WHITEN:
        whitening = leave_unwhitened(images.descriptors.shape[1])
    else:
        whitening = fit_whitening(images.descriptors[learned], plan.dimensions, shrinkage=plan.shrinkage)
    vectors = whiten_exactly(images.descriptors, whitening)
    folds = _folds(images, places, others, plan)
    heads = {}
    if plan.has_head:
        heads = {
            fold: _fit_head(vectors, images, learned, folds, fold, plan)
            for fold in (NO_FOLD, *np.unique(folds[folds != NO_FOLD]).tolist())
        }
    return RetrievalModel(
        whitening=whitening,
        vectors=vectors[places],
        classes=images.classes[places],
        folds=folds[places],
        non_landmarks=vectors[others],
        non_landmark_folds=folds[others],
        num_classes=images.num_classes,
        heads=heads,
        folds_by_id={images.ids[place]: int(folds[place]) for place in order if folds[place] != NO_FOLD},
    )


def _first(images: Described, places: Integers, count: int) -> Integers:
    """Return the places of the images of least rank: all landmarks' first, then their second, and so on.

    Of equal ones by hash, for photos of no landmark have no rank.
    """
    hashes = np.array([hashlib.sha256(images.ids[place].encode()).digest()[:8] for place in places], "S8")
    order = np.lexsort((hashes, images.ranks[places]))
    first: Integers = np.sort(places[order[:count]])
    return first


def _folds(images: Described, places: Integers, others: Integers, plan: RetrievalLearning) -> Integers:
    """Spread over the folds those that can play a test image: of landmarks that other images are left of."""
    sizes = np.bincount(images.classes[places], minlength=images.num_classes)
    playing = np.concatenate(
        [
            _first(images, places[sizes[images.classes[places]] > 1], plan.max_calibration_images),
            _first(images, others, plan.max_calibration_images),
        ]
    )
    folds = np.full(len(images.ids), NO_FOLD, np.int64)
    names = [images.ids[place] for place in playing]
    folds[playing] = assign_folds(names, images.classes[playing].tolist(), plan.num_folds, seed=plan.seed)
    return folds


def _fit_head(
    vectors: Floats, images: Described, learned: Integers, folds: Integers, fold: int, plan: RetrievalLearning
) -> LinearHead:
    kept = learned[folds[learned] != fold] if fold != NO_FOLD else learned
    if not len(kept):
        raise ValueError(
            "retrieval.max_training_images should leave some that are not of one fold (retrieval.num_folds). "
            f"Received: {len(learned)} images"
        )
    labels = images.classes[kept]
    weights = balanced_weights(
        labels,
        power=plan.head_class_power,
        non_landmark=images.num_classes,
        non_landmark_weight=plan.head_non_landmark_weight,
    )
    return fit_linear_head(
        vectors[kept], labels, images.num_classes + 1, example_weights=weights, penalty=plan.head_penalty
    )


def _directions(sums: NDArray[np.float64]) -> Floats:
    return normalise(sums.astype(np.float32))


def _to_integers(vectors: Floats) -> NDArray[np.int16]:
    integers: NDArray[np.int16] = np.round(vectors / GRID).astype("<i2")
    return integers


def _from_integers(values: NDArray[np.int16]) -> Floats:
    if values.dtype != np.dtype("<i2"):
        raise ValueError(f"vectors should be int16. Received: {values.dtype}")
    return values.astype(np.float32) * np.float32(GRID)
