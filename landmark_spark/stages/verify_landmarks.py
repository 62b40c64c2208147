"""Stage: predictions, candidates, landmarks, local_features, bottlenecks -> verifications, partitioned by landmark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from landmark_spark.core.partitioning import ClassLoad, num_partitions_for, partition_keys, plan_chunks
from landmark_spark.schemas import VERIFICATIONS
from landmark_spark.settings import Config
from landmark_spark.stages.context import Context
from landmark_spark.stages.verification_task import VerificationTask, features_of, verification_settings
from landmark_spark.store import gather, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["VerificationTables", "features_of", "verification_settings", "verify_candidates", "verify_landmarks"]

_LOCAL = ("keypoints", "descriptors", "num_keypoints", "width", "height")
_SENT = ("partition_key", "landmark_id", "is_query", "id", "is_local", "shard", "reference_rank", "bottleneck", *_LOCAL)
_ORDER = ("landmark_id", "is_query", "id", "is_local")  # what stages.verification_task relies on


def verify_landmarks(
    context: Context,
    predictions: DataFrame,
    candidates: DataFrame,
    landmarks: DataFrame,
    local_features: DataFrame,
    bottlenecks: DataFrame,
) -> DataFrame:
    """Compare each test image, and each that plays one, with the references of the landmarks named for it."""
    tables = VerificationTables(predictions, candidates, landmarks, local_features, bottlenecks)
    verified = verify_candidates(context.config, tables)
    return gather(verified, VERIFICATIONS, context.config.index.num_shards)


@dataclass(frozen=True)
class VerificationTables:
    """What verification reads, each with the columns of its schema."""

    predictions: DataFrame
    candidates: DataFrame
    landmarks: DataFrame
    local_features: DataFrame
    bottlenecks: DataFrame


def verify_candidates(config: Config, tables: VerificationTables) -> DataFrame:
    """Return the verifications, each in the partition that core.partitioning gave it, and unordered.

    A table is read once, and its large rows are moved once: where they go is broadcast, some tens of bytes a query.
    """
    from pyspark.sql import functions as F

    settings = config.verify
    destinations, num_partitions = _destinations(config, tables)
    local = tables.local_features.withColumn("bottleneck", F.lit(None).cast("binary"))
    rows = _sent(local, destinations, settings.max_comparisons, is_local=True)
    if settings.reference_order == "similarity":
        whole = tables.bottlenecks.withColumnRenamed("features", "bottleneck")
        types = {name: local.schema[name].dataType for name in _LOCAL}
        without = whole.withColumns({name: F.lit(None).cast(kind) for name, kind in types.items()})
        rows = rows.unionByName(_sent(without, destinations, settings.max_comparisons, is_local=False))
    return (
        rows.repartition(num_partitions, "partition_key")
        .sortWithinPartitions(*_ORDER)
        .mapInArrow(VerificationTask(settings), spark_schema(VERIFICATIONS))
    )


def _sent(rows: DataFrame, destinations: DataFrame, max_comparisons: int, *, is_local: bool) -> DataFrame:
    """Return the rows of queries and references, once for each partition, landmark and part they are needed for.

    A training image may play both parts, for one landmark in one partition too.
    """
    from pyspark.sql import functions as F

    query = F.struct(F.lit(True).alias("is_query"), F.col("id").alias("key"))
    reference = F.struct(F.lit(False).alias("is_query"), F.col("landmark_id").cast("string").alias("key"))
    is_reference = (F.col("split") == "train") & F.col("reference_rank").between(0, max_comparisons - 1)
    parts = F.when(is_reference, F.array(query, reference)).otherwise(F.array(query))
    keyed = rows.select("*", F.inline(parts)).drop("landmark_id", "shard")
    return (
        keyed.join(F.broadcast(destinations), on=["is_query", "key"])
        .withColumn("is_local", F.lit(is_local))
        .select(*_SENT)
    )


def _destinations(config: Config, tables: VerificationTables) -> tuple[DataFrame, int]:
    """Return (is_query, key, landmark_id, shard, partition_key) and the number of partitions.

    key: of a query its id, of references their landmark.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    settings = config.verify
    queries = _queries(tables, settings.candidates)
    loads = _loads(queries, tables.landmarks, settings.max_comparisons)
    spark = queries.sparkSession
    num_partitions = num_partitions_for(
        loads,
        parallelism=spark.sparkContext.defaultParallelism,
        load_per_partition=settings.comparisons_per_task,
    )
    keys = partition_keys(num_partitions)
    chunks = plan_chunks(loads, num_partitions=num_partitions)
    rows = [(each.landmark_id, each.first, each.first + each.num_queries, keys[each.partition]) for each in chunks]
    plan = spark.createDataFrame(rows, "landmark_id long, first int, end int, partition_key int")
    number = F.row_number().over(Window.partitionBy("landmark_id").orderBy("id")) - 1
    is_mine = (F.col("number") >= F.col("first")) & (F.col("number") < F.col("end"))
    of_queries = (
        queries.withColumn("number", number)
        .join(F.broadcast(plan), on="landmark_id")
        .where(is_mine)
        .select(F.lit(True).alias("is_query"), F.col("id").alias("key"), "landmark_id", "shard", "partition_key")
    )
    places = sorted({(row[0], row[3]) for row in rows})
    of_references = spark.createDataFrame(places, "landmark_id long, partition_key int").select(
        F.lit(False).alias("is_query"),
        F.col("landmark_id").cast("string").alias("key"),
        "landmark_id",
        F.lit(0).alias("shard"),
        "partition_key",
    )
    return of_queries.unionByName(of_references), num_partitions


def _queries(tables: VerificationTables, num_candidates: int) -> DataFrame:
    """Return (id, landmark_id, shard) of all that is verified, once: the best predictions, and every candidate."""
    columns = ("id", "landmark_id", "shard")
    predicted = tables.predictions.where(f"rank < {num_candidates}").select(*columns)
    return predicted.unionByName(tables.candidates.select(*columns)).distinct()


def _loads(queries: DataFrame, landmarks: DataFrame, max_comparisons: int) -> list[ClassLoad]:
    """Count the queries of each landmark; of its references there may be fewer than are expected here."""
    from pyspark.sql import functions as F

    counts = queries.groupBy("landmark_id").count()
    sizes = landmarks.select("landmark_id", "num_train_images")
    rows = counts.join(F.broadcast(sizes), on="landmark_id", how="left").collect()
    return [
        ClassLoad(row.landmark_id, row["count"], min(row.num_train_images or 0, max_comparisons))
        for row in sorted(rows, key=lambda row: row.landmark_id)
    ]
