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
from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.ladder import climb
from landmark_spark.core.metrics import evaluate, precision_at_ranks
from landmark_spark.core.model_files import HISTORY_FILE
from landmark_spark.core.records import shard_of
from landmark_spark.core.submission import FormatError, parse_solution
from landmark_spark.core.verification import match_pair
from landmark_spark.report.data import Example, InlierSample, ReportData, ScoreSample
from landmark_spark.report.evidence import (
    Judged,
    answers_of,
    choose_examples,
    evaluate_modes,
    predictions_of,
    several_landmarks,
    verdict_of,
)
from landmark_spark.report.page import write_report as write_page
from landmark_spark.report.pictures import draw_matches, mark_keypoints
from landmark_spark.schemas import METRICS, REPORT
from landmark_spark.settings import Config, ConfigError
from landmark_spark.stages.context import Context
from landmark_spark.stages.fuse_evidence import with_evidence
from landmark_spark.stages.index_images import file_digest
from landmark_spark.stages.input_files import input_lines
from landmark_spark.stages.ladder_steps import LADDER_COLUMNS, ladder_steps
from landmark_spark.stages.verification_task import features_of, verification_settings
from landmark_spark.stages.write_submission import candidate_predictions, learned_candidates

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["read_solution", "solution_digest", "write_report"]

_SHOWN_WITH_SEVERAL = 20

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
    modes = evaluate_modes(judged, solution, full_inliers=full) if solution else {}
    if solution:
        modes[LEARNED] = evaluate(made[LEARNED], solution)
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
    data = ReportData(
        title="landmark_spark",
        created=submission.created,
        metrics=modes,
        submission_mode=config.submission.mode,
        ladder=[(each.name, each.gap.value) for each in rungs],
        precision_curves={mode: precision_at_ranks(made[mode], solution) for mode in modes},
        scores=ScoreSample(**_sample(predicted, solution, [each.score for each in predicted], np.float32)),
        inliers=InlierSample(
            **_sample(answered, solution, [each.num_inliers for each in answered], np.int32),
            min_inliers=config.verify.min_inliers,
        ),
        history=_history(context, top_model),
        fine_tuning=_history(context, fine_tuned_model),
        downloads=downloads,
        rejects=refused,
        class_sizes=sizes["num_train_images"].to_numpy(),
        stage_times=list(context.timings),
        several=several_landmarks(by_learned, names, count=_SHOWN_WITH_SEVERAL),
        examples=_examples(context, answered, solution, names, images, local_features),
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


def _sample(
    judged: Sequence[Judged], solution: Mapping[str, frozenset[int]], values: Sequence[float], kind: Any
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


def _examples(
    context: Context,
    judged: Sequence[Judged],
    solution: Mapping[str, frozenset[int]],
    names: Mapping[int, str],
    images: DataFrame,
    local_features: DataFrame,
) -> list[Example]:
    """Draw the match pictures of a few test images; only their rows are collected."""
    config = context.config
    chosen = choose_examples(judged, solution, min_inliers=config.verify.min_inliers, count=config.report.num_examples)
    ids = {name for kind in chosen.values() for each in kind for name in (each.id, each.best_reference_id)}
    chosen_rows = _is_in([name for name in ids if name is not None], config.index.num_shards)
    pictures = {row.id: row.large_image for row in images.where(chosen_rows).select("id", "large_image").collect()}
    features = {row.id: features_of(row) for row in local_features.where(chosen_rows).collect()}
    settings = verification_settings(config.verify)
    examples = []
    for kind, group in chosen.items():
        for each in group:
            reference = str(each.best_reference_id)
            matches = match_pair(features[each.id], features[reference], settings)
            shown, compared = (
                mark_keypoints(decode_jpeg(pictures[name]), features[name].keypoints) for name in (each.id, reference)
            )
            picture = draw_matches(shown, compared, *matches)
            examples.append(
                Example(
                    kind=kind,
                    test_id=each.id,
                    landmark_id=each.landmark_id,
                    landmark_name=names.get(each.landmark_id, ""),
                    confidence=each.score,
                    num_inliers=each.num_inliers,
                    reference_id=reference,
                    verdict=verdict_of(each, solution),
                    picture=picture,
                )
            )
    return examples


def _is_in(ids: Sequence[str], num_shards: int) -> Any:
    """Return the condition that a row is one of a few: of their shards alone, so that no other file is read."""
    from pyspark.sql import functions as F

    shards = sorted({shard_of(image_id, num_shards) for image_id in ids})
    return F.col("shard").isin(shards) & F.col("id").isin(list(ids))
