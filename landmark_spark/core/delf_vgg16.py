"""Our own DELF, trained: finds keypoints by attention, and describes them by reduced features of VGG16."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.delf_network import LAYER_STRIDES
from landmark_spark.core.dense_features import Cells, compile_dense, find_cells
from landmark_spark.core.keypoint_selection import has_texture, select_keypoints
from landmark_spark.core.local_features import ExtractMany, LocalFeatures, RgbImage, check_image
from landmark_spark.core.model_files import ModelFileError, load_model
from landmark_spark.core.pca import Pca, reduce_descriptors

__all__ = ["DELF_FILE", "EXTRACTOR_FILE", "PCA_FILE", "DelfForm", "describe_cells", "load_delf_vgg16"]

DELF_FILE, EXTRACTOR_FILE, PCA_FILE = "delf.json", "delf.keras", "pca.npz"

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class DelfForm:
    """How a trained network is used.

    layer: of delf_network.LAYER_STRIDES. scales: factors by which an image is resized. radius: of the non-maximum
    suppression, pixels of the image; 0 leaves every cell. whiten: as core.pca has it.
    """

    layer: str
    scales: tuple[float, ...]
    radius: float
    whiten: bool

    def __post_init__(self) -> None:
        """Check what the functions called do not."""
        if self.layer not in LAYER_STRIDES:
            raise ValueError(f"layer should be one of {', '.join(LAYER_STRIDES)}. Received: {self.layer!r}")
        if not self.scales or not all(0.0 < each <= 8.0 for each in self.scales):
            raise ValueError(f"scales should be above 0 and at most 8, at least one. Received: {self.scales}")
        if not 0.0 <= self.radius < math.inf:
            raise ValueError(f"radius should be at least 0, and finite. Received: {self.radius}")

    def to_json(self) -> dict[str, Any]:
        """Return it as values of a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> DelfForm:
        """Read what ``to_json`` gave, whatever else is beside it. Raises ValueError for anything else."""
        try:
            scales = tuple(float(each) for each in values["scales"])
            layer, radius, whiten = values["layer"], float(values["radius"]), values["whiten"]
            if not isinstance(layer, str) or not isinstance(whiten, bool):
                raise TypeError("other kinds of values")
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(f"{DELF_FILE} should have layer, scales, radius and whiten. Received: {error}") from None
        return cls(layer, scales, radius, whiten)


def load_delf_vgg16(
    folder: Path, *, max_keypoints: int, batch_size: int = 8, tell: Callable[[str], object] = _LOG.warning
) -> ExtractMany:
    """Return a function from images, each (H, W, 3) uint8 RGB, of any sizes, to the LocalFeatures of each.

    folder: with what ``core.delf_training.train_delf`` leaves. max_keypoints: those of the highest attention score are
    kept. batch_size: images of one size that go through the network at once; halved where memory runs out, which
    ``tell`` is told.

    The same images in the same call give the same bytes. An image's features do not depend on what else is in its
    batch, as far as the framework sums in the same order for batches of any size: TensorFlow did on a CPU, in bfloat16,
    where four photos alone and together gave the same bytes; a GPU may not.
    An image with a side below 32 pixels at all scales has no keypoints, nor has a surface without texture.

    Raises:
        ModelFileError: the files are not there, or do not belong together. ValueError: max_keypoints or batch_size is
        below 1; from the function: an image is no RGB image.
    """
    if max_keypoints < 1 or batch_size < 1:
        raise ValueError(
            f"max_keypoints and batch_size should be at least 1. Received: {max_keypoints} and {batch_size}"
        )
    form, pca = _read(folder)
    model = load_model(folder / EXTRACTOR_FILE)
    if model.output_shape[-1] != len(pca.mean) + 1:
        raise ModelFileError(
            f"{folder / EXTRACTOR_FILE} should give {len(pca.mean)} features and a score. "
            f"Received: {model.output_shape[-1]} values"
        )
    run = compile_dense(model, batch_size=batch_size, tell=tell)

    def extract(images: Sequence[RgbImage]) -> list[LocalFeatures]:
        for image in images:
            check_image(image)
        every = find_cells(images, run, scales=form.scales, stride=LAYER_STRIDES[form.layer])
        pairs = zip(images, every, strict=True)
        return [_features(image, _textured(image, cells), form, pca, max_keypoints) for image, cells in pairs]

    return extract


def describe_cells(cells: Cells, form: DelfForm, max_keypoints: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the strongest keypoints (N, 2), pixels, and their features (N, C), as they are, the strongest first."""
    chosen = select_keypoints(cells.centres, cells.scores, max_keypoints=max_keypoints, radius=form.radius)
    return cells.centres[chosen], cells.features[chosen]


def _textured(image: RgbImage, cells: Cells) -> Cells:
    kept = has_texture(image, cells.centres)
    return Cells(cells.centres[kept], cells.features[kept], cells.scores[kept])


def _read(folder: Path) -> tuple[DelfForm, Pca]:
    try:
        form = DelfForm.from_json(json.loads((folder / DELF_FILE).read_text(encoding="utf-8")))
        return form, Pca.from_bytes((folder / PCA_FILE).read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{folder} should hold a trained DELF. Received: {error}") from error


def _features(image: RgbImage, cells: Cells, form: DelfForm, pca: Pca, max_keypoints: int) -> LocalFeatures:
    height, width = image.shape[:2]
    if not len(cells.centres):
        return LocalFeatures(
            np.zeros((0, 2), np.float32), np.zeros((0, len(pca.components)), np.float16), width, height
        )
    keypoints, features = describe_cells(cells, form, max_keypoints)
    descriptors = reduce_descriptors(features, pca, whiten=form.whiten).astype(np.float16)
    return LocalFeatures(keypoints, descriptors, width, height)
