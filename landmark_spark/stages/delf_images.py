"""The larger copies of training images, from the store, as our own DELF trains on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.training_loop import Batch, TrainingData
from landmark_spark.core.training_rows import RowChoice
from landmark_spark.schemas import IMAGES
from landmark_spark.store import Store
from landmark_spark.table_reader import TaskReader

__all__ = ["LabelledImages", "choose_images", "iterate_groups", "read_images", "training_data"]

Crop = Callable[[Sequence[npt.NDArray[np.uint8]], int | None], npt.NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Training images in the order of their ids: N JPEGs, labels (N,) int32, is_held_out (N,) bool."""

    jpegs: Sequence[bytes]
    labels: npt.NDArray[np.int32]
    is_held_out: npt.NDArray[np.bool_]


def choose_images(store: Store, *, max_rank: int, max_images: int) -> tuple[str, ...]:
    """Return the ids of the training images used: the first references of all landmarks, then the second, and so on."""
    columns = ("id", "split", "status", "reference_rank")
    rows = store.read_arrow(IMAGES, columns).to_pydict()
    found = [
        (rank, name)
        for name, split, status, rank in zip(*(rows[each] for each in columns), strict=True)
        if split == "train" and status == "ok" and 0 <= rank < max_rank
    ]
    return tuple(name for _, name in sorted(found)[:max_images])


def read_images(store: Store, files: Sequence[str], ids: Sequence[str], validation_fraction: float) -> LabelledImages:
    """Read the images of some ids from the files of a table; those without a larger copy are left out."""
    choice = RowChoice("validation", validation_fraction, with_status=True)
    schema = pa.schema([IMAGES.schema.field(each) for each in ("id", "class_index", "large_image", *choice.columns)])
    reader = TaskReader(store.url, schema, tuple((0, each) for each in files))
    wanted, found = frozenset(ids), []
    for batch in reader.read():
        columns = {name: batch[name].to_numpy(zero_copy_only=False) for name in choice.columns}
        held_out = frozenset(choice.places(columns).tolist())
        for place, name in enumerate(batch["id"].to_pylist()):
            if name in wanted and batch["large_image"][place].is_valid:
                jpeg, label = batch["large_image"][place].as_py(), batch["class_index"][place].as_py()
                found.append((name, jpeg, label, place in held_out))
    found.sort(key=lambda row: row[0])
    return LabelledImages(
        [row[1] for row in found],
        np.array([row[2] for row in found], np.int32),
        np.array([row[3] for row in found], np.bool_),
    )


def training_data(
    images: LabelledImages, crop: Crop, *, batch_size: int, seed: int, rank: int = 0, num_ranks: int = 1
) -> TrainingData:
    """Return what a training passes over: pieces of the images, other ones and in another order in each epoch.

    Raises ValueError where no image is left to train on.
    """
    train_places, held_places = (np.flatnonzero(each) for each in (~images.is_held_out, images.is_held_out))
    if not len(train_places):
        raise ValueError("there should be training images with a larger copy. Received: none, see images.status")

    def decode(places: Any) -> list[npt.NDArray[np.uint8]]:
        return [decode_jpeg(images.jpegs[place]) for place in places]

    def train(epoch: int, first_step: int) -> Iterator[Batch]:
        order = np.random.default_rng([seed, epoch]).permutation(train_places)
        for step, start in enumerate(range(0, len(order), batch_size)):
            if step < first_step:
                continue
            places = order[start : start + batch_size]
            mine = places[rank * len(places) // num_ranks : (rank + 1) * len(places) // num_ranks]
            pieces = crop(decode(mine), int(np.random.SeedSequence([seed, epoch, step, rank]).generate_state(1)[0]))
            yield Batch(pieces, images.labels[mine], np.ones(len(mine), np.float32), len(places))

    def validation() -> Iterator[tuple[Any, npt.NDArray[np.int32]]]:
        for start in range(0, len(held_places), batch_size):
            places = held_places[start : start + batch_size]
            yield crop(decode(places), None), images.labels[places]

    return TrainingData(train, validation if len(held_places) else None)


def iterate_groups(images: LabelledImages, *, num_images: int, size: int) -> Iterator[list[npt.NDArray[np.uint8]]]:
    """Yield up to ``num_images`` whole images, evenly spread over all, ``size`` at a time."""
    count = len(images.jpegs)
    places = np.unique(np.linspace(0, count - 1, min(num_images, count)).round().astype(int))
    for start in range(0, len(places), size):
        yield [decode_jpeg(images.jpegs[place]) for place in places[start : start + size]]
