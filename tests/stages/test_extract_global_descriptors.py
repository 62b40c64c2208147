"""The descriptor task on Arrow batches without a JVM, and the stage in a session."""

import dataclasses
import os

import cv2
import numpy as np
import pyarrow as pa
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from landmark_spark.config import load_config
from landmark_spark.core.descriptor_network import DescriptorPlan, build_descriptor_network
from landmark_spark.core.images import decode_jpeg, encode_jpeg
from landmark_spark.core.jpeg_batches import DamagedImageError
from landmark_spark.core.weights import WeightsError, WeightsNotFound
from landmark_spark.retrieval_settings import DescriptorSettings
from landmark_spark.schemas import GLOBAL_DESCRIPTORS, IMAGES
from landmark_spark.settings import ConfigError
from landmark_spark.stages import extract_global_descriptors as stage
from landmark_spark.stages.context import Context
from landmark_spark.stages.extract_global_descriptors import (
    DescriptorError,
    DescriptorTask,
    descriptors_also,
    extract_global_descriptors,
    find_descriptor_networks,
)
from landmark_spark.store import Store, arrow_schema, spark_schema

SETTINGS = DescriptorSettings(networks="vgg16", sides="64", precision="float32", batch_size=2)
SHAPES = ((96, 128), (128, 96), (80, 120), (100, 100))


def picture(number):
    height, width = SHAPES[number % len(SHAPES)]
    return encode_jpeg(np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8), 90)


def rows(numbers, **changes):
    """A batch of the images table, as the stage selects it: the larger copy comes last."""
    columns = {
        "id": [f"{number:016x}" for number in numbers],
        "split": ["train"] * len(numbers),
        "landmark_id": [number * 10 for number in numbers],
        "class_index": list(numbers),
        "reference_rank": list(numbers),
        "shard": [number % 2 for number in numbers],
        "large_image": [picture(number) for number in numbers],
    } | changes
    types = {each.name: each.type for each in arrow_schema(GLOBAL_DESCRIPTORS)} | {"large_image": pa.binary()}
    return pa.RecordBatch.from_arrays(
        [pa.array(values, types[name]) for name, values in columns.items()], names=list(columns)
    )


def vectors(table):
    return np.stack([np.frombuffer(each, "<f2") for each in table["descriptor"].to_pylist()]).astype(np.float32)


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def expected_of(jpegs, network, *, flip=False):
    """The descriptors of some pictures, one view at a time, resized by OpenCV to a longest side of 64."""
    found = []
    for data in jpegs:
        image = decode_jpeg(data)
        factor = 64 / max(image.shape)
        size = (round(image.shape[1] * factor), round(image.shape[0] * factor))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        views = [small, small[:, ::-1]] if flip else [small]
        found.append(sum(unit(np.asarray(network(view[None]))) for view in views))
    return unit(np.concatenate(found))


@pytest.fixture(scope="module")
def vgg16():
    return build_descriptor_network(DescriptorPlan(precision="float32"))


@pytest.fixture
def task(tmp_path):
    return DescriptorTask(SETTINGS, str(tmp_path), ("",))


def changed(task, **changes):
    return dataclasses.replace(task, settings=dataclasses.replace(task.settings, **changes))


@pytest.mark.parametrize("flip", [False, True])
def test_rows_keep_their_order_and_columns_and_get_the_networks_vectors(task, vgg16, flip):
    whole = rows(range(11))  # more than four batches of two
    made = pa.Table.from_batches(changed(task, flip=flip)([whole.slice(0, 5), whole.slice(5)]))
    assert made.schema == arrow_schema(GLOBAL_DESCRIPTORS)
    for name in made.schema.names:
        if name != "descriptor":
            assert made[name].to_pylist() == whole[name].to_pylist()
    received = vectors(made)
    assert received.shape == (11, 512)
    np.testing.assert_allclose(np.linalg.norm(received, axis=1), 1, atol=1e-3)
    expected = expected_of(whole["large_image"].to_pylist(), vgg16, flip=flip)
    np.testing.assert_allclose(received, expected, rtol=2e-3, atol=1e-4)


def test_an_image_has_the_same_descriptor_whatever_is_in_its_batch(task):
    many = changed(task, sides="64 96", flip=True, crops="five", batch_size=4)
    together = vectors(pa.Table.from_batches(many([rows(range(6))])))
    alone = [vectors(next(iter(many([rows([number])])))) for number in range(6)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=2e-3, atol=1e-5)
    backwards = vectors(pa.Table.from_batches(many([rows(range(5, -1, -1))])))
    np.testing.assert_allclose(together, backwards[::-1], rtol=2e-3, atol=1e-5)


def test_the_vectors_of_several_networks_stand_one_after_the_other_with_equal_shares(task):
    both = dataclasses.replace(changed(task, networks="vgg16 mobilenetv3small"), weights=("", ""))
    other = changed(task, networks="mobilenetv3small")
    joined, first, second = (vectors(next(iter(each([rows([1, 2])])))) for each in (both, task, other))
    assert joined.shape == (2, 512 + 576)
    expected = np.concatenate([first, second], axis=1) / np.sqrt(2)
    np.testing.assert_allclose(joined, expected, rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(joined, axis=1), 1, atol=1e-3)


