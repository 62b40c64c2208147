"""Tasks that run twice at once, machines that leave and join, memory that runs out, a picture that kills, a clock."""

import contextlib
import csv
import io
import time
from dataclasses import replace

import pytest
from clusters import WITHOUT_OVERRIDE, Cluster, end_of
from standalone import standalone_cluster, start_worker

from landmark_spark.schemas import IMAGES
from landmark_spark.store import Store

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(1800)]


def wait_until(condition, what, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} should have come"
        time.sleep(0.1)


def test_a_task_attempted_twice_at_once_counts_once(cluster, undisturbed, tmp_path):
    run = cluster.run(tmp_path / "store")
    held = [
        ["images", "before the data"],
        ["bottlenecks", "after the data"],
        ["predictions", "before the marker"],
        ["local_features", "before the data"],
        ["verifications", "before the marker"],
    ]
    eager = {"interval": "100ms", "multiplier": "1.01", "quantile": "0.01", "minTaskRuntime": "100ms"}
    properties = {"spark.speculation": "true"} | {f"spark.speculation.{key}": value for key, value in eager.items()}
    plan = {"kind": "overtake", "at": held, "tasks_only": True}
    status, printed = run.finish(plan=plan, properties=properties, timeout=1500)
    assert status == 0, printed
    overtaken = {f"overtaken, {output}, True" for output, _ in held}
    assert run.noted() == {", ".join(pair) for pair in held} | overtaken
    run.assert_same_submission(undisturbed)
    assert run.unfinished() == []


def test_a_machine_that_leaves_and_one_that_joins(cluster, undisturbed, tmp_path):
    with (
        standalone_cluster(tmp_path, prefix=WITHOUT_OVERRIDE) as master,
        contextlib.ExitStack() as stack,
    ):
        run = replace(undisturbed.copy_to(tmp_path), cluster=Cluster(master, cluster.world))
        run.forget("bottlenecks")
        plan = {"kind": "kill", "kill": "node", "at": [["bottlenecks", "before the data"]], "tasks_only": True}
        process = run.start(plan=plan)
        wait_until(lambda: run.noted() or process.poll() is not None, "the end of a worker")
        start_worker(stack, master, tmp_path, 2, prefix=WITHOUT_OVERRIDE)
        status, printed = end_of(process)
        assert status == 0, printed
        assert list((tmp_path / "work2").glob("app-*/*/stderr"))  # the new one had an executor of the run
    run.assert_same_submission(undisturbed)


def test_an_accelerator_out_of_memory_gets_smaller_batches_and_says_so(cluster, undisturbed, tmp_path):
    run = cluster.run(tmp_path / "store")
    status, printed = run.finish(plan={"kind": "memory", "max_batch": 5})
    assert status == 0, printed
    assert "out of memory, 16" in run.noted()
    for stage in ("extract_bottlenecks", "predict_landmarks"):
        assert f"{stage}: out of memory with batches of 8: going on with 4" in printed, printed
    found, expected = cells(run.submission()), cells(undisturbed.submission())
    assert found.keys() == expected.keys()
    for name, cell in found.items():  # the network sums other batches in another order: the last digits differ
        one, other = cell.split(), expected[name].split()
        assert one[:1] == other[:1]
        assert [float(each) for each in one[1:]] == pytest.approx([float(each) for each in other[1:]], abs=1e-3)
    assert run.unfinished() == []


def test_a_picture_that_crashes_its_decoder_costs_its_own_row(cluster, undisturbed, tmp_path):
    with (cluster.world / "test.csv").open() as file:
        photos = {row["id"]: cluster.world / row["url"] for row in csv.DictReader(file)}
    before = {row["id"]: row for row in images(undisturbed)}
    poison = next(name for name, path in sorted(photos.items()) if before[name]["status"] == "ok" and path.is_file())
    num_bytes = photos[poison].stat().st_size
    assert [name for name, row in before.items() if row["num_bytes"] == num_bytes] == [poison]
    run = cluster.run(tmp_path / "store")
    status, printed = run.finish(plan={"kind": "poison", "poison_bytes": num_bytes})
    assert status == 0, printed
    assert any(name.startswith("crashed") for name in run.noted())
    after = {row["id"]: row for row in images(run)}
    assert after.pop(poison)["status"] == "decoder_crash"
    assert after == {name: row for name, row in before.items() if name != poison}
    expected = cells(undisturbed.submission()) | {poison: ""}
    assert cells(run.submission()) == expected


def images(run):
    return Store(str(run.store)).read_arrow(IMAGES, ["id", "status", "num_bytes", "sha256"]).to_pylist()


def cells(submission):
    return {row["id"]: row["landmarks"] for row in csv.DictReader(io.StringIO(submission.decode()))}


def test_a_clock_that_jumps_changes_nothing(cluster, undisturbed, tmp_path):
    run = cluster.run(tmp_path / "store")
    status, printed = run.finish(plan={"kind": "clock"})
    assert status == 0, printed
    assert len(run.noted()) > 3  # the driver and its workers
    run.assert_same_submission(undisturbed)
    status, printed = run.finish()
    assert status == 0 and "Nothing to do" in printed, printed
