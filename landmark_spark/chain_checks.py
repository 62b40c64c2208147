"""Checks tables against each other: rows in = rows out along the chain, from the compact rows that are kept of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from landmark_spark.kept_rows import KeptRows, id_digests

__all__ = [
    "SHARD_CHECKS",
    "check_landmarks",
    "check_one_value",
    "check_ranks",
    "check_submission",
    "submission_ids",
]

Settings = Mapping[str, Any]


def _images(inputs: Mapping[str, KeptRows], images: KeptRows, _: Settings) -> str:
    return _compare(inputs["records"].ids, images.ids, "the ids of records")


def _bottlenecks(inputs: Mapping[str, KeptRows], bottlenecks: KeptRows, _: Settings) -> str:
    images = inputs["images"]
    return _compare(images.ids[images.columns["is_ok"]], bottlenecks.ids, "the ids of images with status ok")


def _predictions(inputs: Mapping[str, KeptRows], predictions: KeptRows, _: Settings) -> str:
    return _compare(_fetched_tests(inputs["images"]), predictions.ids, "the ids of test images with status ok")


def _local_features(inputs: Mapping[str, KeptRows], features: KeptRows, _: Settings) -> str:
    images = inputs["images"]
    is_test = features.columns["is_test"]
    fault = _compare(_fetched_tests(images), features.ids[is_test], "the ids of test images with status ok")
    num_others = len(np.setdiff1d(features.ids[~is_test], images.ids[images.columns["is_ok"]]))
    if not fault and num_others:
        return f"should have ids of images with status ok. Received: {num_others} others"
    return fault


def _global_descriptors(inputs: Mapping[str, KeptRows], descriptors: KeptRows, _: Settings) -> str:
    images = inputs["images"]
    wanted = images.ids[images.columns["is_ok"] & images.columns["is_large"]]
    return _compare(wanted, descriptors.ids, "the ids of images with a larger copy")


def _candidates(inputs: Mapping[str, KeptRows], candidates: KeptRows, _: Settings) -> str:
    """An image may have none, such as most training images: but it plays what it is, and has a descriptor."""
    descriptors = inputs["global_descriptors"]
    known = [descriptors.ids[descriptors.columns["is_test"] == is_test] for is_test in (True, False)]
    named = [candidates.ids[candidates.columns["is_test"] == is_test] for is_test in (True, False)]
    num_others = sum(len(np.setdiff1d(*each)) for each in zip(named, known, strict=True))
    if num_others:
        return f"should have ids of images with a descriptor, each in its split. Received: {num_others} others"
    return ""


def _verifications(inputs: Mapping[str, KeptRows], verifications: KeptRows, settings: Settings) -> str:
    predictions = inputs["predictions"]
    num_candidates = settings.get("verify.candidates", 1)
    predicted = predictions.where(predictions.columns["rank"] < num_candidates)
    wanted = np.union1d(_pairs(predicted), _pairs(inputs["candidates"]))
    return _compare(wanted, _pairs(verifications), "the landmarks named for each id that are verified")


def _scores(inputs: Mapping[str, KeptRows], scores: KeptRows, _: Settings) -> str:
    candidates = inputs["candidates"]
    return _compare(candidates.ids[candidates.columns["is_test"]], scores.ids, "the ids of test images with candidates")


def _fetched_tests(images: KeptRows) -> NDArray[np.uint64]:
    found: NDArray[np.uint64] = images.ids[images.columns["is_ok"] & images.columns["is_test"]]
    return found


SHARD_CHECKS: Mapping[str, tuple[Sequence[str], Callable[[Mapping[str, KeptRows], KeptRows, Settings], str]]] = {
    "images": (("records",), _images),
    "bottlenecks": (("images",), _bottlenecks),
    "predictions": (("images",), _predictions),
    "global_descriptors": (("images",), _global_descriptors),
    "candidates": (("global_descriptors",), _candidates),
    "local_features": (("images",), _local_features),
    "verifications": (("predictions", "candidates"), _verifications),
    "scores": (("candidates",), _scores),
}
"""For a table, which inputs a shard of it is compared with, and the check.

