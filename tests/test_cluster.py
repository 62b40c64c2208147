"""The pipeline through spark-submit on a real standalone cluster with two workers."""

import csv
import json
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pytest
from standalone import ROOT, spark_submit, standalone_cluster

from landmark_spark.schemas import PREDICTIONS, VERIFICATIONS
from landmark_spark.store import Store

pytestmark = pytest.mark.jvm

TESTS = Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Two workers of two cores; one has the GPUs 0 and 1, the other 2 and 3."""
    with standalone_cluster(tmp_path_factory.mktemp("cluster"), cores=2, gpus=2) as master:
        yield master


@dataclass(frozen=True)
class Run:
    """A run of the whole pipeline with one GPU an executor.

    notes: of each process that loaded a framework. tasks: per Spark stage on the accelerators and per other one,
    (executor, start, end in ms) of its tasks.
    """

    store: Path
    printed: str
    notes: list
    accelerator_tasks: list
    other_tasks: list


@pytest.fixture(scope="module")
def gpu_run(cluster, tiny_arguments, tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu_run")
    events, notes = folder / "events", folder / "notes"
    events.mkdir()
    notes.mkdir()
    properties = {
        "spark.executor.resource.gpu.amount": "1",
        "spark.executorEnv.PYTHONPATH": f"{TESTS / 'gpu_notes'}:{ROOT}",
        "spark.executorEnv.GPU_NOTES": str(notes),
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": events.as_uri(),
        "spark.eventLog.rolling.enabled": "false",
        "spark.eventLog.compress": "false",
    }
    store = folder / "store"
    printed = spark_submit(cluster, "pipeline.py", tiny_arguments("run", store)[1:], properties=properties)
    (log,) = events.iterdir()
    found = [json.loads(path.read_text()) for path in notes.iterdir()]
    return Run(store, printed, found, *tasks_of(map(json.loads, log.read_text().splitlines())))


def tasks_of(events):
    """Return the tasks of an event log as a list for each Spark stage: with a profile of its own, and without."""
    profiles, tasks = {}, {}
    for event in events:
        if event["Event"] == "SparkListenerStageSubmitted":
            profiles[event["Stage Info"]["Stage ID"]] = event["Stage Info"]["Resource Profile Id"]
        if event["Event"] == "SparkListenerTaskEnd":
            # The driver notes an end late, after it has given the place to another task: so count from the launch.
            info, metrics = event["Task Info"], event["Task Metrics"]
            duration = metrics["Executor Deserialize Time"] + metrics["Executor Run Time"]
            times = (info["Executor ID"], info["Launch Time"], info["Launch Time"] + duration)
            tasks.setdefault(event["Stage ID"], []).append(times)
    return ([each for stage, each in tasks.items() if bool(profiles[stage]) is wanted] for wanted in (True, False))


def most_at_once(tasks):
    changes = sorted([(start, 1) for _, start, _ in tasks] + [(end, -1) for _, _, end in tasks])
    return max(accumulate(change for _, change in changes))


def rows_by_key(store, table, columns, key):
    rows = Store(str(store)).read_arrow(table, columns).to_pylist()
    return {tuple(row[name] for name in key): row for row in rows}


def assert_same_answers(one, two):
    key = ("id", "rank")
    columns = ["id", "rank", "landmark_id", "score"]
    first, second = rows_by_key(one, PREDICTIONS, columns, key), rows_by_key(two, PREDICTIONS, columns, key)
    assert first.keys() == second.keys()
    for name, row in first.items():
        assert row["score"] == pytest.approx(second[name]["score"], abs=1e-4)
    best = {name: row["landmark_id"] for name, row in first.items() if name[1] == 0}
    assert best == {name: row["landmark_id"] for name, row in second.items() if name[1] == 0}
    inliers = ["id", "landmark_id", "num_inliers", "num_comparisons", "best_reference_id"]
    pair = ("id", "landmark_id")
    assert rows_by_key(one, VERIFICATIONS, inliers, pair) == rows_by_key(two, VERIFICATIONS, inliers, pair)
    assert_same_cells(one / "submission.csv", two / "submission.csv")


def assert_same_cells(one, two):
    with one.open() as first, two.open() as second:
        pairs = list(zip(csv.DictReader(first), csv.DictReader(second), strict=True))
    assert pairs
    for left, right in pairs:
        assert left["id"] == right["id"]
        cells = [each["landmarks"].split() for each in (left, right)]
        assert cells[0][:1] == cells[1][:1]
        assert [float(each) for each in cells[0][1:]] == pytest.approx([float(each) for each in cells[1][1:]], abs=1e-4)


def test_a_cluster_gives_the_landmarks_and_scores_of_a_local_run(gpu_run, finished):
    assert "fused with verification" in gpu_run.printed
    assert_same_answers(finished, gpu_run.store)


def test_accelerator_stages_compute_on_the_gpu_of_their_task_alone(gpu_run):
    assert all(",".join(note["given"]) == note["used"] for note in gpu_run.notes)
    assert len({note["used"] for note in gpu_run.notes}) == 2  # each of the two executors its own


def test_accelerator_stages_run_one_task_a_gpu_and_all_others_a_task_a_core(gpu_run):
    assert len(gpu_run.accelerator_tasks) >= 3  # features, training, predictions
    for tasks in gpu_run.accelerator_tasks:
        for executor in {each[0] for each in tasks}:
            assert most_at_once([each for each in tasks if each[0] == executor]) == 1
    assert max(map(most_at_once, gpu_run.accelerator_tasks)) == 2
    assert max(map(most_at_once, gpu_run.other_tasks)) == 4


@pytest.fixture(scope="module")
def short_tasks(cluster):
    """What gpu_tasks.py printed, by the word before the colon."""
    properties = {"spark.executor.resource.gpu.amount": "2", "spark.task.maxFailures": "1"}
    printed = spark_submit(cluster, TESTS / "gpu_tasks.py", [], properties=properties)
    return dict(line.split(": ", 1) for line in printed.splitlines() if line.startswith(("tasks: ", "refused: ")))


def test_on_executors_with_several_gpus_no_worker_computes_on_another_tasks_gpu(short_tasks):
    tasks = json.loads(short_tasks["tasks"])
    assert len(tasks) == 7
    assert {task["given"] for task in tasks} == {"0", "1", "2", "3"}
    assert [task["used"] for task in tasks] == [task["given"] for task in tasks]


def test_executors_that_no_worker_can_start_are_refused_instead_of_waited_for(short_tasks):
    assert "spark.executor.resource.gpu.amount = 3 should be at most" in short_tasks["refused"]
    assert "workers with 2, 2" in short_tasks["refused"]
