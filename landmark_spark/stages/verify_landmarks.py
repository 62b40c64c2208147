"""Stage: predictions, local_features -> verifications, partitioned by predicted landmark."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from landmark_spark.core.local_features import LocalFeatures, unpack_descriptors, unpack_keypoints
from landmark_spark.core.verification import VerificationSettings, verify_against
from landmark_spark.gpu import limit_native_threads
from landmark_spark.schemas import VERIFICATIONS
from landmark_spark.settings import VerifySettings
from landmark_spark.stages.context import Context
from landmark_spark.store import gather, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["features_of", "verification_settings", "verify_landmarks"]


def verify_landmarks(context: Context, predictions: DataFrame, local_features: DataFrame) -> DataFrame:
    """Compare each test image with the references of its predicted landmark."""
    best = predictions.where("rank = 0").select("id", "landmark_id")
    tests = local_features.where("split = 'test'").drop("landmark_id")
    queries = best.join(tests, on="id", how="inner")
    references = local_features.where("split = 'train'").toDF(
        *local_features.columns
    )  # columns of its own: a self-join
    task = _Verification(context.config.verify)

    def verify(queries: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
        return task.verify(queries, references)

    # Both sides are shuffled by landmark: a landmark's references meet its test images in one task.
    verified = (
        queries.groupBy("landmark_id")
        .cogroup(references.groupBy("landmark_id"))
        .applyInPandas(verify, spark_schema(VERIFICATIONS))
    )
    return gather(verified, VERIFICATIONS, context.config.index.num_shards)


def verification_settings(settings: VerifySettings) -> VerificationSettings:
    """Return the settings as ``core`` takes them."""
    return VerificationSettings(**asdict(settings))


def features_of(row: Any) -> LocalFeatures:
    """Unpack a row of local_features."""
    return LocalFeatures(
        keypoints=unpack_keypoints(row.keypoints),
        descriptors=unpack_descriptors(row.descriptors, row.num_keypoints),
        width=row.width,
        height=row.height,
    )


@dataclass(frozen=True)
class _Verification:
    """Verifies the test images of one landmark inside a Spark task."""

    settings: VerifySettings

    def verify(self, queries: pd.DataFrame, references: pd.DataFrame) -> pd.DataFrame:
        limit_native_threads()
        settings = verification_settings(self.settings)
        in_order = references.sort_values(["reference_rank", "id"])
        candidates = [(str(row.id), features_of(row)) for row in in_order.itertuples()] if len(queries) else []
        rows = [
            {"id": query.id, "landmark_id": query.landmark_id, "shard": query.shard}
            | asdict(verify_against(features_of(query), candidates, settings))
            for query in queries.sort_values("id").itertuples()
        ]
        return pd.DataFrame(rows, columns=spark_schema(VERIFICATIONS).names)
