"""What each stage costs: its rows, bytes and limits, as functions of counts, cluster, settings and rates.

Work is in core-seconds, GFLOP of the network, bytes or comparisons, whichever grows with the images; a stage of many
tasks is divided by cores or GPUs, as many as it has shards, and one of a single task by nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from landmark_spark.core.estimates import Cluster, Demand, Limit, Rates, Recipe, StageEstimate, Workload

__all__ = ["STAGE_COSTS", "Case", "estimate_run"]

GFLOP_PER_IMAGE = 10.0
"""Of VGG16's convolutions on 128 x 128 pixels, multiplications and additions: counted from the layers."""
_PIECE_GFLOP = 28.0  # the same up to block4_conv3 on 224 x 224: a training piece of delf_vgg16
_DELF_GFLOP = 358.0  # likewise on a copy of 172,000 pixels at scales of 0.5 to 1.4142, whose areas sum to 3.75
_FINE_TUNED = 3.0  # a step forward and back, in steps forward
_BYTES_A_VALUE = 4  # of vectors in a task's memory
_FEWER_TASKS = "run fewer tasks a node (spark.executor.cores; spark.master=local[N])"
_HEAD_ITERATIONS = 200  # of core.linear_head


@dataclass(frozen=True)
class Case:
    """All that a stage's cost depends on."""

    work: Workload
    cluster: Cluster
    recipe: Recipe
    rates: Rates

    @property
    def num_players(self) -> int:
        """Training and non-landmark images that play test images."""
        most = self.recipe.max_calibration_images
        return min(self.work.num_train, most) + min(self.work.num_non_landmark, most)

    @property
    def num_queries(self) -> int:
        """Images that retrieval names landmarks for."""
        return self.work.num_test + self.num_players

    @property
    def num_large(self) -> float:
        """Images with a larger copy."""
        work, recipe = self.work, self.recipe
        return work.num_images if recipe.has_all_large_images else work.num_test + self.num_references

    @property
    def num_references(self) -> float:
        """Training images that others are verified against, of all landmarks: each is named by some image."""
        return min(self.work.num_train, self.work.num_landmarks * self.recipe.references_per_landmark)

    @property
    def num_candidates(self) -> float:
        """Landmarks that retrieval names, for all its images: its voices agree on many."""
        voices = 3 if self.recipe.has_head else 2
        named = max(1.0, voices * self.recipe.candidates * self.rates["candidates_share"])
        return self.num_queries * min(named, self.work.num_landmarks)

    @property
    def num_vectors(self) -> int:
        """Images that retrieval compares with."""
        return self.work.num_train + self.work.num_non_landmark

    def across_cores(self, name: str, core_seconds: float) -> Limit:
        """Return the limit of work that splits by shard over the cores."""
        return self._across(name, core_seconds, self.cluster.num_cores)

    def network_rate(self, *, is_delf: bool = False) -> float:
        """Return GFLOP a second of a GPU where there are any, else of a core; of delf_vgg16 where that is another."""
        kind = self.cluster.gpu if self.cluster.num_gpus else self.cluster.cpu
        rate = self.rates[f"network_{kind}"]
        return self.rates.get(f"delf_{kind}", rate) if is_delf else rate

    def across_network(self, gflop: float, decoded: float, *, is_delf: bool = False) -> list[Limit]:
        """Return the limits of a network's work: of GPUs where there are any, with decoding on the cores beside."""
        cluster, rates, rate = self.cluster, self.rates, self.network_rate(is_delf=is_delf)
        if not cluster.num_gpus:
            return [self._across("CPU", gflop / rate, cluster.num_cores)]
        decoding = decoded / rates["decode_images"]
        return [
            self._across("GPU", gflop / rate, cluster.num_gpus),
            self.across_cores("CPU (decoding)", decoding),
        ]

    def one_task(self, seconds: float) -> Limit:
        """Return the limit of work that does not split."""
        return Limit("one task", seconds)

    def training(self, gflop: float, *, is_delf: bool = False) -> float:
        """Return the seconds of a training on one task, or on as many workers as are set, of a network's GFLOP."""
        workers, devices = self.recipe.num_workers, min(2, self.cluster.cores_per_node)  # threads: train.num_threads
        if self.cluster.num_gpus:
            workers, devices = min(workers, self.cluster.num_gpus), 1
        return gflop / self.network_rate(is_delf=is_delf) / devices / workers

    def _across(self, name: str, seconds: float, slots: int) -> Limit:
        tasks = self.recipe.num_shards
        limited = f"{name}, {tasks} shards" if tasks < slots else name
        return Limit(limited, seconds / min(slots, tasks))

    def moved(self, num_bytes: float) -> Limit:
        """Return the limit of a shuffle: what goes to other nodes."""
        share = 1.0 - 1.0 / self.cluster.num_nodes
        return Limit("network (shuffle)", num_bytes * share / (self.cluster.bandwidth * self.cluster.num_nodes))


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


