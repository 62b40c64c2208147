"""Settings of the stages that find local features and verify predictions by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from landmark_spark.setting_fields import setting

__all__ = ["LocalFeatureSettings", "VerifySettings"]


@dataclass(frozen=True)
class LocalFeatureSettings:
    """Stage extract_local_features.

    Settings of one kind, ``delf_...``, count for that kind alone: stages/feature_kinds.py puts them into the stage's
    fingerprint, and of an export not where it lies but what it holds.
    """

    SPEED: ClassVar[frozenset[str]] = frozenset(
        {"batch_size", "num_threads", "delf_export", "delf_scales", "delf_score_threshold", "delf_dimensions"}
    )

    kind: Literal["sift", "delf", "delf_vgg16"] = setting(
        "delf_vgg16",
        "delf_vgg16: our own DELF, which the stage train_delf trains; sift: OpenCV's SIFT with RootSIFT normalisation, "
        "which needs no weights, is quicker without a GPU and finds half as many true pairs; delf: an official DELF "
        "export, see docs/delf.md",
    )
    max_keypoints: int = setting(1000, "strongest keypoints kept of an image", minimum=4)
    delf_export: str = setting(
        "", "folder of an official DELF export, with model/ and pca/; for kind delf", is_path=True
    )
    delf_scales: str = setting(
        "0.25 0.3536 0.5 0.7071 1.0 1.4142 2.0", "factors by which DELF resizes an image; the default as published"
    )
    delf_score_threshold: float = setting(
        100.0, "least attention score; 100 as published for DELF, 175 for DELG", minimum=0.0
    )
    delf_dimensions: int = setting(
        40, "of a descriptor after its PCA; as published: 40 for DELF v1, 128 for GLD", minimum=1
    )
    batch_size: int = setting(
        2,
        "images given to the extractor at once; delf_vgg16 takes about 1.1 GB for one and 0.3 for each more, of 512 "
        "pixels a side; more gain little on a CPU; official exports take one",
        minimum=1,
    )
    num_threads: int = setting(1, "CPU threads of a task that runs a network; Spark runs one task a core", minimum=1)


@dataclass(frozen=True)
class VerifySettings:
    """Stage verify_landmarks."""

    SPEED: ClassVar[frozenset[str]] = frozenset({"comparisons_per_task"})

    candidates: int = setting(1, "landmarks verified of each test image, the best predicted first", minimum=1)
    max_comparisons: int = setting(20, "references compared with one test image at most", minimum=1)
    reference_order: Literal["similarity", "hash"] = setting(
        "similarity",
        "which reference is compared first: the most similar bottleneck features, or as index_images drew them",
    )
    min_inliers: int = setting(35, "more inliers than this say: yes, this landmark", minimum=3)
    max_distance: float = setting(0.8, "largest L2 distance of matched unit descriptors", above=0.0, maximum=2.0)
    residual_threshold: float = setting(
        0.025, "largest RANSAC residual, as a share of the longest side: 20 pixels at 800", above=0.0, below=1.0
    )
    max_trials: int = setting(1000, "RANSAC iterations", minimum=1)
    seed: int = setting(0, "of RANSAC", minimum=0, maximum=2**31 - 1)
    comparisons_per_task: int = setting(40_000, "of one task about, where there are many: some minutes", minimum=1)
