"""SIGKILL of the process that trains, in the middle of its training."""

import pytest

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(900)]


def test_a_killed_training_is_attempted_again_and_goes_on_by_hand(undisturbed, tmp_path):
    run = undisturbed.copy_to(tmp_path)
    run.forget("top_model")
    steps = ("before the data", "after the data")
    plan = {"kind": "kill", "kill": "worker", "at": [["checkpoint of train_top_model", step] for step in steps]}
    words = ("--set", "train.checkpoint_steps=1")
    status, printed = run.finish(*words, plan=plan, properties={"spark.task.maxFailures": "2"})
    assert status == 1, printed
    assert run.noted() == {f"checkpoint of train_top_model, {step}" for step in steps}  # Spark ran the task twice
    error = printed.strip().splitlines()[-1]
    assert error.startswith("error: train_top_model failed: ") and "it was killed, as for want of memory" in error
    assert list((run.store / "_checkpoints" / "train_top_model").rglob("*.npz"))
    status, printed = run.finish(*words)
    assert status == 0, printed
    assert run.digests() == undisturbed.digests()
    run.assert_same_submission(undisturbed)
    assert run.unfinished() == []
