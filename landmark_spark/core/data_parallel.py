"""Several processes train one model together: each takes its rows of every batch, all hold the same weights.

Synchronous data parallelism on TensorFlow's MultiWorkerMirroredStrategy. The loop is that of one process
(core.training_loop): every rank goes through the same global batches in the same order and is fed only its own rows of
each, rows r * B // n to (r + 1) * B // n of B for rank r of n, so every rank does the same number of steps. A rank may
have no row of a small last batch; it calls ``step`` all the same, or the others wait for ever.

How a training uses it::

    ranks = join_ranks(rank)                     # before TensorFlow runs anything in this process
    trainee = ranks.build_trainee(make_model, make_optimizer, loss_of_each)
    read = lambda: ranks.from_first(read_checkpoint())     # all go on from where rank 0 does
    history = run_loop(trainee, data, plan, checkpoints=Checkpoints(read, write if ranks.is_first else None))
    if ranks.is_first: save(...)                 # only rank 0 writes

A process that ends takes along the peers that still hear from it: let none end before all have come to the end
(landmark_spark.barrier sees to it; elsewhere a last ``ranks.from_first(None)`` and a moment do).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from landmark_spark.core.training_loop import Trainee
from landmark_spark.core.whole_batch_dropout import Masks, with_masks

__all__ = ["PeerLostError", "Rank", "Ranks", "join_ranks"]

_ABORTED = ("Collective ops is aborted", "Socket closed", "Connection reset", "Connection refused", "unreachable")


class PeerLostError(RuntimeError):
    """Another rank is gone: what it died of is the cause, this error is not."""


@dataclass(frozen=True)
class Rank:
    """Which of the processes this one is.

    number: from 0; addresses: host:port at which each rank's TensorFlow server listens, in the order of the ranks.
    TensorFlow's servers ask nobody for a password: the ports should be reachable from the cluster only.
    """

    number: int
    addresses: tuple[str, ...]

    @property
    def place_on_host(self) -> int:
        """The number of earlier ranks on the same host."""
        hosts = [address.rpartition(":")[0] for address in self.addresses]
        return hosts[: self.number].count(hosts[self.number])


def join_ranks(rank: Rank) -> Ranks:
    """Connect this process to its peers; waits until all are there.

    To be called before TensorFlow runs anything in this process. Of several GPUs that it sees it takes one: the ranks
    of a host one after another. Raises ValueError for another backend of Keras, and PeerLostError.
    """
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            f"Keras' backend should be tensorflow where several workers train. Received: {keras.backend.backend()}"
        )
    gpus = tf.config.list_physical_devices("GPU")
    if len(gpus) > 1:
        tf.config.set_visible_devices(gpus[rank.place_on_host % len(gpus)], "GPU")
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(rank.addresses)}),
        task_type="worker",
        task_id=rank.number,
        rpc_layer="grpc",
    )
    os.environ["TF_GRPC_REUSE_PORT"] = "1"  # who chose the ports may keep them until this process has them
    with _peer_errors():
        return Ranks(rank, tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver))


class Ranks:
    """This process among those it trains with; made by ``join_ranks``.

    number: of this rank, from 0; count: of all ranks. What every rank must call, it must call as often as the others.
    """

    def __init__(self, rank: Rank, strategy: Any) -> None:
        import tensorflow as tf

        self.number = rank.number
        self.count = len(rank.addresses)
        self._strategy = strategy

        self._total = tf.function(lambda values: strategy.run(_sum_over_ranks, args=(values,)), reduce_retracing=True)

    @property
    def is_first(self) -> bool:
        """Tell whether this is rank 0, which alone writes checkpoints, logs and the model."""
        return self.number == 0

    def build_trainee(
        self, make_model: Callable[[], Any], make_optimizer: Callable[[], Any], loss_of_each: Callable[[Any, Any], Any]
    ) -> Trainee:
        """Return the model in training, with the same initial values on all ranks; every rank must call it.

        make_model: the keras.Model, uncompiled; its trainable variables at this moment are what is trained.
        loss_of_each: labels (B,) and outputs (B, C) -> the loss of each row (B,).
        The trainee's ``step`` takes this rank's rows of a batch, 0 or more, and returns what one process returns for
        the whole batch. ``keras.layers.Dropout``, also of nested models, drops what one process would drop of the whole
        batch: each rank draws the mask of all rows and takes its own, so that the loss curve is that of one rank.
        ``score`` takes a whole batch, the same on every rank, and gives the same scores on each; all must call it.
        Raises ValueError for a BatchNormalization layer that is trained, PeerLostError here, in a step and in a score.
        """
        with _peer_errors(), self._strategy.scope():
            model = make_model()
            _check_normalisation(model)
            optimizer = make_optimizer()
            optimizer.build(model.trainable_variables)
            step = _Step(self, self._strategy, model, optimizer, loss_of_each)
        return Trainee(step, self._score(model), *_state_of([*model.variables, *optimizer.variables]), model)

    def from_first(self, data: bytes | None) -> bytes | None:
        """Return rank 0's bytes on every rank; every rank must call it, what others give is not looked at."""
        mine = data if self.is_first else None
        (length,) = self._sum(np.array([-1 if mine is None and self.is_first else len(mine or b"")]))
        if length <= 0:  # TensorFlow crashes where ranks sum arrays of no value
            return None if length < 0 else b""
        words = np.zeros(-(-length // 8) * 8, np.uint8)
        words[: len(mine or b"")] = np.frombuffer(mine or b"", np.uint8)
        return self._sum(words.view(np.int64)).tobytes()[:length]

    def _score(self, model: Any) -> Callable[[Any], npt.NDArray[np.float32]]:
        """Return what scores a batch, the same on every rank: each its rows, so that all come to the same numbers."""
        import tensorflow as tf

        run = tf.function(lambda features: model(features, training=False), reduce_retracing=True)

        def score(features: Any) -> npt.NDArray[np.float32]:
            count = len(features)
            mine = slice(self.number * count // self.count, (self.number + 1) * count // self.count)
            scores = np.zeros((count, model.output_shape[1]), np.float32)
            if mine.start < mine.stop:
                scores[mine] = run(tf.convert_to_tensor(features[mine]))
            return self._sum(scores)

        return score

    def _sum(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        import tensorflow as tf

        with _peer_errors():
            return np.asarray(self._total(tf.constant(values)))


class _Step:
    """One step of the optimizer over the rows of all ranks."""

    def __init__(self, ranks: Ranks, strategy: Any, model: Any, optimizer: Any, loss_of_each: Any) -> None:
        import tensorflow as tf

        self._number, self._count = ranks.number, ranks.count
        self._optimizer, self._loss_of_each = optimizer, loss_of_each
        self._masks = Masks()
        self._trained = with_masks(model, self._masks)

        def run(*arrays: Any) -> Any:
            seeds = [generator.next() for generator in self._masks.generators]  # a rank may not change variables alone
            return strategy.run(self._work, args=(*arrays, seeds))

        self._run = tf.function(run, reduce_retracing=True)

    def __call__(self, features: Any, labels: npt.NDArray[np.int32], weights: npt.NDArray[np.float32]) -> float:
        import tensorflow as tf

        features, num_rows = np.asarray(features), len(labels)
        if not num_rows:  # not every operation takes none: a row of nothing, that counts for nothing
            features = np.zeros((1, *self._trained.input_shape[1:]), features.dtype)
            labels, weights = np.zeros(1, np.int32), np.zeros(1, np.float32)
        arrays = [tf.convert_to_tensor(each) for each in (features, labels, weights)]
        with _peer_errors():
            return float(self._run(*arrays, tf.constant(num_rows)))

    def _work(self, features: Any, labels: Any, weights: Any, num_rows: Any, seeds: Sequence[Any]) -> Any:
        import tensorflow as tf

        num_all = _sum_over_ranks(num_rows)
        first = self._number * num_all // self._count
        rows = tf.minimum(first + tf.range(tf.shape(labels)[0]), num_all - 1)
        variables = self._trained.trainable_variables
        self._masks.begin(seeds, rows, num_all)
        with tf.GradientTape() as tape:
            losses = self._loss_of_each(labels, self._trained(features, training=True))
            loss = tf.reduce_sum(losses * tf.cast(weights, losses.dtype)) / tf.cast(num_all, losses.dtype)
        self._optimizer.apply(tape.gradient(loss, variables), variables)  # which sums gradients over the ranks
        return _sum_over_ranks(loss)


def _check_normalisation(model: Any) -> None:
    import keras

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            raise ValueError(
                f"BatchNormalization should be frozen where several workers train: each has moments of its own. "
                f"Received: {layer.name}, trainable"
            )


def _state_of(variables: Sequence[Any]) -> tuple[Callable[[], list[npt.NDArray[Any]]], Callable[[Any], None]]:
    """Return what gets and what sets the values of all variables."""
    import keras

    def get_state() -> list[npt.NDArray[Any]]:
        return [np.array(keras.ops.convert_to_numpy(each)) for each in variables]

    def set_state(state: Sequence[npt.NDArray[Any]]) -> None:
        for variable, value in zip(variables, state, strict=True):
            variable.assign(value)

    return get_state, set_state


def _sum_over_ranks(value: Any) -> Any:
    import tensorflow as tf

    placed = tf.identity(value)  # on this rank's device: what a function is given is on none
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, placed)


@contextlib.contextmanager
def _peer_errors() -> Iterator[None]:
    """Raise PeerLostError for what TensorFlow says where a peer is gone."""
    import tensorflow as tf

    lost = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    try:
        yield
    except tf.errors.OpError as error:
        if isinstance(error, lost) or any(word in str(error.message) for word in _ABORTED):
            raise PeerLostError("another rank is gone; its own error is the cause") from error
        raise
