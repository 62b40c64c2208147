import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from petastorm.workers_pool import EmptyResultError
from petastorm.workers_pool.thread_pool import ThreadPool

from landmark_spark import feed
from landmark_spark.core.training_rows import RowChoice
from landmark_spark.feed import FeedError, count_labels, iterate_batches, read_row_groups
from landmark_spark.feed_rows import feature_groups
from landmark_spark.feed_worker import RowGroupWorker
from landmark_spark.schemas import BOTTLENECKS, IMAGES

SIZE = 6
OPTIONS = {"batch_size": 4, "validation_fraction": 0.1, "seed": 0}


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


def test_row_groups_come_in_an_order_of_the_seed_and_in_that_of_the_files_without_one(tables):
    def first_numbers(seed):
        groups = read_row_groups(tables[24], RowChoice("everything", 0.0), "features", seed=seed)
        return [int(np.frombuffer(table.column("features")[0].as_py(), "<f2")[0]) for table in groups]

    assert first_numbers(None) == list(range(24))
    assert first_numbers(1) == first_numbers(1) != first_numbers(2)
    assert first_numbers(1) != list(range(24))


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


@pytest.mark.parametrize("kind", [pa.null(), pa.float64(), pa.string()])
def test_a_label_column_that_is_empty_or_no_integer_is_an_error(tmp_path, kind):
    rows = pa.Table.from_pylist([], schema=BOTTLENECKS.schema)
    place = rows.schema.get_field_index("class_index")
    pq.write_table(rows.set_column(place, "class_index", pa.array([], kind)), tmp_path / "a.parquet")
    with pytest.raises(FeedError, match=f"class_index should be an integer in every row. Received: .* type {kind}"):
        next(iterate_batches([(tmp_path / "a.parquet").as_uri()], "train", **OPTIONS))


def test_a_column_that_is_not_there_is_an_error(tmp_path):
    rows = pa.Table.from_pylist([], schema=BOTTLENECKS.schema).drop_columns(["class_index", "holdout"])
    pq.write_table(rows, tmp_path / "a.parquet")
    with pytest.raises(FeedError, match="Received: none of class_index, holdout"):
        next(iterate_batches([(tmp_path / "a.parquet").as_uri()], "train", **OPTIONS))


def test_a_null_label_of_a_row_that_no_training_sees_is_none_of_its_business(tmp_path):
    schema = pa.schema([each.with_nullable(True) for each in BOTTLENECKS.schema])
    url = write_rows(tmp_path / "a.parquet", [(0, "train", 1, 0, 0.5), (1, "test", None, 0, 0.5)], 10, schema)
    assert numbers(iterate_batches([url], "train", **OPTIONS)) == [0]


def test_rows_of_different_lengths_are_an_error(tmp_path):
    url = write_rows(tmp_path / "a.parquet", training_rows(0, 4), 10)
    rows = pq.read_table(tmp_path / "a.parquet")
    longer = pa.array([bytes(12), bytes(12), bytes(14), bytes(12)], pa.binary())
    pq.write_table(rows.set_column(6, BOTTLENECKS.schema.field("features"), longer), tmp_path / "b.parquet")
    with pytest.raises(FeedError, match="Received: 12 to 14 bytes"):
        next(iterate_batches([(tmp_path / "b.parquet").as_uri()], "train", **OPTIONS))
    longer = pa.array([bytes(14)] * 4, pa.binary())
    pq.write_table(rows.set_column(6, BOTTLENECKS.schema.field("features"), longer), tmp_path / "b.parquet")
    with pytest.raises(FeedError, match="features should have (6|7) values in every row"):
        list(iterate_batches([url, (tmp_path / "b.parquet").as_uri()], "train", **OPTIONS))


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"rank": 2, "num_ranks": 2}, {"rank": -1}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match="should be at least"):
        next(iterate_batches(["file:///a.parquet"], "train", **OPTIONS | options))


def test_a_training_without_files_is_an_error():
    with pytest.raises(FeedError, match="urls should name at least one file"):
        next(iterate_batches([], "train", **OPTIONS))


