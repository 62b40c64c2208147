"""Settings of the stages that describe images as a whole, look for their neighbours, and weigh the evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from landmark_spark.setting_fields import setting

__all__ = ["EVIDENCE", "DescriptorSettings", "FusionSettings", "RetrievalSettings"]

EVIDENCE = (
    "neighbours",
    "closest",
    "centroid",
    "head",
    "non_landmark",
    "reference_non_landmark",
    "references",
    "inliers",
)
"""Kinds of evidence for a candidate: docs/ladder.md explains each."""


@dataclass(frozen=True)
class DescriptorSettings:
    """Stage extract_global_descriptors."""

    SPEED: ClassVar[frozenset[str]] = frozenset({"batch_size", "num_threads"})

    networks: str = setting(
        "vgg16",
        "networks of keras.applications with spaces between, whose descriptors are joined; the one that is "
        "backbone.name takes backbone.weights, others ImageNet's; none: no retrieval, and submission.mode another than "
        "learned",
    )
    preprocessing: Literal["auto", "scale", "caffe", "tf", "torch", "none"] = setting(
        "auto", "as backbone.preprocessing has it, but auto: as the network was trained"
    )
    sides: str = setting(
        "256", "longest sides that the larger copy is brought to, pixels, with spaces between", may_be_number=True
    )
    flip: bool = setting(False, "describe the mirrored image too")
    crops: Literal["none", "five"] = setting(
        "none", "five: describe the centre and the corners too, each of three quarters of either side"
    )
    gem_power: float = setting(3.0, "p of the generalised mean over the last feature map", minimum=1.0, maximum=100.0)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = setting("auto", "as backbone.precision has it")
    batch_size: int = setting(8, "images of one shape a call of the network", minimum=1, maximum=4096)
    num_threads: int = setting(1, "CPU threads of one task; Spark runs one task a core", minimum=1)

    @property
    def is_wanted(self) -> bool:
        """Whether images are described at all."""
        return self.networks.strip() != "none"


@dataclass(frozen=True)
class RetrievalSettings:
    """Stages train_retrieval and retrieve_neighbours."""

    SPEED: ClassVar[frozenset[str]] = frozenset()

    dimensions: int = setting(512, "of a descriptor after whitening", minimum=1)
    shrinkage: float = setting(
        4.0, "times the mean variance that is added to each before whitening; 0 whitens in full", minimum=0.0
    )
    num_neighbours: int = setting(5, "nearest training images that vote for their landmarks", minimum=1)
    power: float = setting(3.0, "a vote is similarity to this power", above=0.0)
    non_landmark_neighbours: int = setting(5, "nearest photos of no landmark whose similarity is averaged", minimum=1)
    candidates: int = setting(
        2,
        "landmarks that each of neighbours, centroids and head names for an image; all are verified",
        minimum=1,
    )
    head: Literal["linear", "none"] = setting(
        "linear", "classifier of descriptors, no landmark being a class of its own; none where there are too many"
    )
    head_penalty: float = setting(1e-5, "on the squared weights of the linear head", above=0.0)
    head_class_power: float = setting(
        0.5, "an image counts by its landmark's number of images to the power of minus this", minimum=0.0, maximum=1.0
    )
    head_non_landmark_weight: float = setting(0.2, "by which a photo of no landmark counts", above=0.0)
    max_training_images: int = setting(
        50_000, "training images, and as many of no landmark, that whitening and head are learned on", minimum=2
    )
    max_calibration_images: int = setting(
        20_000,
        "training images, and as many of no landmark, that play test images, to weigh the evidence by: each meets what "
        "was learned without it; 0 = the evidence is not weighed",
        minimum=0,
    )
    num_folds: int = setting(
        5, "parts of the training images, each of which plays the test set once", minimum=2, maximum=100
    )
    seed: int = setting(0, "of the folds", minimum=0)


@dataclass(frozen=True)
class FusionSettings:
    """Stage fuse_evidence."""

    SPEED: ClassVar[frozenset[str]] = frozenset()

    evidence: str = setting(
        "neighbours closest centroid head non_landmark inliers", "kinds of evidence that are weighed, spaces between"
    )
    penalty: float = setting(1e-3, "on the squared weights of the logistic regression", above=0.0)
    non_landmark_share: float = setting(
        2 / 3, "share of photos of no landmark to expect in the test set", above=0.0, below=1.0
    )
    full_inliers: int = setting(35, "inliers from which more say nothing more", minimum=1)
    max_answers: int = setting(
        0,
        "test images of which one landmark may be the best answer; the scores of one of more are weighed down by as "
        "much; 0 = any number",
        minimum=0,
    )

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of evidence that are weighed."""
        return tuple(self.evidence.split())
