"""Rows for a store, and what writes them in Spark's stead, for the tests and the processes that they start."""

from types import SimpleNamespace

import pyarrow as pa

from landmark_spark.commits import Stamp
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.schemas import PREDICTIONS
from landmark_spark.store import Store, spark_schema

__all__ = ["STAMP", "Frame", "rows", "write", "write_as_driver"]

STAMP = Stamp("predict_landmarks", "f")


def rows(shard, count, first=0):
    """Rows i0, i1, ... of one shard, as a task receives them."""
    schema = PREDICTIONS.schema.append(pa.field("shard", pa.int32()))
    values = [
        {"id": f"i{k}", "rank": 0, "landmark_id": k, "class_index": k, "score": 0.5, "shard": shard}
        for k in range(first, first + count)
    ]
    return pa.RecordBatch.from_pylist(values, schema=schema)


def write(store, batches, shards, expected=None):
    """Write one partition as a task does."""
    writer = PartitionWriter(store.url, PREDICTIONS, dict.fromkeys(shards, STAMP), expected or {})
    return list(writer(iter(batches)))


class Frame:
    """A DataFrame of one partition, as far as ``Store.write`` knows one."""

    def __init__(self, batches):
        self.batches = batches
        self.schema = spark_schema(PREDICTIONS)

    def select(self, *names):
        return self

    def mapInArrow(self, function, schema):
        found = [row for batch in function(iter(self.batches)) for row in batch.to_pylist()]
        return SimpleNamespace(collect=lambda: [SimpleNamespace(**row) for row in found])


def write_as_driver(store, batches, shards):
    """Write, commit and remove what is superseded, as the driver does."""
    return store.write(Frame(batches), PREDICTIONS, dict.fromkeys(shards, STAMP))


def read_ids(url):
    """Return the ids of the predictions that are visible."""
    return Store(url).read_arrow(PREDICTIONS, ["id"]).column("id").to_pylist()
