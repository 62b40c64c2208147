"""Ctrl-C: a line that says how to go on, a clean store, and the same bytes in the end."""

import contextlib
import os
import signal
import time

import pytest
from clusters import end_of

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(900)]

LINE = "interrupted: what was committed stays; the same command goes on from there"
PLAN = {"kind": "hold", "at": [["bottlenecks", "before the data"]], "tasks_only": True}


def halfway(undisturbed, tmp_path):
    run = undisturbed.copy_to(tmp_path)
    for path in (run.store / "_commits" / "bottlenecks").iterdir():
        path.unlink()
    return run


def interrupt_in_the_middle(run, process, number):
    deadline = time.monotonic() + 300
    while not run.noted():
        assert process.poll() is None and time.monotonic() < deadline, "the stage should have begun"
        time.sleep(0.1)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        os.kill(process.pid, number)
    status, printed = end_of(process)
    wait_until_gone(process.pid)  # spark-submit does not wait for the driver's Python, which clears up
    return status, printed


def wait_until_gone(group):
    deadline = time.monotonic() + 60
    with contextlib.suppress(ProcessLookupError):
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.1)
        raise AssertionError("the driver should have ended")


def assert_clean_and_goes_on(run, undisturbed):
    assert run.unfinished() == []
    status, printed = run.finish()
    assert status == 0, printed
    run.assert_same_submission(undisturbed)
    assert run.unfinished() == []


def test_a_submitted_run(undisturbed, tmp_path):
    run = halfway(undisturbed, tmp_path)
    status, printed = interrupt_in_the_middle(run, run.start(plan=PLAN), signal.SIGINT)
    assert status == 130, printed
    assert LINE in printed and "Traceback" not in printed
    assert_clean_and_goes_on(run, undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_on_this_machine(undisturbed, tmp_path, number):
    run = halfway(undisturbed, tmp_path)
    run.notes.mkdir()
    process = run.start_here(PLAN)
    status, printed = interrupt_in_the_middle(run, process, number)
    assert status == 130, printed
    assert printed.strip().splitlines()[-1] == LINE
    assert "Traceback" not in printed
    assert_clean_and_goes_on(run, undisturbed)
