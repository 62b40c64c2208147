"""The stage that trains our own DELF, and extraction with what it leaves, on a handful of pictures."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from played_spark import PlayedSpark
from store_rows import STAMP

from landmark_spark.cli import main
from landmark_spark.commits import WHOLE, digest_of
from landmark_spark.config import load_config
from landmark_spark.core.delf_vgg16 import load_delf_vgg16
from landmark_spark.core.images import decode_jpeg, encode_jpeg
from landmark_spark.core.local_features import unpack_descriptors, unpack_keypoints
from landmark_spark.core.training_crops import load_cropping
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.schemas import DELF_MODEL, IMAGES, LANDMARKS, LOCAL_FEATURES, VERIFICATIONS
from landmark_spark.settings import ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.stages.delf_images import (
    LabelledImages,
    choose_images,
    iterate_groups,
    read_images,
    training_data,
)
from landmark_spark.stages.train_delf import check_delf, delf_also, train_delf
from landmark_spark.store import Store, arrow_schema

SETTINGS = [
    "index.num_shards=1",
    "backbone.weights=random",
    "backbone.precision=float32",
    "train.validation_fraction=0.5",
    "delf.layer=block3_conv3",
    "delf.scales=1.0 0.5",
    "delf.attention_units=4",
    "delf.dimensions=8",
    "delf.crop_size=32",
    "delf.batch_size=2",
    "delf.epochs=1",
    "delf.checkpoint_steps=1",
]
DELF, SIFT = "local_features.kind=delf_vgg16", "local_features.kind=sift"


def rows():
    """Six training pictures of two landmarks: i5 failed, i4 has no larger copy; and a test picture."""
    random = np.random.default_rng(0)
    for number in range(7):
        is_train = number < 6
        pixels = random.integers(0, 256, (64 + 8 * number, 80, 3), dtype=np.uint8)
        yield {
            "id": f"i{number}",
            "split": "train" if is_train else "test",
            "landmark_id": (70, 8)[number % 2] if is_train else -1,
            "class_index": number % 2 if is_train else -1,
            "reference_rank": number // 2 if is_train else -1,
            "holdout": 0.25 if number in (0, 3) else 0.75,
            "status": "ok" if number != 5 else "timeout",
            "large_image": encode_jpeg(pixels, 95) if number not in (4, 5) else None,
            "num_train_images": 3,
        }


def write(store, table, found):
    schema = arrow_schema(table)
    empty = {pa.string(): "", pa.int32(): 0, pa.int64(): 0, pa.float32(): 0.0}
    filled = [
        {each.name: row.get(each.name, None if each.nullable else empty.get(each.type)) for each in schema}
        for row in ({**row, "shard": 0} for row in found)
    ]
    shards = (0,) if table.sharded else (WHOLE,)
    batch = pa.RecordBatch.from_pylist(filled, schema=schema)
    list(PartitionWriter(store.url, table, dict.fromkeys(shards, STAMP), {})(iter([batch])))


def context_of(store, *more):
    return Context(PlayedSpark(), store, load_config(None, [*SETTINGS, *more]), (WHOLE,), print)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with a trained model."""
    store = Store(str(tmp_path_factory.mktemp("store")))
    write(store, IMAGES, rows())
    write(store, LANDMARKS, list(rows())[:2])
    checkpoints = store.path("_checkpoints/train_delf")
    files = train_delf(context_of(store, DELF), None, None)
    left = list(store.file_system.find(checkpoints))
    return SimpleNamespace(store=store, commit=store.commit_artifact(DELF_MODEL, files, STAMP), checkpoints=left)


def test_it_leaves_network_pca_history_and_plan_and_had_its_checkpoints_in_the_store(made):
    names = {each.path.rpartition("/")[2] for each in made.commit.files}
    assert names == {"delf.keras", "pca.npz", "delf.json", "history.json", "events.out.tfevents.history"}
    assert [name.rpartition("/")[2] for name in made.checkpoints] == ["measured.npz"]
    with made.store.local_files(made.commit) as files:
        history = json.loads(files["history.json"].read_text())
        extract = load_delf_vgg16(files["delf.json"].parent, max_keypoints=20)
    assert {name: len(values) for name, values in history.items()} == {
        "loss": 1,
        "val_loss": 1,
        "val_accuracy": 1,
        "val_gap": 1,
    }
    (found,) = extract([decode_jpeg(list(rows())[6]["large_image"])])
    assert found.descriptors.shape == (20, 8)


def test_where_another_kind_is_chosen_there_is_a_note_and_no_model(made):
    (file,) = train_delf(context_of(made.store, SIFT), None, None)
    assert file.path.endswith("/delf.json")
    assert json.loads(made.store.read_bytes(file.path)) == {"trained": False}


def test_the_model_depends_on_the_weights_only_where_it_is_wanted():
    assert delf_also(load_config(None, [*SETTINGS, SIFT])) == {"local_features.kind": "another"}
    wanted = delf_also(load_config(None, [*SETTINGS, DELF]))
    assert wanted["local_features.kind"] == "delf_vgg16"
    assert wanted["backbone.precision"] == "float32"


