"""Settings of the stage that trains our own DELF."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from landmark_spark.setting_fields import setting

__all__ = ["DelfSettings"]


@dataclass(frozen=True)
class DelfSettings:
    """Stage train_delf; they count where local_features.kind is delf_vgg16."""

    SPEED: ClassVar[frozenset[str]] = frozenset({"checkpoint_steps", "num_threads"})

    layer: Literal["block3_conv3", "block4_conv3", "block5_conv3"] = setting(
        "block4_conv3", "of VGG16, whose cells are the features: every 4, 8 or 16 pixels"
    )
    scales: str = setting("0.5 0.7071 1.0 1.4142", "factors by which an image is resized, above 0 and at most 8")
    radius: float = setting(
        4.0, "a keypoint with a stronger one nearer than this many pixels is left out; 0 = none is", minimum=0.0
    )
    dimensions: int = setting(128, "of a descriptor after the PCA; published: 40", minimum=1, maximum=512)
    whiten: bool = setting(True, "divide by the deviation of each component after the PCA; not so published")
    attention_units: int = setting(512, "of the attention's first convolution", minimum=1)
    epochs: int = setting(10, "passes over the training images", minimum=1)
    batch_size: int = setting(32, "images a step, over all workers", minimum=1)
    learning_rate: float = setting(1e-3, "of Adam", above=0.0)
    crop_size: int = setting(224, "side of the square pieces trained on, pixels", minimum=32)
    max_images: int = setting(
        20_000,
        "training images with a larger copy that are used, the first references of all landmarks first",
        minimum=2,
    )
    pca_images: int = setting(500, "of them the PCA is learned on", minimum=1)
    seed: int = setting(0, "of initial weights, order and pieces", minimum=0, maximum=2**32 - 1001)
    checkpoint_steps: int = setting(
        200, "steps between checkpoints, from which a killed training goes on; 0 = none", minimum=0
    )
    num_threads: int = setting(2, "CPU threads of the training task", minimum=1)
