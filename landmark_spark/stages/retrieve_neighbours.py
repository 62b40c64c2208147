"""Stage: global_descriptors, retrieval_model/, landmarks -> candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from landmark_spark.commits import Commit
from landmark_spark.core.retrieval import References, RetrievalPlan, find_candidates, whiten_exactly
from landmark_spark.core.retrieval_model import NO_FOLD, RetrievalModel
from landmark_spark.schemas import CANDIDATES
from landmark_spark.settings import RetrievalSettings
from landmark_spark.stages.context import Context
from landmark_spark.stages.extract_bottlenecks import regroup
from landmark_spark.stages.train_retrieval import NOTE_FILE, read_descriptors
from landmark_spark.stages.train_top_model import landmarks_of
from landmark_spark.store import Store, arrow_schema, conform, spark_schema

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["RetrievalTask", "retrieve_neighbours"]

_QUERIES_AT_ONCE = 1024  # each block of references is brought to float64 once for so many


def retrieve_neighbours(
    context: Context, descriptors: DataFrame, retrieval_model: Commit, landmarks: DataFrame
) -> DataFrame:
    """Name the landmarks of the nearest training images, of the centroids and of the head for every test image."""
    del landmarks
    task = RetrievalTask(context.config.retrieval, context.store.url, retrieval_model.to_json(), landmarks_of(context))
    chosen = descriptors.select("id", "split", "landmark_id", "shard", "descriptor")
    return conform(chosen.mapInArrow(task, spark_schema(CANDIDATES)), CANDIDATES)


@dataclass(frozen=True)
class RetrievalTask:
    """Finds the candidates of the test images of one partition, and of those that play one, inside a Spark task."""

    settings: RetrievalSettings
    store_url: str
    model: str
    landmark_ids: tuple[int, ...]

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Turn rows of global_descriptors into those of candidates."""
        model = _load(self)
        if model is None:
            return
        for batch in regroup(batches, _QUERIES_AT_ONCE):
            yield from self._in_order(model, batch)

    def _in_order(self, model: RetrievalModel, batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Yield the candidates of a batch fold by fold, then brought back into the order of its images."""
        is_test = np.array([each == "test" for each in batch["split"].to_pylist()], np.bool_)
        folds = np.array([model.folds_by_id.get(each, NO_FOLD) for each in batch["id"].to_pylist()], np.int64)
        parts, places = [], []
        for fold in [NO_FOLD, *np.unique(folds[folds != NO_FOLD]).tolist()]:
            mine = np.flatnonzero(is_test if fold == NO_FOLD else folds == fold)
            if len(mine):
                rows, images = self._rows(model, batch.take(pa.array(mine)), fold)
                parts.append(rows)
                places.append(mine[images])
        if parts:
            order = np.argsort(np.concatenate(places), kind="stable")  # ranks of an image stay as they are
            yield from pa.Table.from_batches(parts).take(pa.array(order)).combine_chunks().to_batches()

    def _rows(
        self, model: RetrievalModel, batch: pa.RecordBatch, fold: int
    ) -> tuple[pa.RecordBatch, NDArray[np.int64]]:
        """Return the candidates of images of one fold, and for each the place of its image among them."""
        settings = self.settings
        plan = RetrievalPlan(
            settings.num_neighbours, settings.power, settings.non_landmark_neighbours, settings.candidates
        )
        queries = whiten_exactly(read_descriptors(batch), model.whitening)
        found = find_candidates(queries, _references(model, fold), plan)
        images = pa.array(found.images)
        columns: dict[str, Any] = {
            "id": batch["id"].take(images),
            "split": batch["split"].take(images),
            "true_landmark_id": batch["landmark_id"].take(images),
            "fold": np.full(len(found.images), fold),
            "rank": found.ranks,
            "landmark_id": np.array(self.landmark_ids, np.int64)[found.classes],
            "class_index": found.classes,
            "neighbours": found.neighbours,
            "closest": found.closest,
            "centroid": found.centroid,
            "head": found.head,
            "non_landmark": found.non_landmark,
            "reference_non_landmark": found.reference_non_landmark,
            "references": found.references,
            "shard": batch["shard"].take(images),
        }
        schema = arrow_schema(CANDIDATES)
        made = [_column(columns[each.name], each.type) for each in schema]
        return pa.RecordBatch.from_arrays(made, schema=schema), found.images


def _column(values: pa.Array | NDArray[Any], kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values).cast(kind, safe=False)


@lru_cache(maxsize=1)
def _load(task: RetrievalTask) -> RetrievalModel | None:
    """Load the model, once a Python worker; None where there is no training image."""
    with Store(task.store_url).local_files(Commit.from_json(task.model)) as files:
        return None if NOTE_FILE in files else RetrievalModel.load(files)


@lru_cache(maxsize=2)
def _references(model: RetrievalModel, fold: int) -> References:
    return model.references(fold)
