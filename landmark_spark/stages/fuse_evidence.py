"""Stage: candidates, verifications -> scores, fusion.json."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.commits import FileEntry
from landmark_spark.core.evidence_fusion import Fusion
from landmark_spark.core.learned_fusion import Examples, LearnedFusion, columns_of, learn_fusion
from landmark_spark.retrieval_settings import EVIDENCE
from landmark_spark.schemas import FUSION, SCORES
from landmark_spark.stages.context import Context
from landmark_spark.store import gather

if TYPE_CHECKING:
    import pandas as pd
    from pyspark.sql import Column, DataFrame

__all__ = [
    "examples_from",
    "examples_of",
    "fuse_evidence",
    "read_fusion",
    "score_evidence",
    "with_evidence",
]

_ALONE = "closest"
"""The evidence that ranks the candidates where the weights could not be learned."""

_FEW_IMAGES = 100
"""Below which the scores are told to be rough: each image is a hundredth of what half a dozen weights rest on."""


def fuse_evidence(
    context: Context, candidates: DataFrame, verifications: DataFrame
) -> tuple[DataFrame, tuple[FileEntry, ...]]:
    """Learn the weights of the evidence from images that play test images; score the candidates of test images."""
    settings = context.config.fusion
    names = settings.kinds
    rows = with_evidence(candidates, verifications, settings.full_inliers)
    try:
        learned = learn_fusion(
            names,
            examples_of(rows.where("split != 'test'")),
            penalty=settings.penalty,
            non_landmark_share=settings.non_landmark_share,
        )
    except ValueError as error:
        if context.config.descriptors.is_wanted:
            context.tell(
                f"fuse_evidence: warning: the evidence is not weighed, {_ALONE} alone ranks the candidates: {error}"
            )
        learned = None
    if learned is not None and not learned.num_non_landmark_images:
        context.tell(
            "fuse_evidence: warning: no photo of no landmark plays a test image (inputs.non_landmark_csv, "
            "download.large_images): what looks like none is not held back"
        )
    if learned is not None and learned.num_landmark_images + learned.num_non_landmark_images < _FEW_IMAGES:
        context.tell(
            "fuse_evidence: warning: scores are rough, for the weights of the evidence rest on few images: "
            f"{learned.num_landmark_images} of landmarks and {learned.num_non_landmark_images} of none"
        )
    text = json.dumps(_described(learned), indent=1) + "\n"
    files = (context.store.write_bytes(FUSION.path, text.encode()),)
    scores = _scored(rows.where("split = 'test'"), None if learned is None else learned.fusion)
    if settings.max_answers:
        scores = _held_back(scores, settings.max_answers)
    return gather(scores, SCORES, context.config.index.num_shards), files


def with_evidence(candidates: DataFrame, verifications: DataFrame, full_inliers: int) -> DataFrame:
    """Return the candidates with ``num_inliers``, 0 where none are known, and all kinds of evidence as columns."""
    from pyspark.sql import functions as F

    found = verifications.select("id", "landmark_id", "num_inliers")
    both = candidates.join(found, on=["id", "landmark_id"], how="left").fillna(0, subset=["num_inliers"])
    return both.withColumn("inliers", F.least(F.col("num_inliers"), F.lit(full_inliers)) / F.lit(float(full_inliers)))


def examples_of(rows: DataFrame) -> Examples:
    """Collect the candidates of images that play test images: some hundred bytes each."""
    columns = ("id", "rank", "fold", "landmark_id", "true_landmark_id", *EVIDENCE)
    return examples_from(rows.select(*columns).toPandas())


def examples_from(rows: pd.DataFrame) -> Examples:
    """Return such candidates, with these columns, as ``core`` takes them: in the order of ids and ranks."""
    frame = rows.sort_values(["id", "rank"])
    return Examples(
        images=np.unique(frame["id"].to_numpy(dtype=str), return_inverse=True)[1].astype(np.int64),
        shows_landmark=(frame["true_landmark_id"] >= 0).to_numpy(),
        is_right=(frame["landmark_id"] == frame["true_landmark_id"]).to_numpy(),
        folds=frame["fold"].to_numpy(np.int64),
        evidence={name: frame[name].to_numpy(np.float64) for name in EVIDENCE},
    )


def _described(learned: LearnedFusion | None) -> Mapping[str, Any]:
    if learned is None:
        return {"learned": False, "alone": _ALONE}
    return {
        "learned": True,
        **learned.fusion.to_json(),
        "cross_validated": {
            "gap": learned.gap,
            "top1": learned.top1,
            "num_landmark_images": learned.num_landmark_images,
            "num_non_landmark_images": learned.num_non_landmark_images,
        },
    }


def read_fusion(text: str) -> Fusion | None:
    """Return the weights that fusion.json holds; None where they could not be learned. Raises ValueError."""
    values = json.loads(text)
    if not isinstance(values, dict) or not isinstance(values.get("learned"), bool):
        raise ValueError(f"{FUSION.path} should say whether the weights are learned. Received: {text[:200]!r}")
    return Fusion.from_json(values) if values["learned"] else None


def score_evidence(evidence: Mapping[str, NDArray[Any]], fusion: Fusion | None) -> NDArray[np.float64]:
    """Return the scores (P,) of candidates, as the column ``score`` has them but for the rounding of the exponential.

    evidence: kind -> (P,), as ``with_evidence`` has them, every kind that the fusion names, or ``closest``.
    """
    columns = {name: np.asarray(values, np.float64) for name, values in evidence.items()}
    if fusion is None:
        return np.clip(columns[_ALONE], 0.0, 1.0)
    with np.errstate(over="ignore"):  # of odds so low that the probability is 0
        scores: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-fusion.score(columns_of(fusion.names, columns))))
    return scores


def _scored(rows: DataFrame, fusion: Fusion | None) -> DataFrame:
    """Return the rows of scores: the probability by the fusion, and the rank by it among the image's candidates."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    if fusion is None:  # vectors on a grid may be a little longer than 1
        score = F.least(F.greatest(F.col(_ALONE).cast("double"), F.lit(0.0)), F.lit(1.0))
    else:
        score = 1.0 / (1.0 + F.exp(-_log_odds(fusion)))
    order = Window.partitionBy("id").orderBy(F.desc("score"), "closest_rank")
    return (
        rows.withColumnRenamed("rank", "closest_rank")
        .withColumn("score", score)
        .withColumn("rank", (F.row_number().over(order) - 1).cast("int"))
    )


def _held_back(scores: DataFrame, max_answers: int) -> DataFrame:
    """Weigh down landmarks that are the best answer too often, as ``core.suppression`` does; the ranks stay."""
    from pyspark.sql import functions as F

    answers = scores.where("rank = 0").groupBy("landmark_id").agg(F.count("*").alias("answers"))
    factor = F.least(F.lit(1.0), F.lit(float(max_answers)) / F.coalesce("answers", F.lit(1)))
    return scores.join(answers, on="landmark_id", how="left").withColumn("score", F.col("score") * factor)


def _log_odds(fusion: Fusion) -> Column:
    from pyspark.sql import functions as F

    terms = [
        (F.col(name).cast("double") - float(mean)) / float(deviation) * float(weight)
        for name, mean, deviation, weight in _kinds(fusion)
    ]
    return reduce(lambda one, other: one + other, terms) + F.lit(float(fusion.intercept))


def _kinds(fusion: Fusion) -> Sequence[tuple[str, float, float, float]]:
    return list(zip(fusion.names, fusion.means, fusion.deviations, fusion.weights, strict=True))