def test_the_ranks_share_the_batches_of_one(tmp_path):
    url = write_rows(tmp_path / "a.parquet", training_rows(0, 50), 9)
    options = {"batch_size": 7, "validation_fraction": 0.0, "seed": 3}
    whole = list(iterate_batches([url], "train", **options))
    first, second = (list(iterate_batches([url], "train", rank=rank, num_ranks=2, **options)) for rank in (0, 1))
    assert len(whole) == len(first) == len(second) == 8
    for number, (features, labels) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([first[number][0], second[number][0]]), features)
        np.testing.assert_array_equal(np.concatenate([first[number][1], second[number][1]]), labels)
    assert [len(labels) for _, labels in first] == [3] * 7 + [0]  # 50 rows: seven batches of 7, and one row


def write_images(path, statuses, rows_per_group):
    blank = {"landmark_id": 0, "reference_rank": 1, "width": 1, "height": 1, "num_bytes": 1, "num_attempts": 1}
    texts = {"sha256": "", "host": "", "url": "", "final_url": "", "large_image": b"large"}
    values = [
        {
            **blank,
            **texts,
            "id": f"id{number}",
            "split": "train",
            "class_index": number % 3,
            "holdout": (number % 10) / 10,
            "status": status,
            "image": b"jpeg %d" % number if status == "ok" else None,
        }
        for number, status in enumerate(statuses)
    ]
    pq.write_table(pa.Table.from_pylist(values, schema=IMAGES.schema), path, row_group_size=rows_per_group)
    return path.as_uri()


def test_images_come_as_jpegs_of_the_rows_that_have_one(tmp_path):
    statuses = ["http_404" if number % 4 == 3 else "ok" for number in range(40)]
    url = write_images(tmp_path / "a.parquet", statuses, 7)
    batches = list(iterate_batches([url], "train", column="image", **OPTIONS | {"validation_fraction": 0.1}))
    pictures = [picture for values, _ in batches for picture in values]
    expected = [number for number in range(40) if number % 4 != 3 and number % 10 != 0]
    assert sorted(pictures) == sorted(b"jpeg %d" % number for number in expected)
    assert pictures != sorted(pictures)
    assert all(
        int(picture[5:]) % 3 == label
        for values, labels in batches
        for picture, label in zip(values, labels, strict=True)
    )
    counts = count_labels([url], "train", num_classes=3, validation_fraction=0.1, column="image")
    assert counts.tolist() == [sum(number % 3 == label for number in expected) for label in range(3)]


def test_labels_are_counted_by_part(tmp_path):
    urls = [write_rows(tmp_path / f"{first}.parquet", training_rows(first, 50), 9) for first in (0, 50)]
    sizes = {
        part: count_labels(urls, part, num_classes=4, validation_fraction=0.25).tolist()
        for part in ("train", "validation", "everything")
    }
    # 0 to 99 by their remainder of 3: 34, 33, 33. Held out are those that end in 0, 1 or 2: ten of each, whose digits
    # sum to the remainder; 0, 10, ..., 90 leave 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, and so on.
    assert sizes["everything"] == [34, 33, 33, 0]
    assert sizes["validation"] == [10, 10, 10, 0]
    assert sizes["train"] == [24, 23, 23, 0]


def test_a_label_beyond_the_classes_is_an_error(tmp_path):
    url = write_rows(tmp_path / "a.parquet", training_rows(0, 5), 9)
    with pytest.raises(FeedError, match="class_index should be below 2. Received: 2"):
        count_labels([url], "train", num_classes=2, validation_fraction=0.0)