def _memory(case: Case, num_bytes: float, who: str, advice: str, *, tasks: int = 1) -> list[str]:
    """Say that a task's memory is more than its share of a node; tasks: of a node at once."""
    if num_bytes * tasks <= case.cluster.memory:
        return []
    return [
        f"{who} needs {num_bytes / 1e9:,.1f} GB a task, {num_bytes * tasks / 1e9:,.0f} GB a node with {tasks} at once; "
        f"a node has {case.cluster.memory / 1e9:,.0f} GB. {advice}"
    ]


def _train_retrieval(case: Case) -> Demand:
    recipe, count = case.recipe, case.num_vectors
    seconds = count * case.rates["learn_row"]
    held = 3 * _BYTES_A_VALUE * 512 * recipe.num_networks * count
    warnings = _memory(
        case, held, "train_retrieval", "It does not split: run it on a node with that much, or train on fewer images"
    )
    fits = not warnings
    if recipe.has_head:
        examples = min(case.work.num_train, recipe.max_training_images)
        examples += min(case.work.num_non_landmark, recipe.max_training_images)
        flops = 4.0 * examples * recipe.dimensions * case.work.num_landmarks * _HEAD_ITERATIONS * (recipe.num_folds + 1)
        head = flops / (1e9 * case.rates["head_gflops"])
        seconds += head
        if head > 3600:
            warnings.append(
                f"the linear head takes {head / 3600:,.0f} hours of one task for {case.work.num_landmarks:,} "
                "landmarks; set retrieval.head=none"
            )
    size = 2 * recipe.dimensions * count
    return Demand(0, size, [case.one_task(seconds)], case.rates["start_train_retrieval"], warnings, fits)


def _retrieve(case: Case) -> Demand:
    recipe, count, cluster = case.recipe, case.num_vectors, case.cluster
    search = case.num_queries * count * recipe.dimensions * case.rates["search_value"]
    loading = 2 * recipe.dimensions * count / case.rates["model_bytes"]  # by each task's worker, once
    limit = case.across_cores("CPU", search)
    held = _BYTES_A_VALUE * recipe.dimensions * count
    warnings = _memory(
        case,
        held,
        "retrieve_neighbours",
        f"Every task holds all references, which are not split: {_FEWER_TASKS}, lower retrieval.dimensions, "
        "or train on fewer images",
        tasks=min(cluster.cores_per_node, recipe.num_shards),
    )
    rows = case.num_candidates
    return Demand(
        rows,
        rows * case.rates["bytes_candidate"],
        [Limit(limit.name, limit.seconds + loading)],
        case.rates["start_retrieve_neighbours"],
        warnings,
        not warnings,
    )


def _train_delf(case: Case) -> Demand:
    recipe = case.recipe
    if recipe.feature_kind != "delf_vgg16":
        return Demand(0, 22, [case.one_task(0.0)])
    images = min(case.num_references, recipe.delf_max_images)
    gflop = images * recipe.delf_epochs * _PIECE_GFLOP
    return Demand(0, 60e6, [case.one_task(case.training(gflop, is_delf=True))], case.rates["start_network"])


