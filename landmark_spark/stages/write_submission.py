"""Stage: records, rejects, predictions, verifications -> submission.csv."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from landmark_spark.commits import FileEntry
from landmark_spark.core.fusion import score_prediction
from landmark_spark.core.submission import format_cell, format_rows
from landmark_spark.schemas import SUBMISSION
from landmark_spark.settings import SubmissionSettings
from landmark_spark.stages.context import Context

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, Row

__all__ = ["best_predictions", "test_ids", "write_submission"]


def write_submission(
    context: Context, records: DataFrame, rejects: DataFrame, predictions: DataFrame, verifications: DataFrame
) -> tuple[FileEntry, ...]:
    """Write one row for every id of test.csv, in its order; empty where nothing is said."""
    settings = context.config.submission
    rows = (
        test_ids(records, rejects)
        .join(best_predictions(predictions, verifications), on="id", how="left")
        .orderBy("line_number")
    )
    cells = ((row.id, _cell(row, settings)) for row in rows.toLocalIterator())
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


def best_predictions(predictions: DataFrame, verifications: DataFrame) -> DataFrame:
    """Return (id, landmark_id, score, num_inliers, is_verified, ...) of each image's best landmark."""
    best = predictions.where("rank = 0").select("id", "landmark_id", "score")
    return best.join(verifications.drop("shard"), on=["id", "landmark_id"], how="left")


def _cell(row: Row, settings: SubmissionSettings) -> str:
    if row.landmark_id is None:
        return ""
    score = score_prediction(
        settings.mode,
        row.score,
        num_inliers=row.num_inliers or 0,
        is_verified=bool(row.is_verified),
        full_inliers=settings.full_inliers,
    )
    return "" if score is None else format_cell(row.landmark_id, score)
