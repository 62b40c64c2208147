"""What each stage costs: its rows, bytes and limits, as functions of counts, cluster, settings and rates.

Work is in core-seconds, GFLOP of the network, bytes or comparisons, whichever grows with the images; a stage of many
tasks is divided by cores or GPUs, as many as it has shards, and one of a single task by nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from landmark_spark.core.estimate_cases import Case
from landmark_spark.core.estimates import Demand, Limit, StageEstimate
from landmark_spark.core.evidence_costs import (
    fuse_cost,
    local_features_cost,
    report_cost,
    retrieve_cost,
    submission_cost,
    train_delf_cost,
    train_retrieval_cost,
    verify_cost,
)

__all__ = ["GFLOP_PER_IMAGE", "STAGE_COSTS", "Case", "estimate_run"]

GFLOP_PER_IMAGE = 10.0
"""Of VGG16's convolutions on 128 x 128 pixels, multiplications and additions: counted from the layers."""
_BYTES_A_VALUE = 4  # of a weight
_FINE_TUNED = 3.0  # a step forward and back, in steps forward


def estimate_run(case: Case) -> list[StageEstimate]:
    """Return the estimate of every stage, in the order of the run."""
    return [StageEstimate.of(name, cost(case), case.cluster) for name, cost in STAGE_COSTS.items()]


def _index(case: Case) -> Demand:
    count, rates = case.work.num_images, case.rates
    return Demand(
        count,
        count * rates["bytes_record"],
        [case.across_cores("CPU", count * rates["index_row"])],
        rates["start_index_images"],
        _shard_warnings(case),
    )


def _shard_warnings(case: Case) -> list[str]:
    per_shard = case.work.num_images / case.recipe.num_shards
    if per_shard <= case.rates["most_rows_a_shard"]:
        return []
    wanted = round(case.work.num_images / 1300)  # as conf/cluster.yaml has them
    return [
        f"{per_shard:,.0f} images a shard: a task that is killed loses as many downloads; set index.num_shards={wanted}"
    ]


def _download(case: Case) -> Demand:
    count, rates, recipe, cluster = case.work.num_images, case.rates, case.recipe, case.cluster
    received = count * rates["bytes_original"]
    threads = min(cluster.num_cores, recipe.num_shards) * recipe.num_threads
    limits = [case.across_cores("CPU", received / rates["download_bytes"])]
    outside = [
        Limit("network", received / (cluster.bandwidth * cluster.num_nodes)),
        Limit("connections to one host", count * rates["request_seconds"] / recipe.connections_per_host),
        Limit("download threads", count * rates["request_seconds"] / threads),
    ]
    stored = count * rates["bytes_image"] + case.num_large * rates["bytes_large_image"]
    limits += [] if recipe.is_served_here else outside
    return Demand(count, stored, limits, rates["start_download_images"])


def _bottlenecks(case: Case) -> Demand:
    count = case.work.num_images
    limits = case.across_network(count * GFLOP_PER_IMAGE, count)
    return Demand(count, count * case.rates["bytes_bottleneck"], limits, case.rates["start_network"])


def _top_model(case: Case) -> Demand:
    recipe, rates = case.recipe, case.rates
    passes = recipe.epochs * (1.0 - recipe.validation_fraction + (1.0 if recipe.has_refit else 0.0))
    rate = rates["feed_rows"] if case.cluster.num_gpus else rates["top_model_rows"]
    size = 2 * _BYTES_A_VALUE * (8192 * 256 + 256 * case.work.num_landmarks)
    return Demand(0, size, [case.one_task(case.work.num_train * passes / rate)], rates["start_train_top_model"])


def _fine_tune(case: Case) -> Demand:
    recipe = case.recipe
    if not recipe.fine_tune_epochs:
        return Demand(0, 17, [case.one_task(0.0)])
    passes = recipe.fine_tune_epochs * (1.0 - recipe.validation_fraction + (1.0 if recipe.has_refit else 0.0))
    rows = case.work.num_train * passes
    if case.cluster.num_gpus:
        seconds = case.training(rows * GFLOP_PER_IMAGE * _FINE_TUNED)
    else:
        seconds = rows / case.rates["fine_tune_rows"] / recipe.num_workers
    return Demand(0, 60e6, [case.one_task(seconds)], case.rates["start_network"])


def _predict(case: Case) -> Demand:
    count, recipe, rates = case.work.num_test, case.recipe, case.rates
    limits = [case.across_cores("CPU", count / rates["predict_rows"])]
    if recipe.fine_tune_epochs:
        limits += case.across_network(count * GFLOP_PER_IMAGE, count)
    num_rows = count * min(recipe.top_k, case.work.num_landmarks)
    return Demand(num_rows, num_rows * rates["bytes_prediction"], limits, rates["start_predict_landmarks"])


def _descriptors(case: Case) -> Demand:
    count, recipe = case.num_large, case.recipe
    gflop = count * GFLOP_PER_IMAGE * recipe.views * recipe.num_networks
    limits = case.across_network(gflop, count * case.rates["large_decodes"])
    size = count * case.rates["bytes_descriptor"] * recipe.num_networks
    return Demand(count, size, limits, case.rates["start_descriptors"])


STAGE_COSTS: dict[str, Callable[[Case], Demand]] = {
    "index_images": _index,
    "download_images": _download,
    "extract_bottlenecks": _bottlenecks,
    "train_top_model": _top_model,
    "fine_tune": _fine_tune,
    "predict_landmarks": _predict,
    "extract_global_descriptors": _descriptors,
    "train_retrieval": train_retrieval_cost,
    "retrieve_neighbours": retrieve_cost,
    "train_delf": train_delf_cost,
    "extract_local_features": local_features_cost,
    "verify_landmarks": verify_cost,
    "fuse_evidence": fuse_cost,
    "write_submission": submission_cost,
    "write_report": report_cost,
}
"""The cost of each stage by its name, in the order of the run."""
