"""What the training loop is fed, and where its checkpoints are; without Spark."""

import dataclasses
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from landmark_spark.commits import WHOLE, Commit, FileEntry, Stamp
from landmark_spark.feed import FeedError
from landmark_spark.schemas import BOTTLENECKS, LANDMARKS, TOP_MODEL
from landmark_spark.stages.training_feed import TrainingFeed, as_they_are
from landmark_spark.stages.training_process import checkpoint_folder
from landmark_spark.store import Store

SIZES = (2, 6, 16)  # of the classes; each landmark's first reference is never held out


def row(number, label, rank, split="train"):
    features = np.array([number, label], np.float16).tobytes()
    values = {"id": f"i{number}", "split": split, "landmark_id": label, "class_index": label}
    return values | {"reference_rank": rank, "holdout": (number % 4) / 4, "features": features}


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "part-0.parquet"
    labels = [(label, rank) for label, size in enumerate(SIZES) for rank in range(size)]
    rows = [row(number, label, rank) for number, (label, rank) in enumerate(labels)]
    pq.write_table(pa.Table.from_pylist([*rows, row(99, -1, -1, "test")], schema=BOTTLENECKS.schema), path)
    return TrainingFeed(
        urls=(f"file://{path}",),
        column="features",
        num_classes=3,
        batch_size=5,
        validation_fraction=0.25,
        class_balance="none",
        seed=3,
    )


def numbers(batches):
    return [batch.features[:, 0].astype(int).tolist() for batch in batches]


def test_every_epoch_has_every_row_once_in_another_order(feed):
    data = feed.data("everything", as_they_are)
    first, second = numbers(data.train(0, 0)), numbers(data.train(1, 0))
    assert [len(each) for each in first] == [5, 5, 5, 5, 4]
    assert sorted(chain(*first)) == sorted(chain(*second)) == list(range(24))
    assert first != second
    assert numbers(data.train(0, 0)) == first
    assert data.validation is None


def test_an_epoch_gone_on_with_lacks_its_first_steps(feed):
    data = feed.data("everything", as_they_are)
    assert numbers(data.train(1, 3)) == numbers(data.train(1, 0))[3:]


def test_what_is_held_out_is_not_trained_on(feed):
    data = feed.data("train", as_they_are)
    held_out = [int(number) for features, _ in data.validation() for number in features[:, 0]]
    assert held_out == [4, 12, 16, 20]  # every fourth, but 0 and 8, the first of their landmarks
    assert sorted(chain(*numbers(data.train(0, 0)))) == [each for each in range(24) if each not in held_out]


def test_two_workers_have_the_rows_of_one_between_them(feed):
    whole = list(feed.data("everything", as_they_are).train(2, 0))
    halves = [
        list(dataclasses.replace(feed, rank=rank, num_ranks=2).data("everything", as_they_are).train(2, 0))
        for rank in (0, 1)
    ]
    assert [a + b for a, b in zip(*map(numbers, halves), strict=True)] == numbers(whole)
    assert [batch.num_examples for batch in halves[1]] == [5, 5, 5, 5, 4]
    assert [len(batch.labels) for batch in halves[0]] == [2, 2, 2, 2, 2]


def test_weights_are_those_of_the_classes_sizes(feed):
    weighted = dataclasses.replace(feed, class_balance="weights")
    for batch in weighted.data("everything", as_they_are).train(0, 0):
        np.testing.assert_allclose(batch.weights, [24 / (3 * SIZES[label]) for label in batch.labels])


def test_sampling_keeps_the_steps_and_evens_the_classes(feed):
    sampled = dataclasses.replace(feed, class_balance="sqrt_sampling")
    batches = list(sampled.data("everything", as_they_are).train(0, 0))
    assert [batch.num_examples for batch in batches] == [5, 5, 5, 5, 4]
    counts = np.bincount(np.concatenate([batch.labels for batch in batches]), minlength=3)
    # Roots 1.414, 2.449 and 4 of 7.863 in all: 4.3, 7.5 and 12.2 of 24.
    assert np.all(np.abs(counts - [4.3, 7.5, 12.2]) < 1)
    assert all(np.all(batch.weights == 1) for batch in batches)


def test_each_step_has_a_seed_of_its_own_the_same_for_all_workers_and_held_out_rows_have_none(feed):
    draws = []

    def note(values, draw):
        draws.append(draw)
        return values

    for rank in (0, 1):
        data = dataclasses.replace(feed, rank=rank, num_ranks=2).data("train", note)
        list(data.train(0, 0))
        list(data.train(1, 0))
    first, second = draws[:8], draws[8:]  # two epochs of four steps
    assert [each.seed for each in first] == [each.seed for each in second]
    assert len({each.seed for each in first}) == 8
    assert [(each.first, each.num_rows) for each in first[:4]] == [(0, 5)] * 4
    assert [(each.first, each.num_rows) for each in second[:4]] == [(2, 5)] * 4
    draws.clear()
    list(data.validation())
    assert draws == [None]


def test_a_part_without_rows_is_refused(feed):
    with pytest.raises(FeedError, match="features should be there for at least one training image. Received: none"):
        dataclasses.replace(feed, validation_fraction=0.0).data("validation", as_they_are)


def test_the_size_of_the_features_is_that_of_the_first_row(feed):
    assert feed.feature_size() == 2


def committed(store, table, digest):
    return store.commit(Commit(table.name, WHOLE, 0, digest, (FileEntry("x", 1, digest),), Stamp("s", "f")))


def test_checkpoints_belong_to_the_settings_and_the_inputs(tmp_path):
    store = Store(str(tmp_path))
    committed(store, LANDMARKS, "a")
    folder = checkpoint_folder("train_top_model", store, (LANDMARKS,), {"train.epochs": 3})
    assert folder == checkpoint_folder("train_top_model", Store(str(tmp_path)), (LANDMARKS,), {"train.epochs": 3})
    assert folder != checkpoint_folder("train_top_model", store, (LANDMARKS,), {"train.epochs": 4})
    committed(store, LANDMARKS, "b")
    assert folder != checkpoint_folder("train_top_model", store, (LANDMARKS,), {"train.epochs": 3})


def test_a_committed_model_takes_the_checkpoints_of_its_stage_away(tmp_path):
    store = Store(str(tmp_path / "store"))
    for stage in ("train_top_model", "fine_tune"):
        store.write_bytes(f"_checkpoints/{stage}/0123/kept.npz", b"weights")
    model = store.write_bytes("top_model/1/model.keras", b"model")
    store.commit_artifact(TOP_MODEL, (model,), Stamp("train_top_model", "f"))
    assert store.read_bytes("_checkpoints/train_top_model/0123/kept.npz") is None
    assert store.read_bytes("_checkpoints/fine_tune/0123/kept.npz") == b"weights"
