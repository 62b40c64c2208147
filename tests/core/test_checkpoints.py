import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import small_training
from small_training import CHECKED, checkpoints_in, train

from landmark_spark.core.checkpoints import Checkpoint, Checkpoints
from landmark_spark.core.model_files import load_model
from landmark_spark.core.training_loop import build_trainee

POSITION = Checkpoint(
    [np.array([0.1, -0.0], np.float32), np.array([[7]], np.uint32)],
    epoch=2,
    step=3,
    num_steps=9,
    history={"loss": [0.1 + 0.2, 1e-300]},
    total_loss=1 / 3,
    num_examples=12,
    best=[np.array([5.0, 6.0], np.float32), np.array([[8]], np.uint32)],
)


def test_a_checkpoint_comes_back_bit_for_bit():
    again = Checkpoint.from_bytes(POSITION.to_bytes())
    for mine, theirs in zip([*POSITION.state, *POSITION.best], [*again.state, *again.best], strict=True):
        assert mine.dtype == theirs.dtype
        assert mine.tobytes() == theirs.tobytes()
    for name in ("epoch", "step", "num_steps", "history", "total_loss", "num_examples"):
        assert getattr(again, name) == getattr(POSITION, name), name


@pytest.mark.parametrize("damage", [lambda data: data[:-40], lambda data: b"", lambda data: b"no zip"])
def test_a_damaged_checkpoint_is_none(damage):
    assert Checkpoint.from_bytes(damage(POSITION.to_bytes())) is None


def test_a_checkpoint_with_pickled_objects_is_none(tmp_path):
    np.savez(tmp_path / "c.npz", position=np.array([{"a": 1}], dtype=object))
    assert Checkpoint.from_bytes((tmp_path / "c.npz").read_bytes()) is None


def test_a_worker_that_only_reads_writes_nothing():
    Checkpoints(lambda: None).save(POSITION)
    assert Checkpoints(lambda: None).load() is None


def test_a_training_killed_in_the_middle_goes_on_to_the_same_curve_and_weights(tmp_path):
    whole = train(tmp_path / "whole", CHECKED, checkpoints_in(tmp_path / "whole.npz"))
    path = tmp_path / "killed.npz"
    script = Path(small_training.__file__)
    # In the third epoch of six steps; the checkpoint is of the 15th step.
    paths = os.pathsep.join(sys.path)
    died = subprocess.run(
        [sys.executable, str(script), str(path), "17"], check=False, env=os.environ | {"PYTHONPATH": paths}
    )
    assert died.returncode == -signal.SIGKILL
    left = Checkpoint.from_bytes(path.read_bytes())
    assert (left.num_steps, left.epoch, left.step) == (15, 2, 3)
    resumed = train(tmp_path / "resumed", CHECKED, checkpoints_in(path))
    assert resumed == whole
    one, two = (load_model(tmp_path / name / "model.keras").get_weights() for name in ("whole", "resumed"))
    for mine, theirs in zip(one, two, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_training_that_had_ended_is_not_done_again(tmp_path):
    checkpoints = checkpoints_in(tmp_path / "ended.npz")
    first = train(tmp_path / "first", CHECKED, checkpoints)

    def build_idle(*parts):
        def step(*batch):
            raise AssertionError("a step was made")

        return replace(build_trainee(*parts), step=step)

    assert train(tmp_path / "second", CHECKED, checkpoints, build_idle) == first
    names = ("model.keras", "history.json", "logs/events.out.tfevents.history")
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes(), name
