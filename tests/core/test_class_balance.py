import numpy as np
import pytest

from landmark_spark.core.class_balance import draw_rows, loss_weights, num_copies

SIZES = np.array([1, 4, 0, 16])


def test_the_weight_of_an_example_is_inverse_to_its_class_and_1_on_average():
    # 21 examples in 3 classes that have any: 21 / 3 = 7 for each class to share.
    np.testing.assert_allclose(loss_weights(SIZES), [7, 7 / 4, 0, 7 / 16])
    assert (loss_weights(SIZES) * SIZES).sum() == pytest.approx(21)


def test_a_class_is_drawn_by_the_square_root_of_its_size():
    # Roots 1, 2, 0, 4: of 21 draws 3, 6, 0 and 12 fall to the classes.
    np.testing.assert_allclose(num_copies(SIZES), [3, 6 / 4, 0, 12 / 16])


def rows(labels, size):
    for start in range(0, len(labels), size):
        yield np.arange(start, min(start + size, len(labels))), labels[start : start + size]


LABELS = np.array([3] * 10 + [0] + [1] * 4 + [3] * 6, np.int32)


def draw(seed=0, window_rows=4096, as_list=False):
    source = rows(LABELS, 5)
    if as_list:
        source = ((list(values), labels) for values, labels in source)
    return list(draw_rows(source, num_copies(SIZES), batch_size=4, seed=seed, window_rows=window_rows))


@pytest.mark.parametrize("window_rows", [4096, 8])
def test_an_epoch_keeps_its_number_of_steps_and_every_row_comes_about_as_often_as_it_should(window_rows):
    drawn = draw(window_rows=window_rows)
    assert [len(labels) for _, labels in drawn] == [4, 4, 4, 4, 4, 1]
    values = np.concatenate([values for values, _ in drawn])
    labels = np.concatenate([labels for _, labels in drawn])
    np.testing.assert_array_equal(LABELS[values], labels)
    counts = np.bincount(values, minlength=21)
    wanted = num_copies(SIZES)[LABELS]
    assert np.all(np.abs(counts - wanted) < 1)
    assert counts[10] == 3


def test_the_same_seed_draws_the_same_rows_and_another_one_others():
    first, again, other = draw(0), draw(0), draw(1)
    assert [values.tolist() for values, _ in first] == [values.tolist() for values, _ in again]
    assert [values.tolist() for values, _ in first] != [values.tolist() for values, _ in other]


def test_lists_are_drawn_like_arrays():
    assert [list(values) for values, _ in draw()] == [values for values, _ in draw(as_list=True)]
