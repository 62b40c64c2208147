"""The retrieval benchmark: the exact search against the matrix product alone, and what the challenge would take.

Besides, what train_retrieval takes of one task for each image, without a head, and a task of retrieve_neighbours to
read the references.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from landmark_spark.core.retrieval import GRID, References, RetrievalPlan, find_candidates
from landmark_spark.core.retrieval_model import Described, RetrievalLearning, RetrievalModel, learn_retrieval
from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.report_lines import LineWriter

__all__ = ["measure"]

_DIMENSIONS = 512
_PER_LANDMARK = 82  # as in the challenge: 1.2 million images of 15,000 landmarks
_CHALLENGE = {"references": 1_225_029, "queries": 117_703}
_NUM_ROUNDS = 3


def measure(write: LineWriter, *, num_references: int, num_queries: int) -> None:
    """Time finding candidates and the product of the same vectors, in turn, by processor time.

    ratio_to_product: what choosing the nearest, voting and averaging cost besides the product that nothing exact can do
    without, in float64 as the search has it.
    """
    write_machine(write, "retrieval")
    random = np.random.default_rng(0)
    vectors = _on_grid(random.normal(size=(num_references, _DIMENSIONS)).astype(np.float32))
    queries = _on_grid(random.normal(size=(num_queries, _DIMENSIONS)).astype(np.float32))
    classes = np.arange(num_references, dtype=np.int64) // _PER_LANDMARK
    references = References.of(vectors, classes, vectors[:1000], int(classes[-1]) + 1, None)
    exact, sought = vectors.astype(np.float64), queries.astype(np.float64)
    searches, products = [], []
    for _ in range(_NUM_ROUNDS):
        searches.append(_processor_seconds(lambda: find_candidates(queries, references, RetrievalPlan())))
        products.append(_processor_seconds(lambda: _multiply(sought, exact)))
    seconds = statistics.median(searches)
    whole = _CHALLENGE["references"] * _CHALLENGE["queries"] / (num_references * num_queries)
    write(
        "retrieval",
        "search",
        num_references=num_references,
        num_queries=num_queries,
        dimensions=_DIMENSIONS,
        processor_seconds=seconds,
        ratio_to_product=statistics.median(one / other for one, other in zip(searches, products, strict=True)),
        core_hours_at_the_challenges_size=seconds * whole / 3600,
    )
    _measure_model(write, vectors, classes)


def _measure_model(write: LineWriter, vectors: NDArray[np.float32], classes: NDArray[np.int64]) -> None:
    """Time learning from these descriptors, and reading what was learned, by processor time: one task does either."""
    count = len(vectors)
    ids = [f"{number:016x}" for number in range(count)]
    images = Described(ids, vectors, classes, np.arange(count) % _PER_LANDMARK, int(classes[-1]) + 1)
    with tempfile.TemporaryDirectory() as folder:

        def learn() -> None:
            learn_retrieval(images, RetrievalLearning(dimensions=_DIMENSIONS, has_head=False)).save(Path(folder))

        learning = _processor_seconds(learn)
        files = {each.name: each for each in Path(folder).iterdir()}
        size = sum(each.stat().st_size for each in files.values())
        reading = _processor_seconds(lambda: RetrievalModel.load(files))
    write(
        "retrieval",
        "model",
        num_references=count,
        processor_seconds_an_image=learning / count,
        model_bytes=size,
        read_bytes_per_processor_second=size / reading,
    )


def _on_grid(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return (np.round(unit / GRID) * GRID).astype(np.float32)


def _multiply(queries: NDArray[np.float64], references: NDArray[np.float64]) -> None:
    for start in range(0, len(references), 65_536):
        queries @ references[start : start + 65_536].T  # what comes out is not kept: it would not fit


def _processor_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started