def _local_features(case: Case) -> Demand:
    rates = case.rates
    count = min(case.work.num_test + case.num_players + case.num_references, case.num_large)
    size = count * rates["bytes_local_features"]
    if case.recipe.feature_kind == "sift":
        return Demand(count, size, [case.across_cores("CPU", count / rates["sift_images"])], rates["start_sift"])
    limits = case.across_network(count * _DELF_GFLOP, count * rates["large_decodes"], is_delf=True)
    tasks = min(case.cluster.cores_per_node, case.recipe.num_shards)
    advice = f"Each runs the network: {_FEWER_TASKS}, or set local_features.batch_size=1"
    held = rates["delf_task_bytes"]
    warnings = [] if case.cluster.num_gpus else _memory(case, held, "extract_local_features", advice, tasks=tasks)
    return Demand(count, size, limits, rates["start_network"], warnings, not warnings)


def _verify(case: Case) -> Demand:
    rates, recipe, work = case.rates, case.recipe, case.work
    rows = case.num_candidates * rates["verified_share"]
    references = min(recipe.max_comparisons, work.num_train / work.num_landmarks)
    comparisons = rows * references * rates["compared_share"]
    sent = (rows + case.num_references) * (rates["bytes_local_features"] + rates["bytes_bottleneck"])
    limits = [Limit("CPU", comparisons / rates["comparisons"] / case.cluster.num_cores), case.moved(sent)]
    heap = rows * rates["driver_bytes_verified"]
    return Demand(
        rows,
        rows * rates["bytes_verification"],
        limits,
        rates["start_verify_landmarks"],
        _driver(case, "verify_landmarks", heap),
    )


def _driver(case: Case, who: str, num_bytes: float) -> list[str]:
    if num_bytes <= case.cluster.driver_memory:
        return []
    return [
        f"{who} needs {num_bytes / 1e9:,.1f} GB of the driver, which has {case.cluster.driver_memory / 1e9:,.1f} GB: "
        "set spark.driver_memory"
    ]


def _fuse(case: Case) -> Demand:
    if not case.recipe.learns_fusion:
        return Demand(0, 0, [case.one_task(0.0)])
    rows = case.num_candidates * case.work.num_test / case.num_queries
    limit = case.across_cores("CPU", case.num_candidates * case.rates["fuse_row"])
    return Demand(rows, rows * case.rates["bytes_score"], [limit], case.rates["start_fuse_evidence"])


def _submission(case: Case) -> Demand:
    count = case.work.num_test
    limit = Limit("driver", count * case.rates["submission_row"])
    return Demand(count, count * case.rates["bytes_answer"], [limit], case.rates["start_write_submission"])


def _report(case: Case) -> Demand:
    count = case.work.num_test
    rows = case.num_candidates * count / case.num_queries
    held = rows * case.rates["driver_bytes_judged"]
    warnings = _memory(case, held, "write_report", "Its driver collects a row for each candidate of a test image")
    limit = Limit("driver", count * case.rates["report_image"])
    return Demand(0, 1e6, [limit], case.rates["start_write_report"], warnings, not warnings)


STAGE_COSTS: dict[str, Callable[[Case], Demand]] = {
    "index_images": _index,
    "download_images": _download,
    "extract_bottlenecks": _bottlenecks,
    "train_top_model": _top_model,
    "fine_tune": _fine_tune,
    "predict_landmarks": _predict,
    "extract_global_descriptors": _descriptors,
    "train_retrieval": _train_retrieval,
    "retrieve_neighbours": _retrieve,
    "train_delf": _train_delf,
    "extract_local_features": _local_features,
    "verify_landmarks": _verify,
    "fuse_evidence": _fuse,
    "write_submission": _submission,
    "write_report": _report,
}
"""The cost of each stage by its name, in the order of the run."""
