import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from landmark_spark.feed import FeedError, iterate_batches, load_feed
from landmark_spark.schemas import BOTTLENECKS

SIZE = 6


def write_rows(path, rows, rows_per_group, schema=BOTTLENECKS.schema):
    values = [
        {
            "id": f"id{number}",
            "split": split,
            "landmark_id": number,
            "class_index": class_index,
            "reference_rank": rank,
            "holdout": holdout,
            "features": np.full(SIZE, number, "<f2").tobytes(),
        }
        for number, split, class_index, rank, holdout in rows
    ]
    pq.write_table(pa.Table.from_pylist(values, schema=schema), path, row_group_size=rows_per_group)
    return path.as_uri()


def training_rows(first, count):
    return [(number, "train", number % 3, 1 + number, (number % 10) / 10) for number in range(first, first + count)]


def numbers(batches):
    return [int(value) for features, _ in batches for value in features[:, 0]]


@pytest.mark.parametrize("rows_per_group", [1, 7, 1000])
def test_every_row_comes_exactly_once_in_its_part(tmp_path, rows_per_group):
    urls = [
        write_rows(tmp_path / "a.parquet", training_rows(0, 60), rows_per_group),
        write_rows(tmp_path / "b.parquet", training_rows(60, 40), rows_per_group),
    ]
    for seed in range(5):
        options = {"batch_size": 8, "validation_fraction": 0.25, "seed": seed, "shuffle_rows": 16}
        train = numbers(iterate_batches(urls, "train", **options))
        held_out = numbers(iterate_batches(urls, "validation", **options))
        # holdout is the last digit over 10: digits 0, 1, 2 are below 0.25.
        assert sorted(train) == [n for n in range(100) if n % 10 > 2]
        assert sorted(held_out) == [n for n in range(100) if n % 10 <= 2]
        assert sorted(numbers(iterate_batches(urls, "everything", **options))) == list(range(100))


def test_the_same_seed_gives_the_same_order_and_another_gives_another(tmp_path):
    url = write_rows(tmp_path / "a.parquet", training_rows(0, 100), 9)
    options = {"batch_size": 10, "validation_fraction": 0.0, "shuffle_rows": 32}
    first, again, other = (numbers(iterate_batches([url], "train", seed=seed, **options)) for seed in (1, 1, 2))
    assert first == again
    assert first != other
    assert sorted(first) == sorted(other) == list(range(100))


def test_labels_stay_with_their_features(tmp_path):
    url = write_rows(tmp_path / "a.parquet", training_rows(0, 50), 9)
    for features, labels in iterate_batches([url], "train", batch_size=7, validation_fraction=0.0, seed=3):
        assert features.dtype == np.float16
        np.testing.assert_array_equal(features[:, 0].astype(int) % 3, labels)


def test_a_landmarks_first_reference_is_never_held_out(tmp_path):
    rows = [(0, "train", 0, 0, 0.01), (1, "train", 0, 1, 0.01), (2, "train", 1, 0, 0.5)]
    url = write_rows(tmp_path / "a.parquet", rows, 10)
    options = {"batch_size": 4, "validation_fraction": 0.1, "seed": 0}
    assert sorted(numbers(iterate_batches([url], "train", **options))) == [0, 2]
    assert numbers(iterate_batches([url], "validation", **options)) == [1]


def test_only_training_images_are_fed(tmp_path):
    rows = [(0, "train", 0, 0, 0.5), (1, "test", -1, -1, 0.5), (2, "non_landmark", -1, -1, 0.5)]
    url = write_rows(tmp_path / "a.parquet", rows, 10)
    assert numbers(iterate_batches([url], "train", batch_size=4, validation_fraction=0.1, seed=0)) == [0]


def test_a_training_row_without_a_class_is_an_error(tmp_path):
    url = write_rows(tmp_path / "a.parquet", [(0, "train", -1, 0, 0.5)], 10)
    with pytest.raises(FeedError, match="class_index should be 0 or more"):
        next(iterate_batches([url], "train", batch_size=4, validation_fraction=0.1, seed=0))


def test_a_nullable_label_column_is_an_error(tmp_path):
    schema = pa.schema([each.with_nullable(True) for each in BOTTLENECKS.schema])
    url = write_rows(tmp_path / "a.parquet", [(0, "train", None, 0, 0.5), (1, "train", 1, 0, 0.5)], 10, schema)
    with pytest.raises(FeedError, match="class_index should be an integer in every row"):
        next(iterate_batches([url], "train", batch_size=4, validation_fraction=0.1, seed=0))


def test_the_dataset_starts_a_new_epoch_on_each_pass(tmp_path):
    def batches(epoch):
        yield np.full((2, SIZE), epoch, np.float16), np.array([0, 1], np.int32)

    dataset = load_feed(batches, SIZE)
    assert [float(features[0, 0]) for _ in range(3) for features, _ in dataset] == [0.0, 1.0, 2.0]
