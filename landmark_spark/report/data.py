"""Holds all that the report shows, as plain values: what fills it knows nothing of pages, what shows it of tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.ladder import Rung

__all__ = ["KINDS", "VERDICTS", "Confusion", "Example", "InlierSample", "ReportData", "ScoreSample"]

KINDS = ("accepted", "borderline", "rejected", "confident_wrong")
"""Galleries of match pictures, in the order of the page."""

VERDICTS = ("right", "wrong", "no landmark", "unknown")
"""What the solution says of a prediction; unknown where it says nothing or there is none."""

_JPEG = b"\xff\xd8\xff"


@dataclass(frozen=True, eq=False)
class ScoreSample:
    """Confidence of predictions by verdict, each (P,) float, finite; ``all`` instead where there is no solution."""

    right: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    wrong: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    no_landmark: NDArray[Any] = field(default_factory=lambda: np.zeros(0))
    all: NDArray[Any] = field(default_factory=lambda: np.zeros(0))

    def __post_init__(self) -> None:
        _check_groups(self.groups())

    def groups(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that have values, by the name they are shown under."""
        return _filled(self)


@dataclass(frozen=True, eq=False)
class InlierSample:
    """Inliers of verified predictions by verdict, each (P,) int; ``all`` instead where there is no solution.

    More than ``min_inliers`` say yes.
    """

    min_inliers: int
    right: NDArray[Any] = field(default_factory=lambda: np.zeros(0, int))
    wrong: NDArray[Any] = field(default_factory=lambda: np.zeros(0, int))
    no_landmark: NDArray[Any] = field(default_factory=lambda: np.zeros(0, int))
    all: NDArray[Any] = field(default_factory=lambda: np.zeros(0, int))

    def __post_init__(self) -> None:
        if self.min_inliers < 0:
            raise ValueError(f"min_inliers should be at least 0. Received: {self.min_inliers}")
        _check_groups(self.groups())

    def groups(self) -> dict[str, NDArray[Any]]:
        """Return the arrays that have values, by the name they are shown under."""
        return _filled(self)


@dataclass(frozen=True)
class Confusion:
    """What ``num_images`` photos show, and what was answered."""

    shown: str
    answered: str
    num_images: int


@dataclass(frozen=True)
class Example:
    """One match picture and what is said under it.

    kind: a word of KINDS. confidence: softmax probability in [0, 1]. num_inliers: of the reference shown.
    verdict: a word of VERDICTS. picture: JPEG, as ``pictures.draw_matches`` returns it.
    """

    kind: str
    test_id: str
    landmark_id: int
    landmark_name: str
    confidence: float
    num_inliers: int
    reference_id: str
    verdict: str
    picture: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind should be one of {', '.join(KINDS)}. Received: {self.kind!r}")
        if self.verdict not in VERDICTS:
            raise ValueError(f"verdict should be one of {', '.join(VERDICTS)}. Received: {self.verdict!r}")
        if not self.picture.startswith(_JPEG):
            raise ValueError(f"picture should be a JPEG. Received: bytes that begin {self.picture[:8]!r}")


@dataclass(frozen=True, eq=False)
class ReportData:
    """All that the report shows; what is empty is said to be missing.

    Attributes:
        title: heading of the page.
        created: when the run was made, as it is to be printed.
        metrics: by submission mode: gap, top1, num_predictions and num_positives, as ``core.metrics.evaluate`` returns
            them; empty without a solution.
        submission_mode: the mode that submission.csv was written in.
        ladder: from the simplest way to the best.
        precision_curves: by mode: (R,) float, the share that is right among the first 1, 2, ... R predictions.
        scores: of the answer to each test image, as the submission has them.
        inliers: largest number of inliers of each test image with the landmark that is answered.
        history: of the top model by name (loss, val_loss, val_accuracy, val_gap): one value an epoch.
        fine_tuning: the same of the fine-tuned model; empty where there is none.
        delf_training: the same of DELF's attention.
        confusions: the most frequent mistakes between landmarks, the most frequent first.
        imagined: (landmark, photos) answered for photos of none, the most frequent first.
        downloads: number of images by status.
        hosts: by host, the number of images that are there, and of those that failed.
        rejects: number of rows of the csv files by the reason they were refused for.
        class_sizes: (C,) int, training images of each landmark.
        stage_times: (stage, rows made, seconds) in the order of the run.
        several: (image id, its verified landmarks as (name, inliers), the best first) of images with more than one.
        photos: names of the photos' files, by image id, where they say more than that.
        examples: the match pictures, in the order they are shown in within their gallery.
    """

    title: str
    created: str
    submission_mode: str
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    ladder: Sequence[Rung] = ()
    precision_curves: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    scores: ScoreSample = field(default_factory=ScoreSample)
    inliers: InlierSample | None = None
    history: Mapping[str, Sequence[float]] = field(default_factory=dict)
    fine_tuning: Mapping[str, Sequence[float]] = field(default_factory=dict)
    delf_training: Mapping[str, Sequence[float]] = field(default_factory=dict)
    confusions: Sequence[Confusion] = ()
    imagined: Sequence[tuple[str, int]] = ()
    downloads: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    rejects: Mapping[str, int] = field(default_factory=dict)
    class_sizes: NDArray[Any] = field(default_factory=lambda: np.zeros(0, int))
    stage_times: Sequence[tuple[str, int, float]] = ()
    several: Sequence[tuple[str, Sequence[tuple[str, int]]]] = ()
    photos: Mapping[str, str] = field(default_factory=dict)
    examples: Sequence[Example] = ()


def _filled(sample: ScoreSample | InlierSample) -> dict[str, NDArray[Any]]:
    groups = {"right": sample.right, "wrong": sample.wrong, "no landmark": sample.no_landmark, "all": sample.all}
    return {name: values for name, values in groups.items() if len(values)}


def _check_groups(groups: Mapping[str, NDArray[Any]]) -> None:
    for name, values in groups.items():
        if values.ndim != 1 or not np.all(np.isfinite(values)):
            raise ValueError(f"{name} should be one row of finite numbers. Received: shape {values.shape}")
        if values.min() < 0:
            raise ValueError(f"{name} should not be negative. Received: {values.min()}")
    if "all" in groups and len(groups) > 1:
        raise ValueError(f"all should stand alone: it is for runs without a solution. Received: {', '.join(groups)}")
