"""Draws the match pictures of the report: of few test images, whose rows alone are collected."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.photo_names import telling_name
from landmark_spark.core.records import shard_of
from landmark_spark.core.verification import match_pair
from landmark_spark.report.data import Example
from landmark_spark.report.evidence import Judged, choose_examples, verdict_of
from landmark_spark.report.pictures import draw_matches, mark_keypoints
from landmark_spark.stages.context import Context
from landmark_spark.stages.verification_task import features_of, verification_settings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

__all__ = ["draw_examples", "photo_names"]


def draw_examples(
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


def photo_names(images: DataFrame, ids: Collection[str], num_shards: int) -> dict[str, str]:
    """Return the names of a few photos' files, by id, where they say more than that."""
    rows = images.where(_is_in(ids, num_shards)).select("id", "url").collect()
    named = ((row.id, telling_name(row.url, row.id)) for row in rows)
    return {image_id: name for image_id, name in named if name}


def _is_in(ids: Collection[str], num_shards: int) -> Any:
    """Return the condition that a row is one of a few: of their shards alone, so that no other file is read."""
    from pyspark.sql import functions as F

    shards = sorted({shard_of(image_id, num_shards) for image_id in ids})
    return F.col("shard").isin(shards) & F.col("id").isin(list(ids))
