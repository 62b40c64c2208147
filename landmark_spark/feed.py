"""Parquet -> tf.data through petastorm; the only file that imports it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import fsspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = ["FeedError", "iterate_batches", "load_feed"]

_COLUMNS = ["id", "split", "class_index", "reference_rank", "holdout", "features"]

Part = Literal["train", "validation", "everything"]
Batch = tuple[npt.NDArray[np.float16], npt.NDArray[np.int32]]


class FeedError(ValueError):
    """The table cannot feed a training; the message says what was wanted and what was received."""


def iterate_batches(
    urls: Sequence[str],
    part: Part,
    *,
    batch_size: int,
    validation_fraction: float,
    seed: int,
    shuffle_rows: int = 8192,
) -> Iterator[Batch]:
    """Yield every row of a part of the training images exactly once, in batches.

    urls: of the Parquet files, all in one store; of any scheme that fsspec knows.
    part: "train", "validation" (what is held out of it) or "everything" (both).
    features: (B, D) float16; labels: (B,) int32; the last batch may be smaller. What is trained on is shuffled by the
    seed: row groups in a random order, then rows within a window of ``shuffle_rows`` (16 KB a row for VGG16, so 134 MB
    by default); the same seed gives the same order. The held-out part keeps the order of the files.
    Raises FeedError for a label that is missing.
    """
    random = np.random.default_rng(seed) if part != "validation" else None
    waiting: list[Batch] = []
    for rows in _row_groups(urls, seed=seed if random is not None else None):
        chosen = _of_part(rows, part, validation_fraction)
        waiting.append(chosen)
        if sum(len(labels) for _, labels in waiting) >= shuffle_rows:
            features, labels = _joined(waiting, random)
            full = len(labels) - len(labels) % batch_size
            yield from _batches(features[:full], labels[:full], batch_size)
            waiting = [(features[full:], labels[full:])]
    if waiting:
        yield from _batches(*_joined(waiting, random), batch_size)


def load_feed(make_batches: Callable[[int], Iterator[Batch]], feature_size: int) -> tf.data.Dataset:
    """Wrap batches as a tf.data.Dataset; each pass over it calls ``make_batches(epoch)``, epochs counted from 0.

    Elements: features (B, D) float16 and labels (B,) int32.
    """
    import tensorflow as tf

    epochs = iter(range(1_000_000))
    signature = (
        tf.TensorSpec((None, feature_size), tf.float16),
        tf.TensorSpec((None,), tf.int32),
    )
    dataset = tf.data.Dataset.from_generator(lambda: make_batches(next(epochs)), output_signature=signature)
    return dataset.prefetch(2)


def _row_groups(urls: Sequence[str], *, seed: int | None) -> Iterator[dict[str, npt.NDArray[Any]]]:
    from petastorm import make_batch_reader

    # petastorm 0.12.1 uses names that pyarrow 14 still has and says that a later one has not; ours is pinned.
    warnings.filterwarnings("ignore", category=FutureWarning, module="petastorm")
    warnings.filterwarnings("ignore", message="No matching data is available")  # an empty table is our own error
    reader = make_batch_reader(
        list(urls),
        schema_fields=_COLUMNS,
        reader_pool_type="thread",
        workers_count=1,  # with more the order is not repeated
        shuffle_row_groups=seed is not None,
        seed=seed,
        num_epochs=1,
        filesystem=_file_system(urls[0]),
    )
    with reader:
        for group in reader:
            yield group._asdict()


def _file_system(url: str) -> Any:
    """Return what petastorm reads a store by; None for local files, which it knows by itself.

    It asks pyarrow for the older kind of data set, which takes the older kind of file system and no other.
    """
    if url.startswith("file://"):
        return None
    from pyarrow.filesystem import FileSystem

    below = fsspec.core.url_to_fs(url)[0]

    class Readable(FileSystem):  # type: ignore[misc]
        """The rest of the store's own file system, as far as reading files by name needs it."""

        def isfile(self, path: str) -> bool:  # noqa: ARG002
            return True  # the names are those of commits; petastorm asks three times a pass, a request each

        def open(self, path: str, mode: str = "rb") -> Any:
            return below.open(path, mode, cache_type="none")  # column chunks are asked for whole: no read-ahead

    return Readable()


def _of_part(rows: dict[str, npt.NDArray[Any]], part: Part, validation_fraction: float) -> Batch:
    """Choose a part's rows: held out by hash, but never a landmark's first reference, so that each can be learned."""
    labels = np.asarray(rows["class_index"])
    if labels.dtype.kind != "i":  # a nullable integer arrives as float64
        raise FeedError(f"class_index should be an integer in every row. Received: {labels.dtype} with missing values")
    is_train = np.asarray(rows["split"]) == "train"
    if np.any(labels[is_train] < 0):
        raise FeedError("class_index should be 0 or more for training rows. Received: rows without a class")
    held_out = (np.asarray(rows["holdout"]) < validation_fraction) & (np.asarray(rows["reference_rank"]) != 0)
    is_mine = {"train": ~held_out, "validation": held_out, "everything": True}[part]
    chosen = np.flatnonzero(is_train & is_mine)
    vectors = [np.frombuffer(rows["features"][index], np.float16) for index in chosen]
    features = np.stack(vectors) if vectors else np.zeros((0, 0), np.float16)
    return features, labels[chosen].astype(np.int32)


def _joined(parts: Sequence[Batch], random: np.random.Generator | None) -> Batch:
    filled = [part for part in parts if len(part[1])] or [parts[0]]
    features = np.concatenate([part[0] for part in filled])
    labels = np.concatenate([part[1] for part in filled])
    if random is None:
        return features, labels
    order = random.permutation(len(labels))
    return features[order], labels[order]


def _batches(features: npt.NDArray[np.float16], labels: npt.NDArray[np.int32], batch_size: int) -> Iterator[Batch]:
    for start in range(0, len(labels), batch_size):
        yield features[start : start + batch_size], labels[start : start + batch_size]
