import dataclasses
import math

import pytest

from landmark_spark.core.estimates import (
    Cluster,
    Demand,
    Limit,
    StageEstimate,
    Workload,
    slowest,
    total_cost,
    total_seconds,
)

CLUSTER = Cluster(num_nodes=4, cores_per_node=8, num_gpus=2, price_per_node_hour=1.5, price_per_gpu_hour=2.0)


def test_of_the_limits_the_slowest_counts_and_is_named():
    demand = Demand(10.4, 99.6, [Limit("CPU", 30.0), Limit("network", 3570.0)], fixed_seconds=30.0, warnings=["w"])
    found = StageEstimate.of("a_stage", demand, CLUSTER)
    # 3,600 s of 4 nodes at 1.50 and 2 GPUs at 2.00 an hour
    assert found == StageEstimate("a_stage", 10, 100, 3600.0, "network", 10.0, ("w",))


def test_where_starting_takes_longest_that_is_said():
    assert StageEstimate.of("a_stage", Demand(1, 1, [Limit("CPU", 2.0)], 5.0), CLUSTER).bottleneck == "start"


def test_what_does_not_fit_has_no_time_and_counts_in_no_sum():
    small, large = (Demand(1, 1, [Limit("CPU", 1800.0)], fits=fits) for fits in (True, False))
    found = [StageEstimate.of("a_stage", each, CLUSTER) for each in (small, large)]
    assert (found[1].seconds, found[1].bottleneck) == (math.inf, "memory")
    assert (total_seconds(found), total_cost(found)) == (1800.0, 5.0)
    assert StageEstimate.of("a_stage", large, Cluster()).cost == 0.0  # no prices


def test_the_whole_cluster_is_paid_for_by_every_stage():
    demand = Demand(1, 1, [Limit("one task", 1800.0)])
    assert total_cost([StageEstimate.of(name, demand, CLUSTER) for name in ("a", "b")]) == 10.0


def test_the_first_of_equal_limits_is_named():
    assert slowest([Limit("a", 1.0), Limit("b", 1.0)]).name == "a"
    with pytest.raises(ValueError, match="at least one limit"):
        slowest([])


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"num_train": 0}, "num_train should be at least 1"),
        ({"num_test": -1}, "num_test should be at least 1"),
        ({"num_landmarks": 11}, "at most num_train, 10. Received: 11"),
        ({"num_non_landmark": -1}, "num_non_landmark should be at least 0"),
    ],
)
def test_counts_that_make_no_sense_are_refused(changed, wanted):
    with pytest.raises(ValueError, match=wanted):
        Workload(**{"num_train": 10, "num_test": 1, "num_landmarks": 2} | changed)


@pytest.mark.parametrize("name", ["num_nodes", "cores_per_node", "bandwidth", "memory", "driver_memory"])
def test_a_cluster_of_nothing_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} should be above 0"):
        dataclasses.replace(CLUSTER, **{name: 0})


def test_negative_prices_and_gpus_are_refused():
    for name in ("num_gpus", "price_per_node_hour", "price_per_gpu_hour"):
        with pytest.raises(ValueError, match=f"{name} should be at least 0"):
            dataclasses.replace(CLUSTER, **{name: -1})
