"""A child process that dies costs the job that killed it, and no other."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from isolated_jobs import Broken, Worker

from landmark_spark.child_process import Done
from landmark_spark.isolation import IsolationError, Window, run_isolated

ROOT = Path(__file__).resolve().parent.parent
WINDOW = Window(max_running=8, max_waiting=100, max_waiting_bytes=10_000_000, patience=5.0)


def lost(job, cause):
    return ("lost", job, cause)


def results(jobs, start=None, window=WINDOW):
    return list(run_isolated(jobs, start or Worker(), lost, window=window))


def test_results_come_in_the_order_of_the_jobs():
    jobs = [("slow", 0.3), *(("plain", number) for number in range(50))]
    assert results(jobs) == jobs


def test_no_jobs_give_no_results():
    assert results([]) == []


def test_a_job_that_is_done_already_keeps_its_place():
    assert results([("plain", 1), Done("kept"), ("plain", 2)]) == [("plain", 1), "kept", ("plain", 2)]


def test_a_crash_costs_its_own_job_only():
    jobs = [("plain", number) for number in range(40)]
    jobs[7] = jobs[23] = ("crash", 0)
    expected = list(jobs)
    expected[7] = expected[23] = ("lost", ("crash", 0), "crash")
    assert results(jobs) == expected


def test_a_job_that_was_killed_for_another_reason_is_done_at_the_second_try(tmp_path):
    jobs = [("plain", 0), ("crash_once", str(tmp_path / "seen")), ("plain", 2)]
    assert results(jobs) == jobs


def test_a_job_that_hangs_is_given_up_and_its_neighbours_are_not():
    window = Window(max_running=4, max_waiting=100, max_waiting_bytes=10_000_000, patience=0.5)
    jobs = [("plain", 0), ("hang", 0), *(("plain", number) for number in range(1, 20))]
    started = time.monotonic()
    found = results(jobs, window=window)
    assert found == [("plain", 0), ("lost", ("hang", 0), "timeout"), *jobs[2:]]
    assert time.monotonic() - started < 30


def test_a_job_that_kills_before_it_said_so_is_found_by_trying_each_alone():
    jobs = [("plain", 0), ("quiet_exit", 3), ("plain", 2)]
    assert results(jobs) == [("plain", 0), ("lost", ("quiet_exit", 3), "crash"), ("plain", 2)]


def test_a_child_that_cannot_start_is_an_error():
    with pytest.raises(IsolationError, match="should start. Received: exit code 1"):
        results([("plain", 1)], start=Broken())


def test_the_child_serves_one_sequence_after_another():
    (first,), (second,) = results([("pid", 0)]), results([("pid", 0)])
    assert first == second
    assert first[1] != os.getpid()


def test_a_child_that_died_while_idle_is_replaced():
    ((_, pid),) = results([("pid", 0)])
    os.kill(pid, signal.SIGKILL)
    while Path(f"/proc/{pid}/status").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        time.sleep(0.01)
    assert results([("plain", 1)]) == [("plain", 1)]


def test_another_start_is_another_child():
    ((_, first),) = results([("pid", 0)])
    ((_, second),) = results([("pid", 0)], start=Worker(num_threads=2))
    assert first != second


def test_jobs_are_read_no_further_than_the_window():
    read = []

    def jobs():
        for number in range(100):
            read.append(number)
            yield ("slow", 0.5) if number == 0 else ("plain", number)

    window = Window(max_running=3, max_waiting=5, max_waiting_bytes=10_000_000, patience=5.0)
    found = run_isolated(jobs(), Worker(), lost, window=window)
    assert next(found) == ("slow", 0.5)
    assert len(read) <= 3 + 5 + 1
    assert len(list(found)) == 99


def test_results_that_wait_are_bounded_by_their_bytes():
    read = []

    def jobs():
        for number in range(60):
            read.append(number)
            yield ("slow", 0.5) if number == 0 else ("bytes", 100_000)

    window = Window(max_running=4, max_waiting=1000, max_waiting_bytes=1_000_000, patience=5.0)
    found = run_isolated(jobs(), Worker(), lost, window=window)
    next(found)
    assert len(read) <= 1 + 10 + 4  # ten results make a million bytes; four more were running
    assert len(list(found)) == 59


def test_what_waits_with_jobs_that_are_done_already_counts_too():
    read = []

    def jobs():
        for number in range(60):
            read.append(number)
            yield ("slow", 0.5) if number == 0 else Done(number, num_bytes=100_000)

    window = Window(max_running=4, max_waiting=1000, max_waiting_bytes=1_000_000, patience=5.0)
    found = run_isolated(jobs(), Worker(), lost, window=window)
    next(found)
    assert len(read) <= 1 + 10 + 1
    assert list(found) == list(range(1, 60))


def test_a_caller_that_stops_early_leaves_no_child():
    found = run_isolated([("pid", 0), ("slow", 60)], Worker(), lost, window=WINDOW)
    _, pid = next(found)
    found.close()
    assert not Path(f"/proc/{pid}").exists()


def test_the_child_goes_with_a_parent_that_was_killed(tmp_path):
    code = textwrap.dedent(
        """
        import sys, time
        from isolated_jobs import Worker
        from landmark_spark.isolation import Window, run_isolated
        window = Window(max_running=4, max_waiting=9, max_waiting_bytes=9999, patience=60.0)
        found = run_isolated([("pid", 0), ("hang", 0)], Worker(), None, window=window)
        print(next(found)[1], flush=True)
        next(found)
        """
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    pid = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists() and "zombie" not in Path(f"/proc/{pid}/status").read_text():
        assert time.monotonic() < deadline, "the child should end with its parent"
        time.sleep(0.05)
