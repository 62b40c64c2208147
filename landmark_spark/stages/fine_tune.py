"""Stage: images, landmarks, top_model/ -> fine_tuned_model/, on one GPU executor."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from landmark_spark.commits import Commit, FileEntry
from landmark_spark.core.augmentation import AugmentationPlan, Draw, load_augmentation
from landmark_spark.core.backbone import NetworkPlan
from landmark_spark.core.checkpoints import Checkpoints
from landmark_spark.core.fine_tuning import FINE_TUNING_FILE, FineTuningPlan
from landmark_spark.core.fine_tuning import fine_tune as train
from landmark_spark.core.images import decode_jpegs
from landmark_spark.core.model_files import MODEL_FILE, write_json
from landmark_spark.core.network_probe import probe_network
from landmark_spark.core.refitting import Phase, Training
from landmark_spark.core.top_model import MEASURED_FILE
from landmark_spark.core.training_loop import LoopPlan
from landmark_spark.result_settings import results_of
from landmark_spark.schemas import FINE_TUNED_MODEL, IMAGES, LANDMARKS, TOP_MODEL
from landmark_spark.settings import BackboneSettings, Config, ConfigError, FineTuneSettings, TrainSettings
from landmark_spark.stages.context import Context
from landmark_spark.stages.extract_bottlenecks import ship_weights, weights_digest
from landmark_spark.stages.train_top_model import landmarks_of
from landmark_spark.stages.training_feed import Prepare, TrainingFeed
from landmark_spark.stages.training_process import Place, TrainingTask, check_workers, checkpoint_folder, run_training
from landmark_spark.store import Store

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["base_and_training", "check_fine_tuning", "fine_tune"]


def base_and_training(config: Config) -> dict[str, Any]:
    """Return what the fine-tuned model depends on besides its own settings."""
    return results_of(config, BackboneSettings, TrainSettings) | weights_digest(config)


def check_fine_tuning(config: Config) -> None:
    """Raise ConfigError for settings that do not fit the network."""
    if not config.fine_tune.epochs:
        return
    check_workers(config)
    name, num_frozen = config.backbone.name, config.fine_tune.num_frozen_layers
    try:
        network = probe_network(name, image_size=config.download.image_size)
    except ValueError as error:
        raise ConfigError(f"backbone.name, download.image_size: {error}") from error
    if num_frozen > network.num_layers:
        raise ConfigError(
            f"fine_tune.num_frozen_layers should be at most {network.num_layers} for {name}. Received: {num_frozen}"
        )
    first_left = max(network.normalising, default=-1) + 1
    if config.train.num_workers > 1 and num_frozen < first_left:
        raise ConfigError(
            f"fine_tune.num_frozen_layers should be at least {first_left} for {name} where train.num_workers is above "
            f"1: its BatchNormalization layers would have moments of their own in each worker. Received: {num_frozen}"
        )


def fine_tune(context: Context, images: DataFrame, landmarks: DataFrame, top_model: Commit) -> tuple[FileEntry, ...]:
    """Train the upper layers of the base and the top on the images; nothing but a note where epochs = 0."""
    del images, landmarks
    store, config = context.store, context.config
    if not config.fine_tune.epochs:
        return _leave_note(store)
    decides = results_of(config, FineTuneSettings) | base_and_training(config)
    task = _FineTuningTask(
        store_url=store.url,
        checkpoints=checkpoint_folder("fine_tune", store, (IMAGES, LANDMARKS, TOP_MODEL), decides),
        num_threads=config.fine_tune.num_threads,
        settings=config.fine_tune,
        train_settings=config.train,
        network=_network_plan(config),
        weights=ship_weights(store, config.backbone),
        feed=_feed(context),
        landmark_ids=landmarks_of(context),
        top_model=top_model.to_json(),
    )
    return run_training(context, task, FINE_TUNED_MODEL, num_workers=config.train.num_workers)


def _leave_note(store: Store) -> tuple[FileEntry, ...]:
    with tempfile.TemporaryDirectory() as folder:
        write_json(Path(folder) / FINE_TUNING_FILE, {"epochs": 0})
        return store.upload(Path(folder), f"{FINE_TUNED_MODEL.path}/{uuid4().hex}")


def _network_plan(config: Config) -> NetworkPlan:
    """Return the network that made the bottlenecks, without the path of its weights.

    In float32 where it is float16, whose gradients vanish.
    """
    backbone = config.backbone
    return NetworkPlan(
        name=backbone.name,
        image_size=config.download.image_size,
        preprocessing=backbone.preprocessing,
        pooling=backbone.pooling,
        gem_power=backbone.gem_power,
        precision="float32" if backbone.precision == "float16" else backbone.precision,
    )


def _feed(context: Context) -> TrainingFeed:
    config, store = context.config, context.store
    names = store.files(IMAGES, range(config.index.num_shards))
    return TrainingFeed(
        urls=tuple(store.url_of(name) for name in names),
        column="image",
        num_classes=len(landmarks_of(context)),
        batch_size=config.fine_tune.batch_size,
        validation_fraction=config.train.validation_fraction,
        class_balance=config.train.class_balance,
        seed=config.fine_tune.seed,
    )


@dataclass(frozen=True)
class _FineTuningTask(TrainingTask):
    """All that the training process needs."""

    settings: FineTuneSettings
    train_settings: TrainSettings
    network: NetworkPlan
    weights: str
    feed: TrainingFeed
    landmark_ids: tuple[int, ...]
    top_model: str

    def train(self, place: Place, checkpoints: Mapping[Phase, Checkpoints], folder: Path) -> None:
        """Train; leave the files of the model in the folder."""
        settings, store = self.settings, Store(self.store_url)
        training = self._training(replace(self.feed, rank=place.rank, num_ranks=place.num_ranks), checkpoints)
        with store.local_file(self.weights) as weights, store.local_files(Commit.from_json(self.top_model)) as files:
            plan = FineTuningPlan(
                network=replace(self.network, weights=weights),
                num_frozen_layers=settings.num_frozen_layers,
                learning_rate=settings.learning_rate,
                momentum=settings.momentum,
                label_smoothing=self.train_settings.label_smoothing,
                seed=settings.seed,
            )
            top_models: dict[Phase, Path] = {
                "measured": files.get(MEASURED_FILE, files[MODEL_FILE]),
                "kept": files[MODEL_FILE],
            }
            landmark_ids = np.asarray(self.landmark_ids, np.int64)
            train(plan, training, top_models, landmark_ids=landmark_ids, folder=folder, build=place.build)

    def _training(self, feed: TrainingFeed, checkpoints: Mapping[Phase, Checkpoints]) -> Training:
        settings, prepare = self.settings, _preparation(self.settings, self.network.image_size)
        measured = feed.data("train", prepare)
        anew = self.train_settings.refit and measured.validation is not None
        plan = LoopPlan(
            epochs=settings.epochs,
            label_smoothing=self.train_settings.label_smoothing,
            checkpoint_steps=settings.checkpoint_steps,
        )
        return Training(plan, measured, feed.data("everything", prepare) if anew else None, checkpoints)


def _preparation(settings: FineTuneSettings, image_size: int) -> Prepare:
    """Return what decodes the JPEGs of a batch, and changes them where they are trained on."""
    names = [each.name for each in fields(AugmentationPlan)]
    augment = load_augmentation(AugmentationPlan(**{name: getattr(settings, name) for name in names}))

    def prepare(values: list[bytes], draw: Draw | None) -> Any:
        if not values:  # of a small last batch some workers have no row
            return np.zeros((0, image_size, image_size, 3), np.uint8)
        images = decode_jpegs(values)
        return images if draw is None else augment(images, draw)

    return prepare