def test_no_rows_give_no_rows(task):
    assert list(task([])) == list(task([rows([])])) == []


def test_a_damaged_picture_in_the_store_is_named(task):
    damaged = rows([1, 2], large_image=[picture(1), b"damaged"])
    with pytest.raises(DamagedImageError, match="the stored picture 0000000000000002 should be a JPEG. Received: "):
        list(task([damaged]))


def test_a_descriptor_that_is_none_is_refused_by_name(task, monkeypatch):
    monkeypatch.setattr(stage, "_load", lambda _: (lambda batch: np.full((len(batch), 3), np.nan, np.float32),))
    with pytest.raises(DescriptorError, match="the descriptor of 0000000000000003 should be of finite numbers"):
        list(task([rows([3])]))


def config_of(*overrides):
    return load_config(None, ["backbone.weights=random", *overrides])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("networks=lenet", "should be one of vgg16, .*. Received: 'lenet'"),
        ("networks=vgg16 vgg16", "each once, with spaces between. Received: 'vgg16 vgg16'"),
        ("networks=''", "should be named, each once"),
        ("sides=31", "integers from 32 to 4096, spaces between. Received: '31'"),
        ("sides=256 4097", "integers from 32 to 4096, spaces between. Received: '256 4097'"),
    ],
)
def test_networks_and_sides_that_there_are_not_are_refused_before_the_run(override, message):
    with pytest.raises(ConfigError, match=f"descriptors.networks, descriptors.sides: .*{message}"):
        find_descriptor_networks(config_of(f"descriptors.{override}"))


def test_a_network_that_takes_no_such_images_is_refused_before_the_run():
    with pytest.raises(ConfigError, match="image_size should be at least 71 for xception. Received: 64"):
        find_descriptor_networks(
            config_of("backbone.name=xception", "descriptors.networks=xception", "descriptors.sides=256 64")
        )


def test_weights_that_are_not_there_are_told_before_the_run(tmp_path):
    find_descriptor_networks(config_of())
    with pytest.raises(WeightsNotFound, match="Received: .*nothing.h5"):
        find_descriptor_networks(load_config(None, ["backbone.weights=nothing.h5"]))
    path = tmp_path / "other.weights.h5"
    path.write_bytes(b"of something else")
    with pytest.raises(WeightsError, match="mobilenet should be built with the weights of .*other.weights.h5"):
        find_descriptor_networks(
            load_config(None, ["backbone.name=mobilenet", f"backbone.weights={path}", "descriptors.networks=mobilenet"])
        )


def test_the_result_depends_on_what_the_weights_of_each_network_hold():
    assert descriptors_also(config_of()) == {}
    assert descriptors_also(config_of("descriptors.networks=vgg16 resnet50")) == {
        "resnet50 weights": "keras.applications imagenet resnet50"
    }
    missing = load_config(None, ["backbone.name=resnet50", "backbone.weights=none.h5", "descriptors.networks=resnet50"])
    assert descriptors_also(missing) == {"resnet50 weights": "missing"}
    assert "vgg16 weights" in descriptors_also(load_config(None, ["backbone.name=resnet50"]))


@dataclasses.dataclass(frozen=True)
class Loads:
    """Describes a partition; yields the worker that did, and how often that worker has loaded networks."""

    task: DescriptorTask

    def __call__(self, batches):
        assert list(self.task(batches))
        yield pa.RecordBatch.from_pydict({"worker": [os.getpid()], "loads": [stage._load.cache_info().misses]})


@pytest.mark.jvm
def test_a_worker_loads_the_networks_once_for_all_its_tasks(spark, task):
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


def image_row(number, **changes):
    return (
        dict.fromkeys(IMAGES.schema.names)
        | {"id": f"{number:016x}", "split": "test", "landmark_id": -1, "class_index": -1, "reference_rank": -1}
        | {"holdout": 0.5, "status": "ok", "large_image": picture(number), "shard": number % 2}
        | dict.fromkeys(("width", "height", "num_bytes", "num_attempts"), 1)
        | dict.fromkeys(("sha256", "host", "url", "final_url"), "")
        | changes
    )


@pytest.mark.jvm
def test_the_stage_describes_every_image_that_keeps_a_larger_copy(spark, tmp_path, vgg16):
    config = config_of("descriptors.sides=64", "descriptors.precision=float32")
    store = Store(str(tmp_path / "store"))
    found = [image_row(0), image_row(1), image_row(2, large_image=None), image_row(3, status="http_404"), image_row(4)]
    images = spark.createDataFrame(
        [tuple(row[name] for name in spark_schema(IMAGES).names) for row in found], spark_schema(IMAGES)
    )
    made = extract_global_descriptors(Context(spark, store, config, (0, 1), print), images)
    assert made.schema.names == arrow_schema(GLOBAL_DESCRIPTORS).names
    received = made.orderBy("id").collect()
    assert [(int(row.id, 16), row.split, row.shard) for row in received] == [
        (0, "test", 0),
        (1, "test", 1),
        (4, "test", 0),
    ]
    descriptors = np.stack([np.frombuffer(row.descriptor, "<f2") for row in received]).astype(np.float32)
    expected = expected_of([picture(number) for number in (0, 1, 4)], vgg16)
    np.testing.assert_allclose(descriptors, expected, rtol=2e-3, atol=1e-4)
