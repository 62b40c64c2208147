"""Stage: images, predictions, candidates, delf_model/ -> local_features, on GPU executors for those of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from landmark_spark.commits import WHOLE, Commit, digest_of
from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.local_features import LocalFeatures, pack_array
from landmark_spark.result_settings import results_of
from landmark_spark.schemas import DELF_MODEL, LOCAL_FEATURES
from landmark_spark.settings import LocalFeatureSettings
from landmark_spark.stages.context import Context
from landmark_spark.stages.feature_kinds import FeatureSource, features_also, ship_features, takes_delf_model
from landmark_spark.stages.kept_features import KeptFeatures, find_kept
from landmark_spark.store import arrow_schema, conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["extract_local_features"]

Row = dict[str, Any]


def extract_local_features(
    context: Context, images: DataFrame, predictions: DataFrame, candidates: DataFrame, delf_model: Commit
) -> DataFrame:
    """Find keypoints in test images, in those that play one, and in references of the landmarks named for them."""
    from pyspark.sql import functions as F

    config = context.config
    predicted = predictions.where(f"rank < {config.verify.candidates}").select("landmark_id")
    named = predicted.union(candidates.select("landmark_id")).distinct().withColumn("is_named", F.lit(True))
    players = candidates.where("split != 'test'").select("id").distinct().withColumn("plays_test", F.lit(True))
    is_reference = F.col("is_named") & (F.col("reference_rank") < config.verify.max_comparisons)
    chosen = (
        images.where("status = 'ok' and large_image is not null")
        .join(F.broadcast(named), on="landmark_id", how="left")
        .join(F.broadcast(players), on="id", how="left")
        .where((F.col("split") == "test") | F.col("plays_test") | is_reference)
        .select("id", "split", "landmark_id", "reference_rank", "shard", "large_image")
    )
    is_needed = takes_delf_model(config.local_features)
    model = {DELF_MODEL.name: digest_of({WHOLE: delf_model.digest})} if is_needed else {}
    kept = find_kept(context, results_of(config, LocalFeatureSettings) | features_also(config), model)
    task = _Extraction(ship_features(context.store, config.local_features, delf_model), kept)
    rows = chosen.mapInArrow(task, spark_schema(LOCAL_FEATURES), profile=context.accelerator_profile)
    return conform(rows, LOCAL_FEATURES)


@dataclass(frozen=True)
class _Extraction:
    """Makes the rows of one partition inside a Spark task: those kept as they are, the others by the extractor."""

    source: FeatureSource
    kept: KeptFeatures

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        rows = self.kept.rows(row for batch in batches for row in batch.to_pylist())
        group: list[tuple[Row, Row | None]] = []
        for pair in rows:
            group.append(pair)
            if len(group) == self.source.settings.batch_size:
                yield self._batch(group)
                group = []
        if group:
            yield self._batch(group)

    def _batch(self, group: Sequence[tuple[Row, Row | None]]) -> pa.RecordBatch:
        images = [decode_jpeg(row["large_image"]) for row, old in group if old is None]
        found = iter(self.source.load()(images) if images else ())  # no network is loaded for rows that are all kept
        schema = arrow_schema(LOCAL_FEATURES)
        made = [old if old is not None else row | _columns(next(found)) for row, old in group]
        return pa.RecordBatch.from_arrays(
            [pa.array([row[each.name] for row in made], each.type) for each in schema], schema=schema
        )


def _columns(features: LocalFeatures) -> Row:
    return {
        "width": features.width,
        "height": features.height,
        "num_keypoints": len(features.keypoints),
        "keypoints": pack_array(features.keypoints),
        "descriptors": pack_array(features.descriptors),
    }
