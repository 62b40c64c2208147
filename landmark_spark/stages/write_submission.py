"""Stage: records, rejects, predictions, verifications, scores -> submission.csv."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmark_spark.commits import FileEntry
from landmark_spark.core.fusion import LEARNED, Candidate, choose_candidate
from landmark_spark.core.submission import format_cell, format_rows
from landmark_spark.schemas import SUBMISSION
from landmark_spark.settings import Config, SubmissionSettings
from landmark_spark.stages.context import Context

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

__all__ = ["candidate_predictions", "learned_candidates", "submission_also", "test_ids", "write_submission"]


def submission_also(config: Config) -> dict[str, Any]:
    """Return what the submission depends on besides its section: of how many predictions it may choose."""
    return {"verify.candidates": config.verify.candidates}


def write_submission(
    context: Context,
    records: DataFrame,
    rejects: DataFrame,
    predictions: DataFrame,
    verifications: DataFrame,
    scores: DataFrame,
) -> tuple[FileEntry, ...]:
    """Write one row for every id of test.csv, in its order; empty where nothing is said."""
    settings = context.config.submission
    if settings.mode == LEARNED:
        candidates = learned_candidates(scores, verifications).where("rank = 0")
    else:
        candidates = candidate_predictions(predictions, verifications, context.config)
    rows = test_ids(records, rejects).join(candidates, on="id", how="left").orderBy("line_number", "id", "rank")
    images = itertools.groupby(rows.toLocalIterator(), key=lambda row: row.id)
    cells = ((image_id, _cell(candidates, settings)) for image_id, candidates in images)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "submission.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(format_rows(cells))
        return context.store.upload(path, SUBMISSION.path)


def test_ids(records: DataFrame, rejects: DataFrame) -> DataFrame:
    """Return (id, line_number) for every id of test.csv, refused rows included, an id's first line counting."""
    from pyspark.sql import functions as F

    refused = rejects.where("split = 'test' and id is not null and reason != 'duplicate_id'")
    both = records.where("split = 'test'").select("id", "line_number").unionByName(refused.select("id", "line_number"))
    return both.groupBy("id").agg(F.min("line_number").alias("line_number"))


def candidate_predictions(predictions: DataFrame, verifications: DataFrame, config: Config) -> DataFrame:
    """Return (id, rank, landmark_id, score, num_inliers, ...) of each image's best landmark, and of others verified.

    Of the verify.candidates best predictions alone, though retrieval may have named others that are verified too.
    """
    chosen = predictions.where(f"rank < {config.verify.candidates}")
    predicted = chosen.select("id", "rank", "landmark_id", "score")
    both = predicted.join(verifications.drop("shard"), on=["id", "landmark_id"], how="left")
    return both.where("rank = 0 or num_comparisons is not null")


def learned_candidates(scores: DataFrame, verifications: DataFrame) -> DataFrame:
    """Return the same columns of all candidates that were scored by the learned weights of the evidence."""
    found = verifications.drop("shard", "num_inliers")
    return scores.drop("shard").join(found, on=["id", "landmark_id"], how="left")


def _cell(rows: Iterable[Row], settings: SubmissionSettings) -> str:
    """Return the cell of an image from its candidates, the best predicted first; from one empty row without any."""
    found = [row for row in rows if row.landmark_id is not None]
    candidates = [Candidate(row.score, row.num_inliers or 0, bool(row.is_verified)) for row in found]
    mode = "classifier" if settings.mode == LEARNED else settings.mode  # the one with the best score is alone there
    chosen = choose_candidate(mode, candidates, full_inliers=settings.full_inliers)
    return "" if chosen is None else format_cell(found[chosen[0]].landmark_id, chosen[1])
