"""What each stage costs, at rates that are easy to reckon with: the numbers are worked out by hand."""

import dataclasses
import math

import pytest

from landmark_spark.core.estimates import Cluster, Recipe, Workload
from landmark_spark.core.stage_costs import STAGE_COSTS, Case, estimate_run
from landmark_spark.pipeline import STAGES
from landmark_spark.rates import load_rates, values_of

RATES = dict.fromkeys(load_rates(), 1.0)
WORK = Workload(num_train=1000, num_test=200, num_landmarks=10, num_non_landmark=50)
CLUSTER = Cluster(num_nodes=2, cores_per_node=4, bandwidth=100.0, memory=1e12, driver_memory=1e12)
RECIPE = Recipe(num_shards=64, max_calibration_images=100, feature_kind="sift")
CHALLENGE = Workload(num_train=1_225_029, num_test=117_703, num_landmarks=15_000)


CPUS = ("amx", "avx512")


def case(rates=None, work=WORK, **changed):
    recipe = {name: value for name, value in changed.items() if name in Recipe.__dataclass_fields__}
    cluster = {name: value for name, value in changed.items() if name not in recipe}
    return Case(
        work, dataclasses.replace(CLUSTER, **cluster), dataclasses.replace(RECIPE, **recipe), RATES | (rates or {})
    )


def seconds_of(stage, one):
    return {limit.name: limit.seconds for limit in STAGE_COSTS[stage](one).limits}


def test_every_stage_has_a_cost_in_the_order_of_the_run():
    assert list(STAGE_COSTS) == [stage.name for stage in STAGES]
    assert [each.stage for each in estimate_run(case())] == list(STAGE_COSTS)


def test_a_download_is_held_up_by_network_cores_threads_or_politeness():
    rates = {"bytes_original": 1600.0, "download_bytes": 500.0, "request_seconds": 0.32}
    assert seconds_of("download_images", case(rates)) == pytest.approx(
        {
            "network": 1250 * 1600 / 200,  # 2 nodes of 100 bytes a second
            "CPU": 1250 * 1600 / 500 / 8,
            "connections to one host": 1250 * 0.32 / 64,
            "download threads": 1250 * 0.32 / (8 * 16),
        }
    )


def test_pictures_that_are_served_here_wait_for_no_network():
    assert list(seconds_of("download_images", case(is_served_here=True))) == ["CPU"]


def test_more_nodes_do_not_help_against_the_connections_to_one_host():
    rates = {"request_seconds": 0.5, "bytes_original": 1.0, "download_bytes": 1e9}
    few, many = (STAGE_COSTS["download_images"](case(rates, num_nodes=nodes)) for nodes in (2, 50))
    assert max(each.seconds for each in few.limits) == max(each.seconds for each in many.limits) == 1250 * 0.5 / 64


def test_a_network_runs_on_all_cores_or_on_the_gpus_with_decoding_beside():
    rates = {"network_avx512": 5.0, "network_v100": 250.0, "decode_images": 12.5}
    assert seconds_of("extract_bottlenecks", case(rates)) == {"CPU": 1250 * 10 / 5 / 8}
    assert seconds_of("extract_bottlenecks", case(rates, num_gpus=2)) == {
        "GPU": 1250 * 10 / 250 / 2,
        "CPU (decoding)": 1250 / 12.5 / 8,
    }


def test_our_own_delf_has_a_rate_of_its_own_where_one_was_measured():
    rates = {"network_amx": 100.0, "delf_amx": 50.0, "network_avx512": 10.0}
    of = {cpu: seconds_of("extract_local_features", case(rates, cpu=cpu, feature_kind="delf_vgg16")) for cpu in CPUS}
    assert of == {"amx": {"CPU": 550 * 358 / 50 / 8}, "avx512": {"CPU": 550 * 358 / 10 / 8}}


def test_no_more_tasks_run_than_there_are_shards():
    assert seconds_of("extract_bottlenecks", case(num_shards=5)) == {"CPU, 5 shards": 1250 * 10 / 5}


def test_training_stays_on_one_task_however_many_nodes_there_are():
    rates = {"top_model_rows": 19.0}
    for nodes in (1, 50):
        # 40 epochs of nine tenths, and 40 of everything
        assert seconds_of("train_top_model", case(rates, num_nodes=nodes)) == {"one task": 1000 * 40 * 1.9 / 19}


def test_retrieval_grows_with_queries_times_references():
    # 200 test images and 100 + 50 that play one; 1,050 references of 512 values; 64 shards on 8 cores
    limits = seconds_of("retrieve_neighbours", case({"search_value": 1e-3, "model_bytes": 1e30}))
    assert limits == pytest.approx({"CPU": 350 * 1050 * 512 * 1e-3 / 8})


def test_twice_the_images_and_twice_the_queries_are_four_times_the_search():
    rates = {"search_value": 1e-3, "model_bytes": 1e30}
    twice = Workload(num_train=2000, num_test=400, num_landmarks=10, num_non_landmark=100)
    one = seconds_of("retrieve_neighbours", case(rates, max_calibration_images=0))["CPU"]
    other = seconds_of("retrieve_neighbours", case(rates, twice, max_calibration_images=0))["CPU"]
    assert other == pytest.approx(4 * one)


