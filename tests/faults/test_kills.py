"""SIGKILL of a Python worker, of an executor and of the driver, at each stage and at each step of a commit."""

import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from clusters import SHARDED, end_of

from landmark_spark.pipeline import STAGES
from landmark_spark.schemas import REPORT

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(1800)]

ONE_EXECUTOR = {"spark.cores.max": "1"}
STEPS = ("before the data", "after the data", "before the marker")


def pairs(outputs):
    return [[output, step] for output, step in itertools.product(outputs, STEPS)]


def some_pairs(outputs, whole):
    """Return each output with one step, in turn, and those of ``whole`` with every step."""
    in_turn = [[output, STEPS[number % len(STEPS)]] for number, output in enumerate(outputs)]
    return [pair for pair in pairs(outputs) if pair in in_turn or pair[0] in whole]


def names(chosen):
    return {", ".join(pair) for pair in chosen}


@pytest.mark.parametrize("kill", ["worker", "executor"])
def test_processes_of_tasks_killed_at_each_table_and_step_cost_nothing(cluster, undisturbed, tmp_path, kill):
    run = cluster.run(tmp_path / "store")
    wanted = pairs(SHARDED) if kill == "worker" else some_pairs(SHARDED, {"images", "verifications"})
    plan = {"kind": "kill", "kill": kill, "at": wanted, "tasks_only": True}
    status, printed = run.finish(plan=plan, properties={"spark.task.maxFailures": "30"}, timeout=1500)
    assert status == 0, printed
    assert run.noted() == names(wanted)
    run.assert_same_submission(undisturbed)
    assert run.unfinished() == []


def test_a_driver_killed_at_each_stage_and_step_goes_on_from_there(undisturbed, tmp_path):
    # Of a stage with several outputs the second: the first is made by then, and is made again.
    outputs = [stage.outputs[:2][-1].name for stage in STAGES]
    wanted = some_pairs(outputs, {"images", "submission"})  # committed by tasks, and by the driver
    halves = [(tmp_path / str(number), wanted[number::2]) for number in range(2)]  # two runs at once, a worker each
    for folder, _ in halves:
        folder.mkdir()
    with ThreadPoolExecutor() as pool:
        runs = list(pool.map(lambda half: kill_again_and_again(undisturbed, *half), halves))
    for run, (_, chosen) in zip(runs, halves, strict=True):
        assert run.noted() == names(chosen)
        assert run.digests() == undisturbed.digests()
        run.assert_same_submission(undisturbed)
        assert run.unfinished() == []


def kill_again_and_again(undisturbed, folder, chosen):
    """Give the same command until it comes to its end, on a store that lacks what the stages of the pairs make.

    Each of the pairs ends it once.
    """
    run = undisturbed.copy_to(folder)
    killed = {output for output, _ in chosen}
    for stage in STAGES:
        made = {output.name for output in stage.outputs}
        run.forget(*(made if made & killed else ()))
    again = {output.name for stage in STAGES if len(stage.outputs) > 1 for output in stage.outputs}
    plan = {"kind": "kill", "kill": "driver", "at": chosen}
    num_kills = 0
    files = {}
    while True:
        status, printed = end_of(run.start(plan=plan, properties=ONE_EXECUTOR))
        kept, files = files, {place: found for place, found in run.files().items() if place[0] not in again}
        assert {place: files.get(place) for place in kept} == kept  # what was committed is not made again
        if status == 0:
            return run
        num_kills += 1
        assert len(run.noted()) == num_kills, printed  # a kill, and nothing else, ended it


def test_a_finished_report_is_the_last_output():
    assert STAGES[-1].outputs[-1] == REPORT  # so that the test above sees the whole pipeline through