def test_row_groups_that_can_have_no_row_of_the_part_are_not_read(tmp_path):
    # As the store orders a shard: by split. Row groups of 10: tests alone, both, training images alone.
    rows = [(n, "test", -1, -1, n / 40) for n in range(15)] + [(n, "train", 0, 1, n / 40) for n in range(15, 40)]
    urls = [write_rows(tmp_path / "a.parquet", rows, 10), write_rows(tmp_path / "b.parquet", rows[:10], 10)]

    def read(part, fraction):
        tables = read_row_groups(urls, RowChoice(part, fraction), "features", seed=None)
        return [table.column("holdout")[0].as_py() for table in tables]

    assert read("everything", 0.75) == [0.25, 0.5, 0.75]
    assert read("validation", 0.75) == [0.25, 0.5]
    assert read("train", 0.75) == [0.25, 0.75]  # the first may have a landmark's first reference: tests have rank -1
    assert read("validation", 0.0) == []
    for fraction, expected in ((0.75, range(30, 40)), (0.0, range(15, 40))):
        options = {"batch_size": 8, "validation_fraction": fraction, "seed": 0}
        assert sorted(numbers(iterate_batches(urls, "train", **options))) == list(expected)
        held_out = numbers(iterate_batches(urls, "validation", **options))
        assert held_out == [n for n in range(15, 40) if n not in expected]


def test_rows_share_the_memory_they_were_read_into_unless_few_of_them_are_chosen(tmp_path):
    choice = RowChoice("validation", 0.5)
    for num_chosen, is_shared in ((5, True), (4, False)):
        rows = [(n, "train", 0, 1, 0.0 if n < num_chosen else 0.9) for n in range(10)]
        url = write_rows(tmp_path / f"{num_chosen}.parquet", rows, 10)
        (group,) = feature_groups(read_row_groups([url], choice, "features", seed=None), choice, "features")
        assert len(group.values) == (10 if is_shared else num_chosen)
        assert group.values.flags.owndata is not is_shared
        assert group.values[group.chosen][:, 0].tolist() == list(range(num_chosen))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """URLs of tables of training images: many tiny row groups, one row, and larger ones in several files."""
    folder = tmp_path_factory.mktemp("tables")
    many = [write_rows(folder / "many.parquet", training_rows(0, 24), 1)]
    one = [write_rows(folder / "one.parquet", training_rows(0, 1), 1)]
    files = [write_rows(folder / f"{n}.parquet", training_rows(500 * n, 500), 125) for n in range(4)]
    return {24: many, 1: one, 2000: files}


@pytest.mark.parametrize(("pool", "num_reads"), [("thread", 80), ("dummy", 12), ("process", 1)])
def test_every_pool_reads_every_row_once_every_time(tables, pool, num_reads):
    choice = RowChoice("everything", 0.0)
    for num_rows, urls in tables.items():
        for seed in range(num_reads):
            read = read_row_groups(urls, choice, "features", seed=seed, pool=pool)
            values = [value for table in read for value in table.column("features").to_pylist()]
            # Each row has its own number; float16 has all whole numbers up to 2,048.
            assert sorted(np.frombuffer(value, "<f2")[0] for value in values) == list(range(num_rows)), seed


def test_a_pool_that_sees_its_end_too_early_loses_nothing(tables, monkeypatch):
    whole = ThreadPool.get_results
    num_calls = 0

    def sees_its_end_every_other_time(pool):
        nonlocal num_calls
        num_calls += 1
        if num_calls % 2:
            raise EmptyResultError
        return whole(pool)

    monkeypatch.setattr(ThreadPool, "get_results", sees_its_end_every_other_time)
    batches = iterate_batches(tables[2000], "train", batch_size=8, validation_fraction=0.0, seed=1)
    assert sorted(numbers(batches)) == list(range(2000))


def test_a_row_group_that_never_comes_is_an_error(tables, monkeypatch):
    whole = RowGroupWorker.process
    monkeypatch.setattr(feed, "_SECONDS_TO_ARRIVE", 0.2)
    monkeypatch.setattr(
        RowGroupWorker, "process", lambda worker, piece_index, **rest: piece_index == 3 or whole(worker, piece_index)
    )
    with pytest.raises(FeedError, match="every row group should come"):
        list(iterate_batches(tables[2000], "train", batch_size=8, validation_fraction=0.0, seed=1))


def test_a_row_group_that_comes_twice_is_an_error(tables, monkeypatch):
    whole = RowGroupWorker.process
    monkeypatch.setattr(RowGroupWorker, "process", lambda worker, piece_index, **rest: whole(worker, 0))
    with pytest.raises(FeedError, match="each row group should come once"):
        list(iterate_batches(tables[2000], "train", batch_size=8, validation_fraction=0.0, seed=1))
