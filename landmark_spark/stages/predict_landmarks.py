"""Stage: images, bottlenecks, top_model/, fine_tuned_model/ -> predictions, on GPU executors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from landmark_spark.commits import Commit
from landmark_spark.core.images import decode_jpegs
from landmark_spark.core.model_files import MODEL_FILE, Score, best_classes, load_classifier
from landmark_spark.gpu import claim_device, limit_native_threads
from landmark_spark.schemas import PREDICTIONS
from landmark_spark.settings import PredictSettings
from landmark_spark.stages.context import Context
from landmark_spark.store import Store, conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["predict_landmarks"]


def predict_landmarks(
    context: Context, images: DataFrame, bottlenecks: DataFrame, top_model: Commit, fine_tuned_model: Commit
) -> DataFrame:
    """Give the k best landmarks of every test image, with scores: by the fine-tuned model where there is one."""
    is_fine_tuned = any(each.path.endswith(f"/{MODEL_FILE}") for each in fine_tuned_model.files)
    model = fine_tuned_model if is_fine_tuned else top_model
    config = context.config
    task = _Prediction(config.predict, config.backbone.num_threads, context.store.url, model.to_json())
    if is_fine_tuned:
        tests = images.where("split = 'test' AND status = 'ok'").select("id", "shard", "image")
    else:
        tests = bottlenecks.where("split = 'test'").select("id", "shard", "features")
    rows = tests.mapInPandas(task, spark_schema(PREDICTIONS), profile=context.accelerator_profile)
    return conform(rows, PREDICTIONS)


@dataclass(frozen=True)
class _Prediction:
    """Scores the test images of one partition inside a Spark task."""

    settings: PredictSettings
    num_threads: int
    store_url: str
    model: str

    def __call__(self, batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        claim_device(num_threads=self.num_threads)
        score, landmark_ids = _load(self)
        for batch in batches:
            if len(batch):
                yield _rows(batch, score(_inputs(batch)), landmark_ids, self.settings.top_k)


@lru_cache(maxsize=1)
def _load(task: _Prediction) -> tuple[Score, npt.NDArray[np.int64]]:
    """Load the model, once a Python worker."""
    limit_native_threads()
    with Store(task.store_url).local_files(Commit.from_json(task.model)) as files:
        return load_classifier(files[MODEL_FILE].parent, batch_size=task.settings.batch_size)


def _inputs(batch: pd.DataFrame) -> npt.NDArray[Any]:
    """Return what the model takes: features (B, D) float16, or images (B, H, W, 3) uint8."""
    if "image" in batch:
        return decode_jpegs(batch["image"].tolist())
    return np.stack([np.frombuffer(each, "<f2") for each in batch["features"]])


def _rows(
    batch: pd.DataFrame, scores: npt.NDArray[np.float32], landmark_ids: npt.NDArray[np.int64], top_k: int
) -> pd.DataFrame:
    classes = best_classes(scores, top_k)  # (B, k)
    num_kept = classes.shape[1]
    return pd.DataFrame(
        {
            "id": np.repeat(batch["id"].to_numpy(), num_kept),
            "rank": np.tile(np.arange(num_kept, dtype=np.int32), len(batch)),
            "landmark_id": landmark_ids[classes].ravel(),
            "class_index": classes.ravel(),
            "score": np.take_along_axis(scores, classes, axis=1).ravel(),
            "shard": np.repeat(batch["shard"].to_numpy(), num_kept),
        }
    )
