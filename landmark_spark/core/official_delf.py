"""Finds DELF features by an official export: its model, then L2, PCA, L2.

Noh et al., "Large-Scale Image Retrieval with Attentive Deep Local Features", ICCV 2017; the published settings and
post-processing are those of research/delf in github.com/tensorflow/models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.delf_export import MEAN, MODEL, PROJECTION, DelfExportError, find_export
from landmark_spark.core.delf_files import decode_datum
from landmark_spark.core.delf_models import load_delf_model
from landmark_spark.core.local_features import Extractor, LocalFeatures, RgbImage, check_image

__all__ = ["PUBLISHED_SCALES", "Pca", "load_official_delf", "load_pca", "reduce_descriptors"]

PUBLISHED_SCALES = (0.25, 0.3536, 0.5, 0.7071, 1.0, 1.4142, 2.0)
"""Factors by which an image is resized, one after the other."""

_MAX_PLAIN_SIZE = 128  # of descriptors that are exported reduced, as DELG's are; longer ones want their PCA
_MIN_SIDE = 10  # pixels: the official code extracts nothing from smaller images

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pca:
    """A projection of descriptors. mean: (D,) float32. matrix: (K, D) float32, the strongest component first."""

    mean: Floats
    matrix: Floats

    def __post_init__(self) -> None:
        """Check the shapes against each other."""
        if self.matrix.ndim != 2 or self.mean.shape != self.matrix.shape[1:]:
            raise ValueError(
                "a PCA should have a mean of shape (D,) and a matrix of (K, D). "
                f"Received: {self.mean.shape} and {self.matrix.shape}"
            )


def load_pca(mean: bytes, matrix: bytes, *, num_dimensions: int) -> Pca:
    """Read the first components of a PCA from the bytes of its two ``.datum`` files.

    Raises ValueError where they are damaged, do not fit each other, or have fewer components.
    """
    pca = Pca(decode_datum(mean).ravel(), decode_datum(matrix))
    if len(pca.matrix) < num_dimensions:
        raise ValueError(f"num_dimensions should be at most {len(pca.matrix)}, as the PCA. Received: {num_dimensions}")
    return Pca(pca.mean, pca.matrix[:num_dimensions].copy())


def reduce_descriptors(descriptors: Floats, pca: Pca | None) -> Floats:
    """Normalise descriptors (N, D), project them to (N, K) without whitening, and normalise them again.

    Without a PCA they are normalised once. A row of zeros stays one.

    Raises:
        DelfExportError: the PCA is for descriptors of another length, or long ones have none.
    """
    size = descriptors.shape[1]
    unit = _normalise(descriptors)
    if pca is None:
        if size > _MAX_PLAIN_SIZE:
            raise DelfExportError(
                f"an export whose descriptors have more than {_MAX_PLAIN_SIZE} values should have its PCA, {MEAN} and "
                f"{PROJECTION}. Received: {size} values and no PCA"
            )
        return unit
    if size != len(pca.mean):
        raise DelfExportError(
            f"the model should give descriptors of {len(pca.mean)} values, as its PCA takes. Received: {size}"
        )
    projected: Floats = (unit - pca.mean) @ pca.matrix.T
    return _normalise(projected)


def load_official_delf(
    folder: str | Path,
    *,
    max_keypoints: int = 1000,
    scales: Sequence[float] = PUBLISHED_SCALES,
    score_threshold: float = 100.0,
    num_dimensions: int = 40,
) -> Extractor:
    """Return a function from an image, (H, W, 3) uint8 RGB, to its LocalFeatures, in the order of the model.

    Args:
        folder: an export as ``core.delf_export.find_export`` takes it.
        max_keypoints: features kept at most.
        scales: factors by which the image is resized, above 0.
        score_threshold: least attention score.
        num_dimensions: where the export has a PCA, descriptors are normalised (L2), projected to so many components
            and normalised again; where it has none, as DELG and the TF-Hub module, they are normalised and keep the
            length that they have.

    Raises:
        DelfExportError: the folder is no DELF export, or none of a known form; the message says what it offers. From
            the function: the descriptors do not fit the PCA, or are long and have none.
        ValueError: a setting is out of range, or the PCA is damaged or has fewer than ``num_dimensions`` components;
            from the function: the image is no RGB image.
    """
    if max_keypoints < 1 or num_dimensions < 1:
        raise ValueError(
            f"max_keypoints and num_dimensions should be at least 1. Received: {max_keypoints} and {num_dimensions}"
        )
    if not scales or not all(np.isfinite(each) and each > 0 for each in scales):
        raise ValueError(f"scales should be numbers above 0. Received: {list(scales)}")
    files = find_export(folder)
    pca = None
    if MEAN in files:
        pca = load_pca(files[MEAN].read_bytes(), files[PROJECTION].read_bytes(), num_dimensions=num_dimensions)
    graph = next(path for name, path in files.items() if name.startswith(f"{MODEL}/saved_model.pb"))
    find = load_delf_model(graph, scales=scales, max_features=max_keypoints, score_threshold=score_threshold)

    def extract(image: RgbImage) -> LocalFeatures:
        check_image(image)
        height, width = image.shape[:2]
        if min(height, width) < _MIN_SIDE:
            return LocalFeatures(np.zeros((0, 2), np.float32), np.zeros((0, 0), np.float16), width, height)
        keypoints, descriptors = find(image)
        reduced = reduce_descriptors(descriptors, pca).astype(np.float16)
        return LocalFeatures(keypoints[:max_keypoints], reduced[:max_keypoints], width, height)

    return extract


def _normalise(rows: Floats) -> Floats:
    """Return rows of unit L2 length, by TensorFlow's l2_normalize: no square sum counts as less than 1e-12."""
    lengths = np.sqrt(np.maximum(np.square(rows).sum(axis=1, keepdims=True), np.float32(1e-12)))
    unit: Floats = rows / lengths
    return unit