It takes the rows of that shard of the inputs, those of the table, and the settings that its commit names; it returns
what is wrong, in words, or "".
"""


def _compare(wanted: NDArray[Any], received: NDArray[Any], what: str) -> str:
    wanted, received = np.unique(wanted), np.unique(received)
    num_missing, num_others = len(np.setdiff1d(wanted, received)), len(np.setdiff1d(received, wanted))
    if not (num_missing or num_others):
        return ""
    return f"should have {what}, {len(wanted)}. Received: {num_missing} missing, {num_others} others"


def _pairs(rows: KeptRows) -> NDArray[np.uint64]:
    """Return one number for each (id, landmark), (N,) uint64: 64 bits mixed of both, as id_digests gives of an id."""
    landmarks = rows.columns["landmark_id"].astype(np.uint64)
    mixed: NDArray[np.uint64] = rows.ids ^ (landmarks * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x632BE59BD9B4E019))
    return mixed


def check_landmarks(records: Sequence[KeptRows], landmarks: KeptRows) -> str:
    """Return what is wrong with the landmarks' numbers of training images, given all shards of records."""
    found = np.concatenate([each.columns["landmark_id"] for each in records]) if records else np.zeros(0, np.int64)
    ids, counts = np.unique(found[found >= 0], return_counts=True)
    wanted = dict(zip(ids.tolist(), counts.tolist(), strict=True))
    received = dict(
        zip(landmarks.columns["landmark_id"].tolist(), landmarks.columns["num_train_images"].tolist(), strict=True)
    )
    num_wrong = len(dict(wanted.items() ^ received.items()))
    if not num_wrong:
        return ""
    return f"should count the training images of records. Received: {num_wrong} landmarks with another number"


def check_one_value(shards: Mapping[int, KeptRows], name: str, what: str) -> dict[int, str]:
    """Return what is wrong with shards where a column has another value than most rows of the table have; 0 is none."""
    values = {shard: set(np.unique(rows.columns[name]).tolist()) - {0} for shard, rows in shards.items()}
    return _other_than_most(values, what)


def check_ranks(shards: Mapping[int, KeptRows]) -> dict[int, str]:
    """Return what is wrong with shards of predictions where an id has another number of ranks than most have."""
    values = {
        shard: set(np.unique(np.unique(rows.ids, return_counts=True)[1]).tolist()) for shard, rows in shards.items()
    }
    return _other_than_most(values, "ranks for each id")


def _other_than_most(values: Mapping[int, set[int]], what: str) -> dict[int, str]:
    votes = Counter(value for found in values.values() for value in found)
    if len(votes) < 2:
        return {}
    usual = max(votes, key=lambda value: (votes[value], value))
    return {
        shard: f"should have {usual} {what}, as the other shards. Received: {', '.join(map(str, sorted(found)))}"
        for shard, found in values.items()
        if found - {usual}
    }


def submission_ids(records: Sequence[KeptRows], rejects: KeptRows) -> NDArray[np.uint64]:
    """Return the ids of test.csv in its order, (N,) uint64: those of its valid rows and of those refused.

    A refused row counts where an id could be read in it; of an id on several lines the first counts.
    """
    refused = rejects.columns["is_test"] & ~rejects.columns["is_duplicate"] & (rejects.ids != 0)
    parts = [*(each.where(each.columns["is_test"]) for each in records), rejects.where(refused)]
    ids = np.concatenate([each.ids for each in parts])
    lines = np.concatenate([each.columns["line_number"] for each in parts])
    order = np.lexsort((ids, lines))
    _, first = np.unique(ids[order], return_index=True)
    in_order: NDArray[np.uint64] = ids[order][np.sort(first)]
    return in_order


def check_submission(
    rows: Sequence[tuple[str, bool]],
    wanted: NDArray[np.uint64],
    predictions: Sequence[KeptRows],
    *,
    answers_all: bool,
) -> str:
    """Return what is wrong with the rows of a submission, each its id and whether it answers; "" where nothing is.

    wanted: as submission_ids gives them. predictions: all shards. answers_all: every id with a prediction is answered.
    """
    received = id_digests(image_id for image_id, _ in rows)
    fault = _compare(wanted, received, "the ids of test.csv")
    if fault:
        return fault
    if not np.array_equal(wanted, received):
        return "should have a row for each id of test.csv, in its order. Received: another order"
    is_answered = np.array([answers for _, answers in rows], bool)
    predicted = np.concatenate([each.ids for each in predictions]) if predictions else np.zeros(0, np.uint64)
    is_predicted = np.isin(received, predicted)
    num_wrong = int((is_answered != is_predicted if answers_all else is_answered & ~is_predicted).sum())
    if num_wrong:
        return f"should answer for the images that have predictions. Received: {num_wrong} rows that do not fit"
    return ""
