"""Ctrl-C while pictures are downloaded, then while the network is trained: the same command goes on each time."""

import shutil
import signal

import pytest
from test_interrupted import LINE, interrupt_in_the_middle

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(900)]


def test_a_run_interrupted_twice(undisturbed, tmp_path):
    run = undisturbed.copy_to(tmp_path)
    run.forget("images", "top_model")
    words = ("--set", "train.checkpoint_steps=1")
    for place in ("images", "checkpoint of train_top_model"):
        shutil.rmtree(run.notes, ignore_errors=True)
        plan = {"kind": "hold", "at": [[place, "before the data"]]}
        process = run.start(*words, plan=plan)
        status, printed = interrupt_in_the_middle(run, process, signal.SIGINT)
        assert status == 130, printed
        assert LINE in printed and "Traceback" not in printed
        assert run.unfinished() == []
    status, printed = run.finish(*words)
    assert status == 0, printed
    run.assert_same_submission(undisturbed)
    assert run.unfinished() == []
