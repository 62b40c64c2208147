"""Stage: bottlenecks, top_model/ -> predictions, on GPU executors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from landmark_spark.commits import Commit
from landmark_spark.core.top_model import Score, best_classes, load_top_model
from landmark_spark.gpu import claim_device
from landmark_spark.schemas import PREDICTIONS
from landmark_spark.settings import PredictSettings
from landmark_spark.stages.context import Context
from landmark_spark.store import Store, conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["predict_landmarks"]


def predict_landmarks(context: Context, bottlenecks: DataFrame, top_model: Commit) -> DataFrame:
    """Give the k best landmarks of every test image, with softmax scores."""
    task = _Prediction(
        context.config.predict, context.config.backbone.num_threads, context.store.url, top_model.to_json()
    )
    tests = bottlenecks.where("split = 'test'").select("id", "shard", "features")
    return conform(tests.mapInPandas(task, spark_schema(PREDICTIONS)), PREDICTIONS)


@dataclass(frozen=True)
class _Prediction:
    """Scores the test images of one partition inside a Spark task."""

    settings: PredictSettings
    num_threads: int
    store_url: str
    top_model: str

    def __call__(self, batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        score, landmark_ids = _load(self)
        for batch in batches:
            if len(batch):
                features = np.stack([np.frombuffer(each, "<f2") for each in batch["features"]])
                yield _rows(batch, score(features), landmark_ids, self.settings.top_k)


@lru_cache(maxsize=1)
def _load(task: _Prediction) -> tuple[Score, npt.NDArray[np.int64]]:
    """Load the model, once a Python worker."""
    claim_device(num_threads=task.num_threads)
    with Store(task.store_url).local_files(Commit.from_json(task.top_model)) as files:
        folder = next(iter(files.values())).parent
        return load_top_model(folder, batch_size=task.settings.batch_size)


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
