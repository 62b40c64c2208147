"""Stage: images, bottlenecks, top_model/, fine_tuned_model/ -> predictions, on GPU executors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landmark_spark.commits import Commit
from landmark_spark.core.jpeg_batches import JpegDecoder
from landmark_spark.core.model_files import MODEL_FILE, Score, best_classes, load_classifier
from landmark_spark.core.prefetching import run_ahead
from landmark_spark.gpu import claim_device, limit_native_threads
from landmark_spark.messages import teller
from landmark_spark.schemas import PREDICTIONS
from landmark_spark.settings import BackboneSettings, Config
from landmark_spark.stages.context import Context
from landmark_spark.stages.extract_bottlenecks import num_decode_threads, regroup
from landmark_spark.store import Store, arrow_schema, conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["PredictionTask", "predict_landmarks", "prediction_task"]


def predict_landmarks(
    context: Context, images: DataFrame, bottlenecks: DataFrame, top_model: Commit, fine_tuned_model: Commit
) -> DataFrame:
    """Give the k best landmarks of every test image, with scores: by the fine-tuned model where there is one."""
    task, is_fine_tuned = prediction_task(context.config, context.store.url, top_model, fine_tuned_model)
    if is_fine_tuned:
        tests = images.where("split = 'test' AND status = 'ok'").select("id", "shard", "image")
    else:
        tests = bottlenecks.where("split = 'test'").select("id", "shard", "features")
    rows = tests.mapInArrow(task, spark_schema(PREDICTIONS), profile=context.accelerator_profile)
    return conform(rows, PREDICTIONS)


def prediction_task(
    config: Config, store_url: str, top_model: Commit, fine_tuned_model: Commit
) -> tuple[PredictionTask, bool]:
    """Return what predicts, and whether it is the fine-tuned model, which takes images instead of bottlenecks."""
    is_fine_tuned = any(each.path.endswith(f"/{MODEL_FILE}") for each in fine_tuned_model.files)
    model = fine_tuned_model if is_fine_tuned else top_model
    task = PredictionTask(
        top_k=config.predict.top_k,
        # From pixels on it is the whole network, whose activations are what takes the memory.
        batch_size=config.backbone.batch_size if is_fine_tuned else config.predict.batch_size,
        backbone=config.backbone,
        image_size=config.download.image_size,
        store_url=store_url,
        model=model.to_json(),
    )
    return task, is_fine_tuned


@dataclass(frozen=True)
class PredictionTask:
    """Scores the test images of one partition inside a Spark task."""

    top_k: int
    batch_size: int
    backbone: BackboneSettings
    image_size: int
    store_url: str
    model: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Turn rows of bottlenecks, or of images for a fine-tuned model, into those of predictions."""
        claim_device(num_threads=self.backbone.num_threads)
        score, landmark_ids = _load(self)
        with JpegDecoder(self.image_size, num_threads=num_decode_threads(self.backbone)) as decoder:
            rows = regroup(batches, self.batch_size)
            for batch, examples in run_ahead(rows, partial(_start, decoder), ahead=1):
                yield _rows(batch, score(examples), landmark_ids, self.top_k)


def _start(decoder: JpegDecoder, batch: pa.RecordBatch) -> Callable[[], npt.NDArray[Any]]:
    """Begin to make what the model takes: images (B, H, W, 3) uint8, or features (B, D) float16, which are there."""
    if "image" in batch.schema.names:
        return decoder.start(batch["image"].to_pylist(), batch["id"].to_pylist())
    features = np.stack([np.frombuffer(each, "<f2") for each in batch["features"].to_pylist()])
    return lambda: features


@lru_cache(maxsize=1)
def _load(task: PredictionTask) -> tuple[Score, npt.NDArray[np.int64]]:
    """Load the model, once a Python worker."""
    limit_native_threads()
    with Store(task.store_url).local_files(Commit.from_json(task.model)) as files:
        tell = teller(task.store_url, predict_landmarks.__name__)
        return load_classifier(files[MODEL_FILE].parent, batch_size=task.batch_size, tell=tell)


def _rows(
    batch: pa.RecordBatch, scores: npt.NDArray[np.float32], landmark_ids: npt.NDArray[np.int64], top_k: int
) -> pa.RecordBatch:
    classes = best_classes(scores, top_k)  # (B, k)
    num_kept = classes.shape[1]
    places = pa.array(np.repeat(np.arange(len(classes)), num_kept))
    columns = {
        "id": batch["id"].take(places),
        "rank": np.tile(np.arange(num_kept, dtype=np.int32), len(classes)),
        "landmark_id": landmark_ids[classes].ravel(),
        "class_index": classes.ravel(),
        "score": np.take_along_axis(scores, classes, axis=1).ravel(),
        "shard": batch["shard"].take(places),
    }
    schema = arrow_schema(PREDICTIONS)
    return pa.RecordBatch.from_arrays([pa.array(columns[each.name]) for each in schema], schema=schema)