def test_an_image_is_verified_against_no_more_references_than_there_are():
    # 350 images with 3 voices of 2 landmarks, half of which they share: 3 each. 100 references a landmark, 20 compared.
    rates = {"candidates_share": 0.5, "comparisons": 3.0, "bytes_local_features": 1e-9, "bytes_bottleneck": 1e-9}
    assert seconds_of("verify_landmarks", case(rates))["CPU"] == 350 * 3 * 20 / 3 / 8
    few = Workload(num_train=40, num_test=200, num_landmarks=10)  # 4 references a landmark; 40 play a test image
    assert seconds_of("verify_landmarks", case(rates, few))["CPU"] == 240 * 3 * 4 / 3 / 8


def test_on_one_node_nothing_is_sent_to_another():
    assert seconds_of("verify_landmarks", case(num_nodes=1))["network (shuffle)"] == 0


def test_the_challenge_on_nodes_of_16_gb_is_told_that_its_references_do_not_fit():
    warnings = {
        each.stage: each.warnings
        for each in estimate_run(case(work=CHALLENGE, num_nodes=4, cores_per_node=16, memory=16e9, has_head=False))
    }
    # 1,225,029 vectors of 512 float32 are 2.509 GB; 16 tasks a node
    assert "needs 2.5 GB a task, 40 GB a node with 16 at once; a node has 16 GB" in warnings["retrieve_neighbours"][0]
    assert "spark.executor.cores" in warnings["retrieve_neighbours"][0]
    assert not warnings["train_retrieval"]  # three times as much, once: 7.5 GB


def test_a_hundred_million_references_are_told_not_to_fit_anywhere():
    work = Workload(num_train=100_000_000, num_test=1_000_000, num_landmarks=200_000)
    warnings = {each.stage: each.warnings for each in estimate_run(case(work=work, memory=256e9, cores_per_node=32))}
    assert "needs 204.8 GB a task, 6,554 GB a node" in warnings["retrieve_neighbours"][0]
    assert "needs 614.4 GB a task" in warnings["train_retrieval"][0]
    assert "set index.num_shards=77692" in warnings["index_images"][0]


def test_what_does_not_fit_has_no_time():
    work = Workload(num_train=100_000_000, num_test=1_000_000, num_landmarks=200_000)
    found = {each.stage: each for each in estimate_run(case(work=work, memory=256e9, cores_per_node=32))}
    assert {name for name, each in found.items() if each.seconds == math.inf} == {
        "train_retrieval",
        "retrieve_neighbours",
    }
    assert found["retrieve_neighbours"].bottleneck == "memory"


def test_our_own_delf_on_cores_takes_memory_for_each_of_them():
    rates = {"delf_task_bytes": 1.4e9}
    told = STAGE_COSTS["extract_local_features"](case(rates, feature_kind="delf_vgg16", memory=5e9))
    assert told.warnings[0].startswith("extract_local_features needs 1.4 GB a task, 6 GB a node with 4 at once")
    assert not told.fits
    for changed in ({"num_gpus": 1}, {"feature_kind": "sift"}):
        other = STAGE_COSTS["extract_local_features"](
            case(rates, **{"feature_kind": "delf_vgg16", "memory": 5e9} | changed)
        )
        assert other.fits and not other.warnings


def test_a_linear_head_of_too_many_landmarks_is_told():
    rates = values_of(load_rates())
    told = STAGE_COSTS["train_retrieval"](case(rates, CHALLENGE)).warnings
    assert len(told) == 1 and told[0].endswith("15,000 landmarks; set retrieval.head=none")
    assert not STAGE_COSTS["train_retrieval"](case(rates, CHALLENGE, has_head=False)).warnings


def test_a_driver_with_too_little_memory_is_told():
    rates = {"candidates_share": 0.5, "verified_share": 1.0, "driver_bytes_verified": 1e6}
    told = STAGE_COSTS["verify_landmarks"](case(rates, driver_memory=1e9)).warnings  # 350 * 3 MB
    assert told == ["verify_landmarks needs 1.1 GB of the driver, which has 1.0 GB: set spark.driver_memory"]
    assert not STAGE_COSTS["verify_landmarks"](case(rates, driver_memory=1.05e9)).warnings


def test_what_is_left_out_takes_nothing():
    found = {each.stage: each for each in estimate_run(case(fine_tune_epochs=0))}
    assert found["fine_tune"].seconds == found["train_delf"].seconds == 0
    assert {each.stage: each for each in estimate_run(case(fine_tune_epochs=2))}["fine_tune"].seconds > 0


def test_references_of_landmarks_get_local_features_besides_test_images():
    # 200 test images, 150 that play one, 20 references of each of 10 landmarks
    assert STAGE_COSTS["extract_local_features"](case()).num_rows == 550
