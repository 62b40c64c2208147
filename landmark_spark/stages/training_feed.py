"""The training images of a store as the training loop takes them: balanced, prepared, one worker's rows, made ahead."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from landmark_spark.core.augmentation import Draw
from landmark_spark.core.class_balance import draw_rows, loss_weights, num_copies
from landmark_spark.core.prefetching import run_ahead
from landmark_spark.core.training_loop import Batch, TrainingData
from landmark_spark.feed import FeedError, Part, count_labels, iterate_batches

__all__ = ["Prepare", "TrainingFeed", "as_they_are"]

Item = TypeVar("Item")
Labels = npt.NDArray[np.int32]
_NUM_AHEAD = 2  # batches made while a step runs


class Prepare(Protocol):
    """Makes the model's input of a batch's values; the draw is of a step of training, None where nothing is random."""

    def __call__(self, values: Any, draw: Draw | None) -> Any:
        """Return the input."""


def as_they_are(values: Any, draw: Draw | None) -> Any:
    """Return values that the model takes as the feed has them."""
    del draw
    return values


@dataclass(frozen=True)
class TrainingFeed:
    """Where the training images are, and how they become batches.

    column: "features" of bottlenecks or "image" of images. class_balance: none, weights or sqrt_sampling. rank,
    num_ranks: this worker's number and how many there are; each gets its own rows of every batch.
    """

    urls: tuple[str, ...]
    column: Literal["features", "image"]
    num_classes: int
    batch_size: int
    validation_fraction: float
    class_balance: str
    seed: int
    rank: int = 0
    num_ranks: int = 1

    def class_sizes(self, part: Part) -> npt.NDArray[np.int64]:
        """Return how many examples of each class a part has: (C,)."""
        return count_labels(
            self.urls,
            part,
            num_classes=self.num_classes,
            validation_fraction=self.validation_fraction,
            column=self.column,
        )

    def feature_size(self) -> int:
        """Return D of the features (B, D)."""
        values, _ = next(self._rows("everything", 0, shuffle_rows=1))
        return int(values.shape[1])

    def is_held_out(self) -> bool:
        """Tell whether any example is held out."""
        return bool(self.class_sizes("validation").any())

    def data(self, part: Part, prepare: Prepare) -> TrainingData:
        """Return what a training on a part passes over, with the held-out part where it is not trained on.

        Raises FeedError where the part has no example.
        """
        sizes = self.class_sizes(part)
        if not sizes.any():
            raise FeedError(
                f"{self.column} should be there for at least one training image. Received: none, see images.status"
            )
        weights = loss_weights(sizes) if self.class_balance == "weights" else np.ones(self.num_classes, np.float32)
        copies = num_copies(sizes) if self.class_balance == "sqrt_sampling" else None

        def train(epoch: int, first_step: int) -> Iterator[Batch]:
            rows = self._rows(part, epoch)
            if copies is not None:
                rows = draw_rows(rows, copies, batch_size=self.batch_size, seed=self.seed + epoch)
            numbered = itertools.islice(enumerate(rows), first_step, None)
            return _made_ahead(
                self._batch(values, labels, weights, partial(prepare, draw=self._draw(epoch, step, len(labels))))
                for step, (values, labels) in numbered
            )

        def validation() -> Iterator[tuple[Any, Labels]]:
            return _made_ahead((prepare(values, draw=None), labels) for values, labels in self._rows("validation", 0))

        return TrainingData(train, validation if part == "train" and self.is_held_out() else None)

    def _rows(self, part: Part, epoch: int, **options: Any) -> Iterator[tuple[Any, Labels]]:
        """Yield the batches of all workers, as the feed has them."""
        return iterate_batches(
            self.urls,
            part,
            batch_size=self.batch_size,
            validation_fraction=self.validation_fraction,
            seed=self.seed + epoch,
            column=self.column,
            **options,
        )

    def _batch(
        self, values: Any, labels: Labels, weights: npt.NDArray[np.float32], prepare: Callable[[Any], Any]
    ) -> Batch:
        count = len(labels)
        mine = slice(self._first_of(count), (self.rank + 1) * count // self.num_ranks)
        return Batch(prepare(values[mine]), labels[mine], weights[labels[mine]], count)

    def _first_of(self, count: int) -> int:
        """Return the place of this worker's first row among those of a batch."""
        return self.rank * count // self.num_ranks

    def _draw(self, epoch: int, step: int, count: int) -> Draw:
        seed = int(np.random.SeedSequence([self.seed, epoch, step, 0]).generate_state(1)[0])
        return Draw(seed, self._first_of(count), count)


def _made_ahead(batches: Iterator[Item]) -> Iterator[Item]:
    """Make the next batches in a thread while the caller works on one."""
    with ThreadPoolExecutor(1) as thread:
        made = run_ahead(itertools.count(), lambda _: thread.submit(next, batches, None).result, ahead=_NUM_AHEAD)
        for _, batch in made:
            if batch is None:
                return
            yield batch
