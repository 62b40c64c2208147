"""What the ranks of the tests do, in processes of their own on loopback: ``python ranks.py NUMBER ADDRESSES``."""

import os
import pickle
import signal
import sys

import numpy as np

__all__ = ["BATCHES", "NUM_CLASSES", "batches", "work"]

NUM_CLASSES, SIZE = 3, 8
BATCHES = (8, 8, 5, 1)  # of five rows on two ranks one has two, of one row one has none


def batches(number, count, num_epochs):
    random = np.random.default_rng(7)
    for size in BATCHES * num_epochs:
        features = random.normal(size=(size, SIZE)).astype(np.float16)
        labels = random.integers(0, NUM_CLASSES, size).astype(np.int32)
        weights = random.uniform(0.5, 2, size).astype(np.float32)
        mine = slice(number * size // count, (number + 1) * size // count)
        yield features[mine], labels[mine], weights[mine]


def make_model(dropout=0.5):
    import keras

    keras.utils.set_random_seed(3)
    inner = [keras.layers.Dense(16, activation="relu"), keras.layers.Dropout(dropout, seed=3)]
    inner = keras.Sequential([keras.Input((SIZE,)), *inner])
    outer = [keras.layers.Dropout(dropout / 5, noise_shape=(None, 16), seed=4)]
    outer += [keras.layers.Dense(NUM_CLASSES, activation="softmax")]
    return keras.Sequential([keras.Input((SIZE,)), inner, *outer])


def make_optimizer():
    import keras

    return keras.optimizers.Adam(0.01)


def loss_of_each(labels, outputs):
    import keras

    return keras.losses.sparse_categorical_crossentropy(labels, outputs)


def held_out(count):
    return np.random.default_rng(9).normal(size=(count, SIZE)).astype(np.float16)


def work(number, addresses):
    """Return what a rank saw: of the training of all, of one that goes on, and of one process alone."""
    from landmark_spark.core.data_parallel import Rank, join_ranks
    from landmark_spark.core.training_loop import build_trainee
    from landmark_spark.gpu import prepare_framework

    prepare_framework(num_threads=1, gpus=())
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    ranks = join_ranks(Rank(number, addresses))
    parts = (make_model, make_optimizer, loss_of_each)
    together, alone, later = ranks.build_trainee(*parts), build_trainee(*parts), ranks.build_trainee(*parts)
    seen = {"bytes": [ranks.from_first(each) for each in (b"rank %d" % number, b"x" * number, None)]}
    begun = [together.step(*batch) for batch in batches(number, 2, 1)]
    middle = together.get_state()
    seen["losses"] = begun + [together.step(*batch) for batch in list(batches(number, 2, 3))[4:]]
    seen["state"] = together.get_state()
    seen["scores"] = [together.score(held_out(count)) for count in (5, 1)]
    later.set_state(middle)
    seen["later"] = [later.step(*batch) for batch in list(batches(number, 2, 3))[4:]]
    seen["losses_alone"] = [alone.step(*batch) for batch in batches(0, 1, 3)]
    seen["state_alone"], seen["scores_alone"] = alone.get_state(), [alone.score(held_out(each)) for each in (5, 1)]
    return seen, together


def main():
    number, addresses = int(sys.argv[1]), tuple(sys.argv[2].split(","))
    seen, together = work(number, addresses)
    sys.stdout.buffer.write(pickle.dumps(seen))
    sys.stdout.buffer.flush()
    if number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        for _ in range(2):
            together.step(*next(batches(0, 2, 1)))
    except Exception as error:
        sys.stdout.buffer.write(pickle.dumps(repr(error)))
        sys.stdout.buffer.flush()
        os._exit(0)


if __name__ == "__main__":
    main()
