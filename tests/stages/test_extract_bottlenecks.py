"""The extraction task on Arrow batches without a JVM, and in a session: one load a Python worker."""

import dataclasses
import os

import numpy as np
import pyarrow as pa
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from landmark_spark.config import load_config
from landmark_spark.core.backbone import NetworkPlan, build_network
from landmark_spark.core.images import decode_jpeg, encode_jpeg
from landmark_spark.core.jpeg_batches import DamagedImageError
from landmark_spark.core.weights import WeightsNotFound
from landmark_spark.schemas import BOTTLENECKS
from landmark_spark.settings import BackboneSettings, Config, ConfigError
from landmark_spark.stages import extract_bottlenecks as stage
from landmark_spark.stages.extract_bottlenecks import (
    BackboneTask,
    BatchTooLargeError,
    find_weights,
    regroup,
    weights_digest,
)
from landmark_spark.store import arrow_schema

SETTINGS = BackboneSettings(name="vgg16", weights="random", precision="float32", batch_size=4)


def picture(number):
    image = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
    return encode_jpeg(image, 95)


def rows(numbers, **changes):
    """A batch of the images table, as the stage selects it: the image comes last."""
    columns = {
        "id": [f"{number:016x}" for number in numbers],
        "split": ["train"] * len(numbers),
        "landmark_id": [number * 10 for number in numbers],
        "class_index": list(numbers),
        "reference_rank": list(numbers),
        "holdout": [number / 100 for number in numbers],
        "shard": [3] * len(numbers),
        "image": [picture(number) for number in numbers],
    } | changes
    types = {each.name: each.type for each in arrow_schema(BOTTLENECKS)} | {"image": pa.binary()}
    return pa.RecordBatch.from_arrays(
        [pa.array(values, types[name]) for name, values in columns.items()], names=list(columns)
    )


@pytest.fixture
def task(tmp_path):
    return BackboneTask(SETTINGS, 32, str(tmp_path), "")


@pytest.mark.parametrize("sizes", [[10], [3, 3, 4], [1] * 10, [4, 0, 4, 2], [0]])
def test_rows_are_regrouped_in_their_order(sizes):
    whole = rows(range(sum(sizes)))
    starts = np.cumsum([0, *sizes[:-1]])
    batches = [whole.slice(start, size) for start, size in zip(starts, sizes, strict=True)]
    groups = list(regroup(batches, 4))
    assert [each.num_rows for each in groups] == ([4, 4, 2] if sum(sizes) else [])
    assert [name for each in groups for name in each["id"].to_pylist()] == whole["id"].to_pylist()


def test_a_batch_beyond_the_size_of_a_column_is_refused_and_loses_no_row():
    large = pa.py_buffer(np.zeros(2**30 + 8, np.uint8))
    ends = pa.py_buffer(np.array([0, 2**30 + 8], np.int32))
    picture = pa.Array.from_buffers(pa.binary(), 1, [None, ends, large])  # 1 GiB, the same twice
    batches = [pa.record_batch([picture], names=["image"])] * 2
    with pytest.raises(BatchTooLargeError, match="a batch of 2 rows should have less than 2 GiB in a column"):
        list(regroup(batches, 4))


def test_features_beyond_the_size_of_a_column_are_refused(task, monkeypatch):
    monkeypatch.setattr(stage, "_MAX_COLUMN_BYTES", 2 * 512 * 4 - 1)  # of four images of 1x1x512 float16
    with pytest.raises(
        BatchTooLargeError, match="at most 4,095 bytes: lower backbone.batch_size .* 4,096 for 4 images"
    ):
        list(task(iter([rows(range(4))])))


def test_rows_keep_their_order_and_columns_and_get_the_networks_features(task):
    whole = rows(range(11))
    made = pa.Table.from_batches(task([whole.slice(0, 5), whole.slice(5)]))
    assert made.schema == arrow_schema(BOTTLENECKS)
    for name in made.schema.names:
        if name != "features":
            assert made[name].to_pylist() == whole[name].to_pylist()
    images = np.stack([decode_jpeg(data) for data in whole["image"].to_pylist()])
    expected = np.asarray(build_network(NetworkPlan(image_size=32, precision="float32"))(images))
    received = np.stack([np.frombuffer(each, "<f2") for each in made["features"].to_pylist()])
    np.testing.assert_allclose(received, expected.reshape(11, 512), rtol=2e-3, atol=1e-4)


def test_no_rows_give_no_rows(task):
    assert list(task([])) == list(task([rows([])])) == []


def test_pooled_features_are_a_vector(task):
    pooled = dataclasses.replace(task, settings=dataclasses.replace(SETTINGS, pooling="gem", name="mobilenetv3small"))
    made = next(iter(pooled([rows([1])])))
    assert len(made["features"][0].as_py()) == 2 * 576


def test_a_damaged_picture_in_the_store_is_named(task):
    damaged = rows([1, 2], image=[picture(1), b"damaged"])
    with pytest.raises(DamagedImageError, match="the stored picture 0000000000000002 should be a JPEG"):
        list(task([damaged]))


def test_a_network_that_there_is_not_or_that_takes_no_such_images_is_refused_before_the_run():
    with pytest.raises(ConfigError, match="backbone.name.* should be one of vgg16, .*. Received: 'vgg'"):
        find_weights(load_config(None, ["backbone.name=vgg", "backbone.weights=random"]))
    config = load_config(None, ["backbone.name=xception", "download.image_size=64", "backbone.weights=random"])
    with pytest.raises(ConfigError, match="image_size should be at least 71 for xception. Received: 64"):
        find_weights(config)
    with pytest.raises(WeightsNotFound, match="Received: .*nothing.h5"):
        find_weights(load_config(None, ["backbone.weights=nothing.h5"]))


def test_the_weights_decide_the_result_by_what_they_hold():
    random = Config(backbone=SETTINGS)
    assert weights_digest(random) == {}
    assert weights_digest(load_config(None, ["backbone.name=vgg", "backbone.weights=none.h5"])) == {
        "weights": "missing"
    }


@dataclasses.dataclass(frozen=True)
class Loads:
    """Extracts a partition; yields the worker that did, and how often that worker has loaded a network."""

    task: stage.BackboneTask

    def __call__(self, batches):
        assert list(self.task(batches))
        yield pa.RecordBatch.from_pydict({"worker": [os.getpid()], "loads": [stage._load.cache_info().misses]})


@pytest.mark.jvm
def test_a_worker_loads_the_network_once_for_all_its_tasks(spark, task):
    whole = pa.Table.from_batches([rows(range(8))])
    images = spark.createDataFrame(whole.to_pandas()).coalesce(2)
    loads = {}
    num_tasks = 0
    for _ in range(4):
        for row in images.mapInArrow(Loads(task), "worker long, loads long").collect():
            loads.setdefault(row.worker, set()).add(row.loads)
            num_tasks += 1
    assert num_tasks > len(loads)  # some worker had several
    assert all(len(each) == 1 for each in loads.values())
