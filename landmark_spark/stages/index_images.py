"""Stage: train.csv, test.csv, non_landmark.csv -> records, landmarks, rejects."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import fsspec
import pyarrow as pa

from landmark_spark.core.counted import counted
from landmark_spark.core.records import Reject, Row, hash_fraction, parse_names, parse_rows
from landmark_spark.schemas import LANDMARKS, NO_CLASS, RECORDS, REJECTS
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.stages.input_files import input_lines
from landmark_spark.store import gather

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

__all__ = ["check_headers", "csv_digests", "file_digest", "index_images"]

_SPLITS = ("test", "train", "non_landmark")  # an id in two files counts for the first of these
_PARSED = (
    "source string, split string, line_number long, id string, url string, landmark_id long, reason string, "
    "line string, rank_fraction double, holdout float"
)
_ROWS_A_BATCH = 10_000


def csv_digests(config: Config) -> dict[str, str]:
    """Return the SHA-256 of each csv file that the stage reads, by setting name: new contents make it run again.

    Raises ConfigError for a file that cannot be read.
    """
    names = ("train_csv", "test_csv", "non_landmark_csv", "landmarks_csv")
    paths = {name: getattr(config.inputs, name) for name in names}
    relative_urls = {"relative_urls": str(_allow_relative(config))}
    return {name: file_digest(f"inputs.{name}", path) for name, path in paths.items() if path} | relative_urls


def file_digest(setting: str, path: str) -> str:
    """Return the SHA-256 of an input file; raises ConfigError naming the setting for one that cannot be read."""
    digest = hashlib.sha256()
    try:
        with fsspec.open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    except (OSError, ValueError, ImportError) as error:
        raise ConfigError(f"{setting} should be a readable file. Received: {path} ({error})") from error
    return digest.hexdigest()


def index_images(context: Context) -> tuple[DataFrame, DataFrame, DataFrame]:
    """Validate the rows; decide shard, class index, reference rank and hold-out once, by hash."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    config = context.config
    check_headers(config)
    parsed = _parse(context).persist()
    valid = parsed.where("reason = ''")
    order = Window.partitionBy("id").orderBy(_priority(F.col("split")), "line_number")
    numbered = valid.withColumn("occurrence", F.row_number().over(order)).persist()
    unique = numbered.where("occurrence = 1")
    train = unique.where("split = 'train'")
    if train.isEmpty():
        refused = _count_reasons(parsed.where("split = 'train'")) or "no rows"
        raise ConfigError(f"inputs.train_csv should have at least one valid row. Received: {refused}")
    landmarks = _number_landmarks(context, train)
    within = Window.partitionBy("landmark_id").orderBy("rank_fraction", "id")
    ranks = train.select("id", (F.row_number().over(within) - 1).alias("reference_rank"))
    records = (
        unique.join(landmarks.select("landmark_id", "class_index"), on="landmark_id", how="left")
        .join(ranks, on="id", how="left")
        .withColumn("line_number", F.when(F.col("split") == "test", F.col("line_number")).otherwise(F.lit(0)))
        .withColumn("class_index", F.coalesce("class_index", F.lit(NO_CLASS)))
        .withColumn("reference_rank", F.coalesce("reference_rank", F.lit(NO_CLASS)))
        .withColumn("shard", (F.crc32(F.encode("id", "UTF-8")) % config.index.num_shards).cast("int"))
    )
    label = F.when(F.col("landmark_id") != NO_CLASS, F.col("landmark_id").cast("string"))
    repeated = (
        numbered.where("occurrence > 1")
        .withColumn("reason", F.lit("duplicate_id"))
        .withColumn("line", F.concat_ws(",", "id", "url", label))
    )
    rejects = parsed.where("reason != ''").unionByName(repeated.drop("occurrence"))
    if refused := _count_reasons(rejects):
        context.tell(f"index_images: rows of the csv files refused: {refused} (table rejects)")
    num_shards = config.index.num_shards
    return (
        gather(records, RECORDS, num_shards),
        gather(landmarks, LANDMARKS, num_shards),
        gather(rejects, REJECTS, num_shards),
    )


def _count_reasons(rejects: DataFrame) -> str:
    counts = rejects.groupBy("reason").count().orderBy("reason").collect()
    return ", ".join(f"{row['count']} {row['reason']}" for row in counts)


