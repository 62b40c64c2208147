import pytest

from landmark_spark.core.prefetching import run_ahead


def recorded(events):
    """A source of 0 to 4 and a start that note when an item is taken, begun and waited for."""

    def items():
        for number in range(5):
            events.append(f"take {number}")
            yield number

    def start(number):
        events.append(f"start {number}")
        return lambda: events.append(f"wait {number}") or number * 10

    return items(), start


@pytest.mark.parametrize("ahead", [0, 1, 2, 9])
def test_results_come_in_the_order_of_the_items(ahead):
    items, start = recorded([])
    assert list(run_ahead(items, start, ahead=ahead)) == [(number, number * 10) for number in range(5)]


def test_no_more_than_ahead_items_are_begun_beyond_the_one_waited_for():
    events = []
    items, start = recorded(events)
    results = run_ahead(items, start, ahead=2)
    assert events == []
    assert next(results) == (0, 0)
    assert events == ["take 0", "start 0", "take 1", "start 1", "take 2", "start 2", "wait 0"]
    assert next(results) == (1, 10)
    assert events[7:] == ["take 3", "start 3", "wait 1"]


def test_an_error_of_the_work_comes_where_its_result_is_asked_for():
    def start(number):
        return lambda: 1 / number

    results = run_ahead([1, 0, 2], start, ahead=2)
    assert next(results) == (1, 1.0)
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="ahead should be at least 0. Received: -1"):
        list(run_ahead([1], lambda _: lambda: 1, ahead=-1))
