"""Stage: images, landmarks -> delf_model/, on one GPU executor."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from landmark_spark.commits import FileEntry
from landmark_spark.core.checkpoints import Checkpoints
from landmark_spark.core.delf_network import DelfNetworkPlan
from landmark_spark.core.delf_training import DelfTrainingPlan
from landmark_spark.core.delf_training import train_delf as train
from landmark_spark.core.delf_vgg16 import DELF_FILE, DelfForm
from landmark_spark.core.model_files import write_json
from landmark_spark.core.published_weights import describe_weights, resolve_network_weights
from landmark_spark.core.refitting import Phase, Training
from landmark_spark.core.training_crops import load_cropping
from landmark_spark.core.training_loop import LoopPlan
from landmark_spark.delf_settings import DelfSettings
from landmark_spark.result_settings import results_of
from landmark_spark.schemas import DELF_MODEL, IMAGES, LANDMARKS
from landmark_spark.settings import BackboneSettings, Config, ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.stages.delf_images import choose_images, iterate_groups, read_images, training_data
from landmark_spark.stages.extract_bottlenecks import ship_weights
from landmark_spark.stages.train_top_model import landmarks_of
from landmark_spark.stages.training_process import Place, TrainingTask, checkpoint_folder, run_training
from landmark_spark.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["check_delf", "delf_also", "train_delf"]

_KIND = "delf_vgg16"
_NETWORK = "vgg16"
_IMAGES_AT_ONCE = 8


def delf_also(config: Config) -> dict[str, Any]:
    """Return what the model depends on besides its own settings; where none is wanted, that."""
    if config.local_features.kind != _KIND:
        return {"local_features.kind": "another"}
    backbone = _backbone(config)
    return {
        "local_features.kind": _KIND,
        "backbone.precision": backbone.precision,
        "train.validation_fraction": config.train.validation_fraction,
        **describe_weights(backbone.name, backbone.weights),
    }


def check_delf(config: Config) -> None:
    """Raise ConfigError for settings that are wrong, WeightsNotFound or WeightsError where VGG16 has no weights."""
    if config.local_features.kind != _KIND:
        return
    try:
        _form(config.delf)
    except ValueError as error:
        raise ConfigError(f"delf: {error}") from error
    backbone = _backbone(config)
    resolve_network_weights(backbone.name, backbone.weights)


def train_delf(context: Context, images: DataFrame, landmarks: DataFrame) -> tuple[FileEntry, ...]:
    """Train the attention and the PCA of delf_vgg16; nothing but a note where local_features.kind is another."""
    del images, landmarks
    store, config = context.store, context.config
    if config.local_features.kind != _KIND:
        return _leave_note(store)
    backbone = _backbone(config)
    references = config.download.references_per_landmark
    decides = results_of(config, DelfSettings) | delf_also(config)
    task = _DelfTask(
        store_url=store.url,
        checkpoints=checkpoint_folder("train_delf", store, (IMAGES, LANDMARKS), decides),
        num_threads=config.delf.num_threads,
        settings=config.delf,
        network=DelfNetworkPlan(
            layer=config.delf.layer,
            attention_units=config.delf.attention_units,
            precision="float32" if backbone.precision == "float16" else backbone.precision,
            seed=config.delf.seed,
        ),
        weights=ship_weights(store, backbone),
        files=tuple(store.files(IMAGES, range(config.index.num_shards))),
        ids=choose_images(store, max_rank=references, max_images=config.delf.max_images),
        validation_fraction=config.train.validation_fraction,
        num_classes=len(landmarks_of(context)),
    )
    return run_training(context, task, DELF_MODEL, num_workers=config.train.num_workers)


def _leave_note(store: Store) -> tuple[FileEntry, ...]:
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / DELF_FILE, {"trained": False})
        return store.upload(Path(folder), f"{DELF_MODEL.path}/{uuid4().hex}")


def _backbone(config: Config) -> BackboneSettings:
    """Return VGG16's settings: the backbone's where that is what it is, with the published weights where it is not."""
    if config.backbone.name == _NETWORK:
        return config.backbone
    return replace(config.backbone, name=_NETWORK, weights="imagenet")


def _form(settings: DelfSettings) -> DelfForm:
    try:
        scales = tuple(float(each) for each in settings.scales.split())
    except ValueError:
        raise ValueError(f"scales should be numbers with spaces between. Received: {settings.scales!r}") from None
    return DelfForm(settings.layer, scales, settings.radius, settings.whiten)


@dataclass(frozen=True)
class _DelfTask(TrainingTask):
    """All that the training process needs."""

    settings: DelfSettings
    network: DelfNetworkPlan
    weights: str
    files: tuple[str, ...]
    ids: tuple[str, ...]
    validation_fraction: float
    num_classes: int

    def train(self, place: Place, checkpoints: Mapping[Phase, Checkpoints], folder: Path) -> None:
        """Train; leave the files of the model in the folder."""
        settings, store = self.settings, Store(self.store_url)
        images = read_images(store, self.files, self.ids, self.validation_fraction)
        data = training_data(
            images,
            load_cropping(settings.crop_size),
            batch_size=settings.batch_size,
            seed=settings.seed,
            rank=place.rank,
            num_ranks=place.num_ranks,
        )
        loop = LoopPlan(epochs=settings.epochs, checkpoint_steps=settings.checkpoint_steps)
        whole = iterate_groups(images, num_images=settings.pca_images, size=_IMAGES_AT_ONCE)
        with store.local_file(self.weights) as weights:
            plan = DelfTrainingPlan(
                network=replace(self.network, weights=weights),
                form=_form(settings),
                learning_rate=settings.learning_rate,
                dimensions=settings.dimensions,
                batch_size=_IMAGES_AT_ONCE,
            )
            training = Training(loop, data, checkpoints=checkpoints)
            train(plan, training, whole, num_classes=self.num_classes, folder=folder, build=place.build)
