"""SIGKILL in the middle of what is one step for others: a training, and a stage of several outputs."""

import pytest
from clusters import end_of

pytestmark = [pytest.mark.jvm, pytest.mark.long_faults, pytest.mark.timeout(900)]


def digests(run, output):
    return {shard: [file.sha256 for file in each] for (name, shard), each in run.files().items() if name == output}


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
    assert digests(run, "top_model") == digests(undisturbed, "top_model")
    assert run.submission() == undisturbed.submission()
    assert run.unfinished() == []


def test_a_driver_killed_between_two_outputs_of_a_stage(undisturbed, tmp_path):
    run = undisturbed.copy_to(tmp_path)
    run.forget("records", "landmarks", "rejects", "metrics", "report")
    wanted = [["landmarks", "after the data"], ["rejects", "before the data"], ["report", "after the data"]]
    plan = {"kind": "kill", "kill": "driver", "at": wanted}
    for number in range(1, len(wanted) + 1):
        status, printed = end_of(run.start(plan=plan))
        assert status != 0 and len(run.noted()) == number, printed
    assert run.noted() == {", ".join(pair) for pair in wanted}
    status, printed = run.finish()
    assert status == 0, printed
    for output in ("records", "landmarks", "rejects"):
        assert digests(run, output) == digests(undisturbed, output)
    assert run.submission() == undisturbed.submission()
    assert run.unfinished() == []
