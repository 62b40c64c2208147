"""Balances classes of unequal size: by the weight of an example in the loss, or by how often it is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["draw_rows", "loss_weights", "num_copies"]

Labels = npt.NDArray[np.int32]
Rows = tuple[Any, Labels]


def loss_weights(class_sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return the weight of an example of each class, inverse to its class's size: (C,) -> (C,) float32.

    The mean over all examples is 1, so that the learning rate means the same. Empty classes have 0.
    """
    sizes = class_sizes.astype(np.float64)
    there = sizes > 0
    weights = np.zeros(len(sizes), np.float32)
    weights[there] = sizes.sum() / (there.sum() * sizes[there])
    return weights


def num_copies(class_sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return how often an example of each class comes in an epoch on average: (C,) -> (C,) float64.

    A class comes in proportion to the square root of its size (as Mahajan et al., ECCV 2018, sampled hashtags), and an
    epoch has as many examples as without sampling. Empty classes have 0.
    """
    sizes = class_sizes.astype(np.float64)
    there = sizes > 0
    copies = np.zeros(len(sizes))
    copies[there] = sizes.sum() / np.sqrt(sizes).sum() / np.sqrt(sizes[there])
    return copies


def draw_rows(
    batches: Iterable[Rows],
    copies: npt.NDArray[np.float64],
    *,
    batch_size: int,
    seed: int,
    window_rows: int = 4096,
) -> Iterator[Rows]:
    """Draw the rows of an epoch as often as ``copies`` (C,) says of their classes; batches again of ``batch_size``.

    The draw is systematic: a row that should come 1.7 times comes once or twice, and N rows give N. Rows are shuffled
    within windows of ``window_rows``, which is what this holds in memory, so that copies do not stand side by side.
    batches: (values, labels (B,)); values are an array or a list.
    """
    random = np.random.default_rng(seed)
    place = float(random.uniform(0.001, 0.999))  # away from the ends, where rounding could lose the last row
    waiting: list[Rows] = []
    for values, labels in batches:
        places = np.cumsum([place, *copies[labels]])
        counts = np.diff(np.floor(places)).astype(np.int64)
        place = float(places[-1])
        waiting.append(_taken(values, labels, np.repeat(np.arange(len(labels)), counts)))
        if sum(len(each) for _, each in waiting) >= window_rows:
            held, its_labels = _shuffled(waiting, random)
            full = len(its_labels) - len(its_labels) % batch_size
            yield from _in_batches(held[:full], its_labels[:full], batch_size)
            waiting = [(held[full:], its_labels[full:])]
    if waiting:
        yield from _in_batches(*_shuffled(waiting, random), batch_size)


def _taken(values: Any, labels: Labels, order: npt.NDArray[np.int64]) -> Rows:
    chosen = values[order] if isinstance(values, np.ndarray) else [values[place] for place in order]
    return chosen, labels[order]


def _shuffled(parts: list[Rows], random: np.random.Generator) -> Rows:
    labels = np.concatenate([each for _, each in parts])
    filled = [values for values, _ in parts if len(values)] or [parts[0][0]]
    is_array = isinstance(filled[0], np.ndarray)
    values = np.concatenate(filled) if is_array else [each for part in filled for each in part]
    return _taken(values, labels, random.permutation(len(labels)))


def _in_batches(values: Any, labels: Labels, batch_size: int) -> Iterator[Rows]:
    for start in range(0, len(labels), batch_size):
        yield values[start : start + batch_size], labels[start : start + batch_size]
