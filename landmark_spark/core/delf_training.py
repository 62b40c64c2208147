"""Trains our own DELF: the attention, by classification with the base frozen, and the PCA of what it picks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from landmark_spark.core.delf_network import (
    LAYER_STRIDES,
    DelfNetworkPlan,
    build_attention,
    build_classifier,
    build_dense,
    build_extractor,
)
from landmark_spark.core.delf_vgg16 import DELF_FILE, EXTRACTOR_FILE, PCA_FILE, DelfForm, describe_cells
from landmark_spark.core.dense_features import compile_dense, find_cells
from landmark_spark.core.local_features import RgbImage
from landmark_spark.core.model_files import save_model, write_history, write_json
from landmark_spark.core.pca import Pca, fit_pca, normalise
from landmark_spark.core.refitting import Phase, Training, train_and_refit
from landmark_spark.core.top_model import smoothed_cross_entropy
from landmark_spark.core.training_loop import BuildTrainee, History, Trainee, build_trainee

__all__ = ["DelfTrainingPlan", "learn_pca", "train_attention", "train_delf"]


@dataclass(frozen=True)
class DelfTrainingPlan:
    """What decides the result besides the images.

    network, form: what is trained, and how it will be used. learning_rate: of Adam. dimensions: of a descriptor.
    keypoints_for_pca: of each image, the strongest; the PCA is learned on them. batch_size: images of one size at once
    while they are found.
    """

    network: DelfNetworkPlan
    form: DelfForm
    learning_rate: float
    dimensions: int
    keypoints_for_pca: int = 200
    batch_size: int = 8


def train_delf(
    plan: DelfTrainingPlan,
    training: Training,
    images: Iterable[Sequence[RgbImage]],
    *,
    num_classes: int,
    folder: Path,
    build: BuildTrainee = build_trainee,
) -> History:
    """Train, and write network, PCA, history and plan into ``folder``, as ``core.delf_vgg16`` reads them.

    training: of batches of crops (B, H, W, 3) uint8 of one size. images: whole training images, a few at a time, on
    which the PCA is learned. Returns one value an epoch, of the training that was measured.
    """
    if plan.network.layer != plan.form.layer:
        raise ValueError(f"both plans should name one layer. Received: {plan.network.layer} and {plan.form.layer}")
    extractor, history = train_attention(plan, training, num_classes=num_classes, build=build)
    pca = learn_pca(extractor, images, plan)
    save_model(extractor, folder / EXTRACTOR_FILE)
    (folder / PCA_FILE).write_bytes(pca.to_bytes())
    write_history(folder, history)
    write_json(folder / DELF_FILE, _describe(plan, training, num_classes))
    return history


def train_attention(
    plan: DelfTrainingPlan, training: Training, *, num_classes: int, build: BuildTrainee = build_trainee
) -> tuple[Any, History]:
    """Train the head and a classifier behind it, with Adam on the cross-entropy; return extractor and history."""
    import keras

    seed = plan.network.seed
    extractors: dict[Phase, Any] = {}

    def make_trainee(phase: Phase) -> Trainee:
        def make_model() -> Any:
            dense = build_dense(plan.network)
            attention = build_attention(dense.output_shape[-1], plan.network.attention_units, seed=seed)
            extractors[phase] = build_extractor(dense, attention)
            return build_classifier(dense, attention, num_classes, seed=seed)

        keras.utils.set_random_seed(seed)
        return build(make_model, lambda: keras.optimizers.Adam(plan.learning_rate), _cross_entropy(num_classes))

    trained = train_and_refit(training, make_trainee)
    return extractors["measured" if trained.kept is trained.measured else "kept"], trained.history


def learn_pca(extractor: Any, images: Iterable[Sequence[RgbImage]], plan: DelfTrainingPlan) -> Pca:
    """Return the PCA of the descriptors, of unit length, of the strongest keypoints of images."""
    run = compile_dense(extractor, batch_size=plan.batch_size, tell=lambda _: None)
    stride = LAYER_STRIDES[plan.form.layer]
    parts = [np.zeros((0, extractor.output_shape[-1] - 1), np.float16)]
    for group in images:
        for cells in find_cells(group, run, scales=plan.form.scales, stride=stride):
            if len(cells.centres):
                _, features = describe_cells(cells, plan.form, plan.keypoints_for_pca)
                parts.append(normalise(features).astype(np.float16))
    return fit_pca(np.concatenate(parts), plan.dimensions)


def _cross_entropy(num_classes: int) -> Callable[[Any, Any], Any]:
    return smoothed_cross_entropy(num_classes, 0.0)


def _describe(plan: DelfTrainingPlan, training: Training, num_classes: int) -> dict[str, Any]:
    import keras

    network = asdict(replace(plan.network, weights=None))  # a path says nothing of what was in it
    made_with = {"epochs": training.plan.epochs, "keras": keras.__version__, "backend": keras.backend.backend()}
    told = {"learning_rate": plan.learning_rate, "dimensions": plan.dimensions, "num_classes": num_classes}
    return plan.form.to_json() | {"network": network} | made_with | told