def test_scales_that_are_none_are_refused_before_the_run_where_the_model_is_wanted():
    check_delf(load_config(None, [*SETTINGS, SIFT, "delf.scales=large"]))
    with pytest.raises(ConfigError, match="delf: scales should be numbers with spaces between. Received: 'large'"):
        check_delf(load_config(None, [*SETTINGS, DELF, "delf.scales=large"]))
    with pytest.raises(ConfigError, match="scales should be above 0"):
        check_delf(load_config(None, [*SETTINGS, DELF, "delf.scales=0 1"]))


def test_the_first_references_of_all_landmarks_come_first(made):
    assert choose_images(made.store, max_rank=9, max_images=9) == ("i0", "i1", "i2", "i3", "i4")
    assert choose_images(made.store, max_rank=1, max_images=9) == ("i0", "i1")
    assert choose_images(made.store, max_rank=9, max_images=3) == ("i0", "i1", "i2")


def read(made, *ids):
    return read_images(made.store, made.store.files(IMAGES, [0]), ids, 0.5)


def test_images_come_with_class_and_hold_out_and_without_those_that_have_no_larger_copy(made):
    found = read(made, "i3", "i4", "i0", "i2")
    assert [decode_jpeg(each).shape for each in found.jpegs] == [(64, 80, 3), (80, 80, 3), (88, 80, 3)]
    assert found.labels.tolist() == [0, 0, 1]
    assert found.is_held_out.tolist() == [False, False, True]  # i0 is its landmark's first: it is never held out


def test_an_epoch_has_each_image_once_in_its_order_whatever_was_done_before_and_by_however_many():
    jpegs = [encode_jpeg(np.full((40, 40, 3), 20 * number, np.uint8), 95) for number in range(7)]
    images = LabelledImages(jpegs, np.arange(7, dtype=np.int32), np.arange(7) == 6)

    def data(rank=0, num_ranks=1):
        return training_data(images, load_cropping(32), batch_size=4, seed=0, rank=rank, num_ranks=num_ranks)

    first, second = data().train(0, 0)
    assert sorted([*first.labels, *second.labels]) == [0, 1, 2, 3, 4, 5]
    assert (first.num_examples, second.num_examples) == (4, 2)
    np.testing.assert_allclose(first.features.mean(axis=(1, 2, 3)), 20 * first.labels, atol=2)
    (resumed,) = data().train(0, 1)
    np.testing.assert_array_equal(resumed.features, second.features)
    shares = [[batch.labels.tolist() for batch in data(rank, 2).train(0, 0)] for rank in (0, 1)]
    assert shares[0][0] + shares[1][0] == first.labels.tolist()
    ((pieces, labels),) = data().validation()
    assert (pieces.shape, labels.tolist()) == ((1, 32, 32, 3), [6])


def test_without_an_image_to_train_on_it_says_so():
    with pytest.raises(ValueError, match="there should be training images with a larger copy"):
        training_data(
            LabelledImages([], np.zeros(0, np.int32), np.zeros(0, np.bool_)), load_cropping(32), batch_size=4, seed=0
        )


def test_the_pca_sees_images_evenly_spread():
    jpegs = [encode_jpeg(np.full((8, 8, 3), 20 * number, np.uint8), 95) for number in range(9)]
    images = LabelledImages(jpegs, np.zeros(9, np.int32), np.zeros(9, np.bool_))
    groups = list(iterate_groups(images, num_images=5, size=2))
    assert [[round(float(each.mean()) / 20) for each in group] for group in groups] == [[0, 2], [4, 6], [8]]
    assert list(iterate_groups(LabelledImages([], images.labels, images.is_held_out), num_images=5, size=2)) == []


@pytest.mark.jvm
def test_the_whole_pipeline_runs_with_it(finished, tmp_path, tiny_arguments):
    store = tmp_path / "store"
    shutil.copytree(finished, store)
    chosen = ["delf.epochs=1", "delf.scales=0.5", "delf.attention_units=8", "delf.dimensions=16"]
    assert main(tiny_arguments("run", store, DELF, "local_features.max_keypoints=50", *chosen)) == 0
    kept = Store(str(store))
    columns = ["keypoints", "descriptors", "num_keypoints", "width", "height"]
    found = kept.read_arrow(LOCAL_FEATURES, columns).to_pylist()
    assert len(found) > 20
    for row in found:
        keypoints = unpack_keypoints(row["keypoints"])
        assert unpack_descriptors(row["descriptors"], row["num_keypoints"]).shape == (50, 16)
        assert (keypoints < [row["width"], row["height"]]).all()
    model = {"delf_model": digest_of({WHOLE: kept.commits(DELF_MODEL)[WHOLE].digest})}
    assert all(model.items() <= each.stamp.inputs.items() for each in kept.commits(LOCAL_FEATURES).values())
    assert kept.read_arrow(VERIFICATIONS, ["num_inliers"]).num_rows == sum(
        commit.num_rows for commit in kept.commits(VERIFICATIONS).values()
    )
