"""Workers that train together in a Spark barrier stage: on two executors, and what is refused before it starts."""

from types import SimpleNamespace

import pytest
from together import MARK, NUM_EPOCHS, run_script

from landmark_spark.barrier import BarrierError, run_together
from landmark_spark.core.data_parallel import Rank

pytestmark = pytest.mark.jvm


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run_script(tmp_path_factory.mktemp("together"))


def test_a_rank_that_raises_fails_the_stage_with_its_own_error(found):
    assert found["raised"].startswith("rank 1 of 2 on ")
    assert found["raised"].endswith("failed: ValueError: features should be finite. Received: nan")
    assert found["seconds_after_raise"] < 60


def test_a_killed_rank_fails_the_stage_within_a_minute_and_is_named_as_the_cause(found):
    assert found["killed"].startswith("rank ")
    assert "its process was killed by SIGKILL" in found["killed"]
    assert found["seconds_after_kill"] < 60


def test_the_rerun_goes_on_from_the_checkpoint_to_the_loss_curve_of_one_worker(found):
    again, alone, kept = found["again"], found["alone"], found["num_epochs_kept"]
    assert 1 <= kept < NUM_EPOCHS
    assert again["loss"][0] == MARK
    assert len(again["loss"]) == NUM_EPOCHS
    assert again["loss"][1:] == pytest.approx(alone["loss"][1:], abs=1e-3)
    assert again["val_loss"] == pytest.approx(alone["val_loss"], abs=1e-3)
    assert alone["loss"][0] - alone["loss"][-1] > 0.1  # it learned something, else any curve were like another


def test_no_process_of_a_rank_is_left(found):
    assert found["num_left"] == 0


def test_each_rank_is_told_its_number_and_the_same_addresses_and_results_come_in_their_order(spark):
    (first, gpus), (second, _) = run_together(spark.sparkContext, lambda rank, gpus: (rank, gpus), 2)
    assert (first.number, second.number, gpus) == (0, 1, None)
    assert first.addresses == second.addresses
    assert len(set(first.addresses)) == 2
    assert isinstance(first, Rank)


def test_more_workers_than_run_at_once_are_refused_before_anything_starts(spark):
    message = r"3 workers .* should all run at once. Received: master local\[2\] with room for 2 such tasks"
    with pytest.raises(BarrierError, match=message):
        run_together(spark.sparkContext, print, 3)


def test_dynamic_allocation_is_refused_and_the_way_out_is_said():
    cluster = SimpleNamespace(master="yarn", getConf=lambda: {"spark.dynamicAllocation.enabled": "true"})
    with pytest.raises(BarrierError, match="Set spark.dynamicAllocation.enabled=false, or train.num_workers=1"):
        run_together(cluster, print, 2)
