"""Stage: everything -> metrics.json, report/."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from landmark_spark.commits import Commit, FileEntry
from landmark_spark.core.fusion import LEARNED, MODES
from landmark_spark.core.ladder import climb
from landmark_spark.core.metrics import Prediction, precision_at_ranks
from landmark_spark.core.model_files import HISTORY_FILE
from landmark_spark.core.submission import FormatError, parse_solution
from landmark_spark.report.confusions import most_confused, most_imagined
from landmark_spark.report.data import InlierSample, ReportData, ScoreSample
from landmark_spark.report.evidence import (
    Judged,
    answers_of,
    evaluate_modes,
    predictions_of,
    several_landmarks,
    verdict_of,
)
from landmark_spark.report.page import write_report as write_page
from landmark_spark.schemas import METRICS, REPORT
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.stages.fuse_evidence import with_evidence
from landmark_spark.stages.index_images import file_digest
from landmark_spark.stages.input_files import input_lines
from landmark_spark.stages.ladder_steps import LADDER_COLUMNS, ladder_steps
from landmark_spark.stages.report_examples import draw_examples, photo_names
from landmark_spark.stages.write_submission import candidate_predictions, learned_candidates

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["read_solution", "solution_digest", "write_report"]

_SHOWN_WITH_SEVERAL = 20
_SHOWN_MISTAKES = 15

Files = tuple[FileEntry, ...]


def solution_digest(config: Config) -> dict[str, str]:
    """Return the SHA-256 of the solution file where one is given."""
    path = config.inputs.solution_csv
    return {"solution_csv": file_digest("inputs.solution_csv", path)} if path else {}


def write_report(  # noqa: PLR0913, PLR0917 - the report reads everything
    context: Context,
    images: DataFrame,
    landmarks: DataFrame,
    rejects: DataFrame,
    top_model: Commit,
    fine_tuned_model: Commit,
    delf_model: Commit,
    predictions: DataFrame,
    candidates: DataFrame,
    local_features: DataFrame,
    verifications: DataFrame,
    scores: DataFrame,
    submission: Commit,
) -> tuple[Files, Files]:
    """Measure every submission mode where a solution is given, and draw the report."""
    config = context.config
    judged = _judge(candidate_predictions(predictions, verifications, config))
    by_learned = _judge(learned_candidates(scores, verifications))
    is_learned = config.submission.mode == LEARNED
    solution = read_solution(config)
    downloads = _counts(images, "status")
    refused = _counts(rejects, "reason")
    full = config.submission.full_inliers
    predicted = answers_of(judged, "classifier", full_inliers=full)
    answered = (
        answers_of(by_learned, "classifier", full_inliers=full)
        if is_learned
        else answers_of(judged, config.submission.mode, full_inliers=full)
    )
    made = {mode: predictions_of(judged, mode, full_inliers=full) for mode in MODES}
    made[LEARNED] = predictions_of(by_learned, "classifier", full_inliers=full)
    said = made[config.submission.mode]
    modes = evaluate_modes(made, solution) if solution else {}
    evidence = with_evidence(candidates, verifications, config.fusion.full_inliers)
    steps = ladder_steps(config, judged, evidence.select(*LADDER_COLUMNS).toPandas()) if solution else []
    rungs = climb(steps, solution) if steps else []
    metrics = {
        "submission_mode": config.submission.mode,
        "modes": modes,
        "ladder": [asdict(each) for each in rungs],
        "counts": {
            "images": sum(downloads.values()),
            "failed_downloads": sum(downloads.values()) - downloads.get("ok", 0),
            "rejects": sum(refused.values()),
            "predictions": len(predicted),
            "verified": len({each.id for each in (*judged, *by_learned) if each.is_verified}),
        },
    }
    sizes = landmarks.select("landmark_id", "num_train_images", "name").toPandas()
    names = dict(zip(sizes["landmark_id"], sizes["name"], strict=True))
    several = several_landmarks(by_learned, names, count=_SHOWN_WITH_SEVERAL)
    examples = draw_examples(context, answered, solution, names, images, local_features)
    shown = {name for each in examples for name in (each.test_id, each.reference_id)} | {name for name, _ in several}
    data = ReportData(
        title="landmark_spark",
        created=submission.created,
        metrics=modes,
        submission_mode=config.submission.mode,
        ladder=rungs,
        precision_curves={mode: precision_at_ranks(made[mode], solution) for mode in modes},
        scores=ScoreSample(**_sample(said, solution, [each.score for each in said], np.float32)),
        inliers=InlierSample(
            **_sample(answered, solution, [each.num_inliers for each in answered], np.int32),
            min_inliers=config.verify.min_inliers,
        ),
        history=_history(context, top_model),
        fine_tuning=_history(context, fine_tuned_model),
        delf_training=_history(context, delf_model),
        confusions=most_confused(answered, solution, names, count=_SHOWN_MISTAKES),
        imagined=most_imagined(answered, solution, names, count=_SHOWN_MISTAKES),
        downloads=downloads,
        hosts=_hosts(images),
        rejects=refused,
        class_sizes=sizes["num_train_images"].to_numpy(),
        stage_times=list(context.timings),
        several=several,
        photos=photo_names(images, shown, config.index.num_shards),
        examples=examples,
    )
    return _publish(context, metrics, data)


def _publish(context: Context, metrics: Mapping[str, Any], data: ReportData) -> tuple[Files, Files]:
    text = json.dumps(metrics, indent=1) + "\n"
    with tempfile.TemporaryDirectory() as folder:
        write_page(data, Path(folder))
        pages = context.store.upload(Path(folder), REPORT.path)
    return (context.store.write_bytes(METRICS.path, text.encode()),), pages


def _judge(candidates: DataFrame) -> list[Judged]:
    """Collect the candidates of each test image, the best predicted first: some hundred bytes each."""
    columns = ("id", "landmark_id", "score", "num_inliers", "is_verified", "best_reference_id")
    rows = candidates.orderBy("id", "rank").select(*columns).toLocalIterator()
    return [
        Judged(row.id, row.landmark_id, row.score, row.num_inliers or 0, bool(row.is_verified), row.best_reference_id)
        for row in rows
    ]


def read_solution(config: Config) -> dict[str, frozenset[int]]:
    """Return the true answers; empty where no solution is given.

    Raises ConfigError for a file that cannot be read or has no image with a landmark: nothing can be measured by it.
    """
    path = config.inputs.solution_csv
    if not path:
        return {}
    try:
        solution = parse_solution(input_lines("inputs.solution_csv", path), source=path)
    except FormatError as error:
        raise ConfigError(f"inputs.solution_csv should be a solution. Received: {error}") from error
    if not any(solution.values()):
        raise ConfigError(f"inputs.solution_csv should have an image that shows a landmark. Received: {path}")
    return solution


def _counts(frame: DataFrame, column: str) -> dict[str, int]:
    return {row[column]: row["count"] for row in frame.groupBy(column).count().orderBy(column).collect()}


def _hosts(images: DataFrame) -> dict[str, tuple[int, int]]:
    """Return by host how many images are there, and how many failed."""
    from pyspark.sql import functions as F

    is_there = F.col("status") == "ok"
    counted = images.groupBy("host").agg(F.count_if(is_there).alias("there"), F.count_if(~is_there).alias("failed"))
    return {row["host"]: (row["there"], row["failed"]) for row in counted.orderBy("host").collect()}


def _sample(
    judged: Sequence[Judged | Prediction], solution: Mapping[str, frozenset[int]], values: Sequence[float], kind: Any
) -> dict[str, Any]:
    verdicts = np.array([verdict_of(each, solution) for each in judged], dtype=object)
    array = np.asarray(values, kind)
    if not solution:
        return {"all": array}
    named = {"right": "right", "wrong": "wrong", "no_landmark": "no landmark"}
    return {name: array[verdicts == verdict] for name, verdict in named.items()}


def _history(context: Context, model: Commit) -> dict[str, list[float]]:
    """Return a model's history; empty for the note that stands in place of one."""
    with context.store.local_files(model) as files:
        history: dict[str, list[float]] = json.loads(files[HISTORY_FILE].read_text()) if HISTORY_FILE in files else {}
    return history
