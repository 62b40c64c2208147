import weakref

import numpy as np
import pytest

from landmark_spark.core.batching import RowGroup, iterate_shuffled

SIZE = 3


def group_of(first, count, chosen=None):
    numbers = np.arange(first, first + count)
    values = np.repeat(numbers[:, None], SIZE, axis=1).astype(np.float16)
    places = np.arange(count) if chosen is None else np.array(chosen, np.intp)
    return RowGroup(values, (numbers % 7).astype(np.int32), places)


def groups_of(num_groups, size):
    return (group_of(size * number, size) for number in range(num_groups))


def numbers(batches):
    return [int(value) for values, _ in batches for value in values[:, 0]]


def test_rows_keep_their_order_without_a_seed():
    batches = list(iterate_shuffled(groups_of(5, 4), batch_size=3, window=8, seed=None))
    assert numbers(batches) == list(range(20))
    assert [len(labels) for _, labels in batches] == [3, 3, 3, 3, 3, 3, 2]


def test_only_the_chosen_rows_of_a_group_are_given():
    groups = [group_of(0, 5, [1, 3]), group_of(5, 5, [0])]
    ((values, labels),) = iterate_shuffled(groups, batch_size=8, window=8, seed=None)
    assert values.dtype == np.float16
    np.testing.assert_array_equal(values, [[1, 1, 1], [3, 3, 3], [5, 5, 5]])
    assert labels.tolist() == [1, 3, 5]


def test_byte_strings_come_as_a_list():
    group = RowGroup([b"a", b"b", b"c"], np.array([4, 5, 6], np.int32), np.array([2, 0]))
    ((values, labels),) = iterate_shuffled([group], batch_size=8, window=8, seed=None)
    assert values == [b"c", b"a"]
    assert labels.tolist() == [6, 4]


@pytest.mark.parametrize("window", [1, 2, 30, 10_000])
def test_every_row_comes_once_with_its_label_whatever_the_window(window):
    batches = list(iterate_shuffled(groups_of(9, 11), batch_size=8, window=window, seed=3))
    assert sorted(numbers(batches)) == list(range(99))
    assert {len(labels) for _, labels in batches[:-1]} == {8}
    for values, labels in batches:
        np.testing.assert_array_equal(values[:, 0].astype(int) % 7, labels)


def test_the_first_row_may_come_out_last_where_half_the_window_holds_all():
    # 40 rows in a window of 80: each order is as likely, so the first row comes out in each quarter of some order.
    places = [
        numbers(iterate_shuffled(groups_of(4, 10), batch_size=8, window=80, seed=seed)).index(0) for seed in range(60)
    ]
    assert min(places) < 10
    assert max(places) >= 30


def test_a_row_is_put_off_by_less_than_the_window():
    order = numbers(iterate_shuffled(groups_of(100, 10), batch_size=8, window=200, seed=1))
    moved = np.array(order) - np.arange(1000)
    assert np.abs(moved).max() < 200
    assert np.abs(moved).max() > 60  # not only among neighbours


def test_rows_come_out_as_steadily_as_they_are_read():
    num_read, given = 0, []

    def reading():
        nonlocal num_read
        for group in groups_of(100, 10):
            num_read += 10
            yield group

    for _, labels in iterate_shuffled(reading(), batch_size=5, window=200, seed=1):
        given.append((num_read, len(labels)))
    steps = [sum(count for read, count in given if read == at) for at in range(10, 1000, 10)]
    assert sum(steps[:9]) == 0  # until half the window is read
    assert all(step <= 30 for step in steps[9:])  # a block of the whole window would give 200 at once


def test_no_more_groups_are_held_than_the_window_has_rows():
    alive, most = [], 0

    def reading():
        nonlocal most
        for group in groups_of(200, 10):
            alive.append(weakref.ref(group.values))
            most = max(most, sum(each() is not None for each in alive))
            yield group

    for _ in iterate_shuffled(reading(), batch_size=5, window=100, seed=1):
        pass
    assert 5 <= most <= 12  # 100 rows are 10 groups; one is being read and one is being given


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
def test_ranks_give_the_slices_of_every_batch(num_ranks):
    options = {"batch_size": 8, "window": 30, "seed": 5}
    whole = list(iterate_shuffled(groups_of(3, 11), **options))
    ranks = [
        list(iterate_shuffled(groups_of(3, 11), rank=rank, num_ranks=num_ranks, **options)) for rank in range(num_ranks)
    ]
    for number, (values, labels) in enumerate(whole):
        np.testing.assert_array_equal(np.concatenate([each[number][0] for each in ranks]), values)
        np.testing.assert_array_equal(np.concatenate([each[number][1] for each in ranks]), labels)
    assert {len(each) for each in ranks} == {5}  # 33 rows: four batches of 8 and one of 1
    assert ranks[0][-1][0].shape == ((1 if num_ranks == 1 else 0), SIZE)  # the one row is the last rank's


def test_no_groups_give_no_batches():
    assert list(iterate_shuffled([], batch_size=8, window=8, seed=1)) == []
