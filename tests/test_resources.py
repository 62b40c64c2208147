from pathlib import Path

import pytest

from landmark_spark.resources import accelerator_profile, accelerator_workers, check_worker_gpus
from landmark_spark.session import SessionError, gpu_amount

ONE_AN_EXECUTOR = {"spark.executor.resource.gpu.amount": "1"}
PROFILES = Path(__file__).resolve().parent.parent / "conf" / "spark"


@pytest.mark.parametrize("name", ["standalone", "yarn", "kubernetes"])
def test_the_gpu_lines_of_the_shipped_settings_give_gpus_to_executors_and_leave_tasks_to_the_stages(name):
    lines = [line.lstrip("#").split() for line in (PROFILES / f"{name}.conf").read_text().splitlines()]
    given = {words[0]: words[1] for words in lines if len(words) == 2 and words[0].startswith("spark.")}
    assert gpu_amount(given, "executor") == 1
    assert gpu_amount(given, "task") == 0


def test_executors_that_no_worker_can_start_are_refused_with_what_to_change():
    with pytest.raises(SessionError, match=r"gpu.amount = 2 should be at most.*workers with 0, 1\. Start them with"):
        check_worker_gpus([1, 0], {"spark.executor.resource.gpu.amount": "2"})


def test_executors_that_one_worker_can_start_are_fine():
    check_worker_gpus([0, 2], {"spark.executor.resource.gpu.amount": "2"})
    check_worker_gpus([0, 0], {"spark.executor.cores": "2"})
    check_worker_gpus([], ONE_AN_EXECUTOR)  # YARN and Kubernetes refuse by themselves


@pytest.mark.jvm
def test_without_gpus_of_spark_there_is_no_profile_and_no_word(spark):
    said = []
    assert accelerator_profile(spark.sparkContext, {}, said.append) is None
    assert said == []


@pytest.mark.jvm
def test_a_users_own_share_of_a_gpu_is_kept_and_said(spark):
    said = []
    given = ONE_AN_EXECUTOR | {"spark.task.resource.gpu.amount": "0.25"}
    assert accelerator_profile(spark.sparkContext, given, said.append) is None
    assert len(said) == 1
    assert "spark.task.resource.gpu.amount = 0.25 is kept" in said[0]


@pytest.mark.jvm
def test_a_master_without_stage_level_scheduling_is_said_in_one_line(spark):
    said = []
    assert accelerator_profile(spark.sparkContext, ONE_AN_EXECUTOR, said.append) is None
    assert len(said) == 1
    assert "local[2] has no stage-level scheduling" in said[0]
    assert "only supported for Standalone, Yarn and Kubernetes" in said[0]


@pytest.mark.jvm
def test_accelerator_functions_run_in_python_workers_of_their_own(spark):
    context = spark.sparkContext

    def worker_pids():
        def pid(rows):
            import os

            return [os.getpid(), *rows][:1]

        return set(context.parallelize(range(4), 4).mapPartitions(pid).collect())

    before = worker_pids()
    with accelerator_workers(context):
        apart = worker_pids()
    assert not before & apart
    assert not worker_pids() & apart
