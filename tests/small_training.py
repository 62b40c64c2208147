"""A training of the top model on three clusters, for the tests and for a process that is killed in the middle.

Called as ``python small_training.py FILE NUM_STEPS`` it dies by SIGKILL in that step, and leaves a checkpoint in FILE.
"""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from landmark_spark.core.checkpoints import Checkpoints
from landmark_spark.core.refitting import Training
from landmark_spark.core.top_model import TopModelPlan, train_top_model
from landmark_spark.core.training_loop import Batch, LoopPlan, TrainingData, build_trainee

PLAN = TopModelPlan(
    num_classes=3, feature_size=8, hidden_units=16, dropout=0.1, learning_rate=0.02, label_smoothing=0.1, seed=5
)
LANDMARKS = np.array([70, 8, 900], np.int64)
LOOP = LoopPlan(epochs=20, label_smoothing=0.1)
CHECKED = replace(LOOP, epochs=4, patience=3, checkpoint_steps=5)


def examples(count, seed):
    """Three well separated clusters."""
    random = np.random.default_rng(seed)
    labels = np.arange(count, dtype=np.int32) % 3
    centres = np.eye(3, 8) * 4
    return (centres[labels] + random.normal(0, 0.3, (count, 8))).astype(np.float16), labels


def data(count=48, seed=0, validation=(12, 1), batch_size=8):
    features, labels = examples(count, seed)

    def train(epoch, first_step):
        order = np.random.default_rng(epoch).permutation(count)
        for start in range(first_step * batch_size, count, batch_size):
            rows = order[start : start + batch_size]
            yield Batch(features[rows], labels[rows], np.ones(len(rows), np.float32), len(rows))

    return TrainingData(train, (lambda: iter([examples(*validation)])) if validation else None)


def checkpoints_in(path):
    def write(data):
        path.with_suffix(".part").write_bytes(data)
        path.with_suffix(".part").replace(path)

    return Checkpoints(lambda: path.read_bytes() if path.exists() else None, write)


def train(folder, loop=LOOP, checkpoints=None, build=build_trainee, everything=None):
    training = Training(loop, data(), everything, {"measured": checkpoints} if checkpoints else {})
    return train_top_model(PLAN, training, landmark_ids=LANDMARKS, folder=folder, build=build)


def build_mortal(num_steps):
    def build(*parts):
        trainee = build_trainee(*parts)
        done = iter(range(num_steps))

        def step(*batch):
            if next(done, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            return trainee.step(*batch)

        return replace(trainee, step=step)

    return build


if __name__ == "__main__":
    path = Path(sys.argv[1])
    train(path.parent / "never", CHECKED, checkpoints_in(path), build_mortal(int(sys.argv[2])))
