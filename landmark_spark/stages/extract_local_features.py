"""Stage: images, predictions, delf_model/ -> local_features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import pandas as pd

from landmark_spark.commits import Commit
from landmark_spark.core.delf_vgg16 import DELF_FILE, ExtractMany, load_delf_vgg16
from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.local_features import load_extractor, pack_array
from landmark_spark.gpu import claim_device, limit_native_threads
from landmark_spark.schemas import LOCAL_FEATURES
from landmark_spark.settings import LocalFeatureSettings
from landmark_spark.stages.context import Context
from landmark_spark.store import Store, conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["extract_local_features"]


def extract_local_features(
    context: Context, images: DataFrame, predictions: DataFrame, delf_model: Commit
) -> DataFrame:
    """Find keypoints in the test images and in the references of the landmarks predicted, and in no others."""
    from pyspark.sql import functions as F

    predicted = predictions.where("rank = 0").select("landmark_id").distinct()
    with_copy = images.where("status = 'ok' and large_image is not null")
    is_test = F.col("split") == "test"
    chosen = (
        with_copy.join(F.broadcast(predicted.withColumn("is_predicted", F.lit(True))), on="landmark_id", how="left")
        .where(is_test | F.col("is_predicted"))
        .select("id", "split", "landmark_id", "reference_rank", "shard", "large_image")
    )
    task = _Extraction(context.config.local_features, context.store.url, delf_model.to_json())
    found = chosen.mapInPandas(task, spark_schema(LOCAL_FEATURES), profile=context.accelerator_profile)
    return conform(found, LOCAL_FEATURES)


@dataclass(frozen=True)
class _Extraction:
    """Extracts the features of one partition inside a Spark task."""

    settings: LocalFeatureSettings
    store_url: str
    delf_model: str

    def __call__(self, batches: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        extract = _load(self)
        for batch in batches:
            size = self.settings.batch_size
            pictures = batch["large_image"].tolist()
            groups = (pictures[start : start + size] for start in range(0, len(pictures), size))
            found = [each for group in groups for each in extract([decode_jpeg(data) for data in group])]
            yield batch.drop(columns="large_image").assign(
                width=[each.width for each in found],
                height=[each.height for each in found],
                num_keypoints=[len(each.keypoints) for each in found],
                keypoints=[pack_array(each.keypoints) for each in found],
                descriptors=[pack_array(each.descriptors) for each in found],
            )[spark_schema(LOCAL_FEATURES).names]


@lru_cache(maxsize=1)
def _load(task: _Extraction) -> ExtractMany:
    """Load the extractor, once a Python worker."""
    settings = task.settings
    limit_native_threads()
    if settings.kind != "delf_vgg16":
        extract = load_extractor(settings.kind, max_keypoints=settings.max_keypoints)
        return lambda images: [extract(image) for image in images]
    claim_device(num_threads=settings.num_threads)
    with Store(task.store_url).local_files(Commit.from_json(task.delf_model)) as files:
        folder = files[DELF_FILE].parent
        return load_delf_vgg16(folder, max_keypoints=settings.max_keypoints, batch_size=settings.batch_size)
