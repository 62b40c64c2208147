"""Stage: records, rejects, predictions, verifications -> submission.csv."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landmark_spark.commits import FileEntry
from landmark_spark.core.fusion import Candidate, choose_candidate
from landmark_spark.core.submission import format_cell, format_rows
from landmark_spark.schemas import SUBMISSION
from landmark_spark.settings import Config, SubmissionSettings
from landmark_spark.stages.context import Context

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

__all__ = ["candidate_predictions", "submission_also", "test_ids", "write_submission"]


def submission_also(config: Config) -> dict[str, Any]:
    """Return what the submission depends on besides its section: of how many predictions it may choose."""
    return {"verify.candidates": config.verify.candidates}


def write_submission(
    context: Context, records: DataFrame, rejects: DataFrame, predictions: DataFrame, verifications: DataFrame
) -> tuple[FileEntry, ...]:
    """Write one row for every id of test.csv, in its order; empty where nothing is said."""
    settings = context.config.submission
    rows = (
        test_ids(records, rejects)
        .join(candidate_predictions(predictions, verifications, context.config), on="id", how="left")
        .orderBy("line_number", "id", "rank")
    )
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


def _cell(rows: Iterable[Row], settings: SubmissionSettings) -> str:
    """Return the cell of an image from its candidates, the best predicted first; from one empty row without any."""
    found = [row for row in rows if row.landmark_id is not None]
    candidates = [Candidate(row.score, row.num_inliers or 0, bool(row.is_verified)) for row in found]
    chosen = choose_candidate(settings.mode, candidates, full_inliers=settings.full_inliers)
    return "" if chosen is None else format_cell(found[chosen[0]].landmark_id, chosen[1])
