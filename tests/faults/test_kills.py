"""SIGKILL of a Python worker, of an executor and of the driver, at each stage and at each step of a commit."""

import itertools

import pytest
from clusters import SHARDED, end_of

from landmark_spark.pipeline import STAGES
from landmark_spark.schemas import REPORT

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(1800)]

ONE_EXECUTOR = {"spark.cores.max": "1"}  # a driver starts again some thirty times, and executors take longest
STEPS = ("before the data", "after the data", "before the marker")


def pairs(outputs):
    return [[output, step] for output, step in itertools.product(outputs, STEPS)]


def names(chosen):
    return {", ".join(pair) for pair in chosen}


@pytest.mark.parametrize("kill", ["worker", "executor"])
def test_processes_of_tasks_killed_at_every_step_cost_nothing(cluster, undisturbed, tmp_path, kill):
    run = cluster.run(tmp_path / "store")
    wanted = pairs(SHARDED)
    plan = {"kind": "kill", "kill": kill, "at": wanted, "tasks_only": True}
    status, printed = run.finish(plan=plan, properties={"spark.task.maxFailures": "30"}, timeout=1500)
    assert status == 0, printed
    assert run.noted() == names(wanted)
    assert run.submission() == undisturbed.submission()
    assert run.unfinished() == []


def test_a_driver_killed_at_every_step_of_every_stage_goes_on_from_there(cluster, undisturbed, tmp_path):
    run = cluster.run(tmp_path / "store")
    wanted = pairs([stage.outputs[0].name for stage in STAGES])  # one output a stage
    plan = {"kind": "kill", "kill": "driver", "at": wanted}
    num_kills = 0
    files = {}
    while True:
        status, printed = end_of(run.start(plan=plan, properties=ONE_EXECUTOR))
        kept, files = files, run.files()
        assert {key: files.get(key) for key in kept} == kept  # what was committed is not made again
        if status == 0:
            break
        num_kills += 1
        assert len(run.noted()) == num_kills, printed  # a kill, and nothing else, ended it
    assert run.noted() == names(wanted)
    assert run.submission() == undisturbed.submission()
    assert run.unfinished() == []


def test_a_finished_report_is_the_last_output():
    assert STAGES[-1].outputs[-1] == REPORT  # so that the test above sees the whole pipeline through