def _priority(split: Column) -> Column:
    from pyspark.sql import functions as F

    return F.array_position(F.array(*[F.lit(name) for name in _SPLITS]), split)


def _number_landmarks(context: Context, train: DataFrame) -> DataFrame:
    """Count the landmarks of the training set and number them by landmark id, from 0."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    counted = train.groupBy("landmark_id").agg(F.count("*").alias("num_train_images"))
    by_id = Window.partitionBy(F.lit(0)).orderBy("landmark_id")  # one partition: some 15,000 rows
    numbered = counted.withColumn("class_index", F.row_number().over(by_id) - 1)
    names = context.spark.createDataFrame(_names(context), "landmark_id long, name string")
    return numbered.join(F.broadcast(names), on="landmark_id", how="left").withColumn(
        "name", F.coalesce("name", F.lit(""))
    )


def _names(context: Context) -> list[tuple[int, str]]:
    path = context.config.inputs.landmarks_csv
    if not path:
        return []
    names, num_malformed = parse_names(input_lines("inputs.landmarks_csv", path), source=path)
    if num_malformed:
        context.tell(
            f"index_images: no name is taken of {counted(num_malformed, 'line')} of {path}: landmark_id,name is wanted"
        )
    return list(names.items())


def _sources(config: Config) -> list[tuple[str, str]]:
    paths = {split: getattr(config.inputs, f"{split}_csv") for split in _SPLITS}
    return [(split, path) for split, path in paths.items() if path]


def _allow_relative(config: Config) -> bool:
    return bool(config.base_url or config.serve_folder)


def check_headers(config: Config) -> None:
    """Read the first line of each file: raises HeaderError, and ConfigError for one that cannot be read."""
    for split, path in _sources(config):
        first = itertools.islice(input_lines(f"inputs.{split}_csv", path), 1)
        parse_rows(first, source=path, with_landmark=split == "train", allow_relative=True)


def _parse(context: Context) -> DataFrame:
    """Parse each file in a task of its own: 1.2M rows take seconds, and a line keeps its number."""
    sources = _sources(context.config)
    parse = _FileParser(context.config.index.seed, _allow_relative(context.config))
    frame = context.spark.createDataFrame(sources, "split string, path string")
    return frame.repartitionByRange(len(sources), "split").mapInArrow(parse, _PARSED)


class _FileParser:
    """Parses csv files inside a Spark task."""

    def __init__(self, seed: int, allow_relative: bool) -> None:
        self.seed = seed
        self.allow_relative = allow_relative

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for source in batch.to_pylist():
                yield from self._parse_file(source["split"], source["path"])

    def _parse_file(self, split: str, path: str) -> Iterator[pa.RecordBatch]:
        waiting: list[tuple[object, ...]] = []
        name = PurePosixPath(path).name
        lines = input_lines(f"inputs.{split}_csv", path)
        with_landmark = split == "train"
        for row in parse_rows(lines, source=path, with_landmark=with_landmark, allow_relative=self.allow_relative):
            waiting.append((name, split, *self._values(row)))
            if len(waiting) == _ROWS_A_BATCH:
                yield _to_batch(waiting)
                waiting = []
        yield _to_batch(waiting)

    def _values(self, row: Row | Reject) -> tuple[object, ...]:
        if isinstance(row, Reject):
            return (row.line_number, row.id, "", NO_CLASS, row.reason, row.line, 0.0, 0.0)
        landmark_id = NO_CLASS if row.landmark_id is None else row.landmark_id
        rank = hash_fraction(row.id, seed=self.seed, purpose="reference")
        holdout = hash_fraction(row.id, seed=self.seed, purpose="holdout")
        return (row.line_number, row.id, row.url, landmark_id, "", "", rank, holdout)


_PARSED_ARROW = pa.schema(
    [
        ("source", pa.string()),
        ("split", pa.string()),
        ("line_number", pa.int64()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("landmark_id", pa.int64()),
        ("reason", pa.string()),
        ("line", pa.string()),
        ("rank_fraction", pa.float64()),
        ("holdout", pa.float32()),
    ]
)


def _to_batch(rows: list[tuple[object, ...]]) -> pa.RecordBatch:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(_PARSED_ARROW)
    arrays = [pa.array(column, each.type) for column, each in zip(columns, _PARSED_ARROW, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=_PARSED_ARROW)
