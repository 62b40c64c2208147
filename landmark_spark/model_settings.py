"""Settings of the stages that extract features, train and predict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from landmark_spark.setting_fields import setting

__all__ = ["BackboneSettings", "FineTuneSettings", "PredictSettings", "TrainSettings"]


@dataclass(frozen=True)
class BackboneSettings:
    """Stage extract_bottlenecks."""

    SPEED: ClassVar[frozenset[str]] = frozenset({"batch_size", "num_threads", "num_decode_threads"})

    name: str = setting("vgg16", "network of keras.applications, without top: a name of core.networks.NETWORKS")
    weights: str = setting(
        "imagenet",
        "imagenet | random (tests only) | path of a Keras weights file without top",
        is_path=True,
        words=("imagenet", "random"),
    )
    preprocessing: Literal["auto", "scale", "caffe", "tf", "torch", "none"] = setting(
        "auto",
        "auto: scale for VGG (gave the better GAP), else as the network was trained; scale: RGB / 255; caffe: BGR "
        "minus the ImageNet mean; tf: -1 to 1; torch: RGB normalised by ImageNet's mean and deviation; none: 0 to 255",
    )
    pooling: Literal["none", "avg", "max", "gem"] = setting(
        "none", "of the last feature map over its positions; none keeps the map; gem: generalised mean"
    )
    gem_power: float = setting(3.0, "p of gem pooling; 1 is the average", minimum=1.0, maximum=100.0)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = setting(
        "auto",
        "of the network's arithmetic; auto: bfloat16 where the processor or GPU has units for it, else float32; "
        "name one where nodes differ; features are float16",
    )
    batch_size: int = setting(
        32, "images a call of the network; halved by itself where memory runs out", minimum=1, maximum=4096
    )
    num_threads: int = setting(1, "CPU threads of one task; Spark runs one task a core", minimum=1)
    num_decode_threads: int = setting(
        0, "threads that decode JPEGs in one task; 0 = one on a CPU, up to eight on a GPU", minimum=0, maximum=256
    )


@dataclass(frozen=True)
class TrainSettings:
    """Stage train_top_model."""

    SPEED: ClassVar[frozenset[str]] = frozenset({"num_threads", "checkpoint_steps"})

    hidden_units: int = setting(256, "units of the hidden layer", minimum=1)
    head: Literal["softmax", "cosine"] = setting(
        "softmax", "cosine: softmax of scaled cosines, trained with a margin (CosFace, a relative of ArcFace)"
    )
    scale: float = setting(16.0, "of the cosines; for the cosine head", above=0.0)
    margin: float = setting(0.1, "by which the right landmark's cosine must win; for the cosine head", minimum=0.0)
    dropout: float = setting(0.5, "share of hidden units dropped in training", minimum=0.0, below=1.0)
    epochs: int = setting(40, "passes over the training part", minimum=1)
    batch_size: int = setting(32, "examples a step, over all workers", minimum=1)
    learning_rate: float = setting(3e-4, "of Adam", above=0.0)
    label_smoothing: float = setting(
        0.1,
        "share of the target spread over all classes; 5-fold GAP on the real training photos 0.714, against 0.698 at 0",
        minimum=0.0,
        below=1.0,
    )
    class_balance: Literal["none", "weights", "sqrt_sampling"] = setting(
        "none",
        "weights: an example's loss counts by the inverse of its class's size; sqrt_sampling: a class is drawn by the "
        "square root of its size",
    )
    early_stopping_patience: int = setting(
        0,
        "epochs without a better held-out loss after which train_top_model ends, with the best weights; 0 = never",
        minimum=0,
    )
    refit: bool = setting(True, "after measuring on the held-out part, train anew on all images: that model is kept")
    validation_fraction: float = setting(
        0.1, "share of training images held out, by hash; a landmark's first reference never is", minimum=0.0, below=1.0
    )
    seed: int = setting(0, "of initial weights, dropout and order", minimum=0, maximum=2**32 - 1001)
    num_workers: int = setting(
        1, "tasks that train together, each on its own device, in one barrier stage; for fine_tune too", minimum=1
    )
    checkpoint_steps: int = setting(
        1000, "steps between checkpoints, from which a killed training goes on; 0 = none", minimum=0
    )
    num_threads: int = setting(2, "CPU threads of the training task", minimum=1)


@dataclass(frozen=True)
class FineTuneSettings:
    """Stage fine_tune."""

    SPEED: ClassVar[frozenset[str]] = frozenset({"checkpoint_steps", "num_threads"})

    epochs: int = setting(0, "passes over the training images; 0 = no fine-tuning: the top model predicts", minimum=0)
    batch_size: int = setting(32, "images a step, over all workers", minimum=1)
    learning_rate: float = setting(1e-4, "of SGD", above=0.0)
    momentum: float = setting(0.9, "of SGD", minimum=0.0, below=1.0)
    num_frozen_layers: int = setting(
        15,
        "first layers of the base, as Keras counts them, that stay as they are: VGG16's up to block4_pool",
        minimum=0,
    )
    shear_range: float = setting(0.2, "largest shear to either side: tangent of the angle", minimum=0.0, below=1.0)
    zoom_range: float = setting(0.2, "largest zoom in and out, as a share", minimum=0.0, below=1.0)
    rotation_range: float = setting(0.0, "largest rotation to either side, degrees", minimum=0.0, maximum=180.0)
    width_shift_range: float = setting(0.0, "largest shift to either side, as a share", minimum=0.0, below=1.0)
    height_shift_range: float = setting(0.0, "largest shift up and down, as a share", minimum=0.0, below=1.0)
    horizontal_flip: bool = setting(True, "mirror half of the images")
    seed: int = setting(
        0, "of order and augmentation; dropout goes on from the top model's", minimum=0, maximum=2**32 - 1001
    )
    checkpoint_steps: int = setting(
        200, "steps between checkpoints, from which a killed training goes on; 0 = none", minimum=0
    )
    num_threads: int = setting(2, "CPU threads of the training task", minimum=1)


@dataclass(frozen=True)
class PredictSettings:
    """Stage predict_landmarks."""

    SPEED: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    top_k: int = setting(5, "landmarks kept for each image", minimum=1)
    batch_size: int = setting(
        512,
        "images a call of the top model; a fine-tuned one, from pixels on, takes backbone.batch_size",
        minimum=1,
        maximum=4096,
    )
