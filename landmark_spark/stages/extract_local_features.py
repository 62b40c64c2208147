"""Stage: images, predictions -> local_features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.local_features import load_extractor, pack_array
from landmark_spark.gpu import limit_native_threads
from landmark_spark.schemas import LOCAL_FEATURES
from landmark_spark.settings import LocalFeatureSettings
from landmark_spark.stages.context import Context
from landmark_spark.store import conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["extract_local_features"]


def extract_local_features(context: Context, images: DataFrame, predictions: DataFrame) -> DataFrame:
    """Find keypoints in the test images and in the references of the landmarks predicted, and in no others."""
    from pyspark.sql import functions as F

    predicted = predictions.where(f"rank < {context.config.verify.candidates}").select("landmark_id").distinct()
    with_copy = images.where("status = 'ok' and large_image is not null")
    is_test = F.col("split") == "test"
    chosen = (
        with_copy.join(F.broadcast(predicted.withColumn("is_predicted", F.lit(True))), on="landmark_id", how="left")
        .where(is_test | F.col("is_predicted"))
        .select("id", "split", "landmark_id", "reference_rank", "shard", "large_image")
    )
    task = _Extraction(context.config.local_features)
    return conform(chosen.mapInPandas(task, spark_schema(LOCAL_FEATURES)), LOCAL_FEATURES)


@dataclass(frozen=True)
class _Extraction:
    """Extracts the features of one partition inside a Spark task."""

    settings: LocalFeatureSettings

    def __call__(self, batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        limit_native_threads()
        extract = load_extractor(self.settings.kind, max_keypoints=self.settings.max_keypoints)
        for batch in batches:
            found = [extract(decode_jpeg(data)) for data in batch["large_image"]]
            yield batch.drop(columns="large_image").assign(
                width=[each.width for each in found],
                height=[each.height for each in found],
                num_keypoints=[len(each.keypoints) for each in found],
                keypoints=[pack_array(each.keypoints) for each in found],
                descriptors=[pack_array(each.descriptors) for each in found],
            )[spark_schema(LOCAL_FEATURES).names]
