"""Plans of verification: cases by hand, Zipf's law at the challenge's size, Spark's hash."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from landmark_spark.core.partitioning import (
    Chunk,
    ClassLoad,
    load_of,
    num_partitions_for,
    partition_keys,
    plan_chunks,
)


def _loads(chunks, loads):
    """What each partition has to do; a landmark's references count once in it."""
    references = {each.landmark_id: each.num_references for each in loads}
    queries = defaultdict(lambda: defaultdict(int))
    for chunk in chunks:
        queries[chunk.partition][chunk.landmark_id] += chunk.num_queries
    return [sum(load_of(count, references[name]) for name, count in each.items()) for each in queries.values()]


def test_load_counts_comparisons_and_images():
    assert load_of(10, 20) == pytest.approx(10 * 20 + 30 * 0.3)
    assert load_of(7, 0) == pytest.approx(2.1)  # nothing to compare with, but the images travel


def test_small_landmarks_are_dealt_out_largest_first():
    # One query each, loads in comparisons 8, 7, 6, 5, 4: LPT gives 8 + 5 + 4 and 7 + 6, for 17 and 13.
    loads = [ClassLoad(number, 1, 9 - number) for number in range(1, 6)]
    found = {chunk.landmark_id: chunk.partition for chunk in plan_chunks(loads, num_partitions=2)}
    assert found == {1: 0, 4: 0, 2: 1, 3: 1, 5: 0}


def test_popular_landmark_is_cut_and_every_query_is_in_one_chunk():
    # 100 queries x 10 references in 2 partitions: 1033 comparisons, a 32nd of 516.5 a chunk: 64 of them.
    chunks = plan_chunks([ClassLoad(7, 100, 10)], num_partitions=2)
    assert len(chunks) == 64
    assert [chunk.first for chunk in chunks[:9]] == [0, 1, 3, 4, 6, 7, 9, 10, 12]  # 100 n / 64
    assert sum(chunk.num_queries for chunk in chunks) == 100
    assert {chunk.partition for chunk in chunks} == {0, 1}


def test_one_query_can_not_be_cut():
    assert plan_chunks([ClassLoad(3, 1, 20)], num_partitions=5) == [Chunk(3, 0, 1, 0)]
    assert plan_chunks([], num_partitions=5) == []


def test_plan_does_not_depend_on_the_order_of_landmarks():
    loads = [ClassLoad(number, 1 + number % 7, number % 5) for number in range(50)]
    assert plan_chunks(loads[::-1], num_partitions=6) == plan_chunks(loads, num_partitions=6)


@pytest.mark.parametrize("exponent", [1.0, 1.5])
@pytest.mark.parametrize("num_partitions", [6, 60, 500])
def test_by_zipfs_law_the_most_loaded_partition_has_little_more_than_the_median(exponent, num_partitions):
    chances = np.arange(1, 15_001) ** -exponent
    counts = np.random.default_rng(0).multinomial(117_703, chances / chances.sum())
    references = np.random.default_rng(1).integers(1, 21, 15_000)
    loads = [ClassLoad(name, int(counts[name]), int(references[name])) for name in np.flatnonzero(counts).tolist()]
    chunks = plan_chunks(loads, num_partitions=num_partitions)
    found = defaultdict(int)
    for chunk in chunks:
        assert chunk.first == found[chunk.landmark_id]
        found[chunk.landmark_id] += chunk.num_queries
    assert found == {each.landmark_id: each.num_queries for each in loads}
    work = _loads(chunks, loads)
    assert len(work) == num_partitions
    assert max(work) <= 1.1 * np.median(work)


@pytest.mark.parametrize("num_partitions", [6, 60, 500])
def test_landmarks_that_verify_early_leave_no_partition_with_much_more_than_the_median(num_partitions):
    # Half of the landmarks stop after 1.2 of 20 comparisons; the plan does not know which. Cut in quarters of a share,
    # 500 partitions had 1.69 times the median here.
    chances = 1 / np.arange(1, 15_001)
    counts = np.random.default_rng(0).multinomial(117_703, chances / chances.sum())
    loads = [ClassLoad(name, int(counts[name]), 20) for name in np.flatnonzero(counts).tolist()]
    stops_early = np.random.default_rng(0).random(15_000) < 0.5
    work = np.zeros(num_partitions)
    for chunk in plan_chunks(loads, num_partitions=num_partitions):
        work[chunk.partition] += load_of(chunk.num_queries, 1.2 if stops_early[chunk.landmark_id] else 20)
    assert work.max() <= 1.5 * np.median(work)


def test_three_partitions_for_each_task_and_more_where_they_would_be_long():
    loads = [ClassLoad(1, 1000, 20), ClassLoad(2, 100, 0)]  # 20,336 comparisons
    assert num_partitions_for(loads, parallelism=4, load_per_partition=1e9) == 12
    assert num_partitions_for(loads, parallelism=4, load_per_partition=1000) == 21
    assert num_partitions_for([ClassLoad(1, 2, 20)], parallelism=4, load_per_partition=1e9) == 2
    assert num_partitions_for([], parallelism=4, load_per_partition=1e9) == 1


def test_keys_are_those_that_sparks_hash_sends_to_each_partition():
    # Spark SQL: hash(0) = 933211791, hash(1) = -559580957, hash(2) = 1765031574.
    assert [each % 3 for each in (933211791, -559580957, 1765031574)] == [0, 1, 0]
    keys = partition_keys(3)
    assert keys[:2] == [0, 1]
    for num_partitions in (1, 2, 7, 64):
        keys = partition_keys(num_partitions)
        assert len(set(keys)) == num_partitions


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"num_queries should be at least 1 .* Received: 0, 3"):
        ClassLoad(1, 0, 3)
    for function in (lambda: plan_chunks([], num_partitions=0), lambda: partition_keys(0)):
        with pytest.raises(ValueError, match=r"num_partitions should be at least 1\. Received: 0"):
            function()
    with pytest.raises(ValueError, match="parallelism should be at least 1"):
        num_partitions_for([], parallelism=0, load_per_partition=1.0)
    with pytest.raises(ValueError, match="load_per_partition above 0"):
        num_partitions_for([], parallelism=1, load_per_partition=0.0)
