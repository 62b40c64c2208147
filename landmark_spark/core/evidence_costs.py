"""What the stages of retrieval, verification, fusion and results cost; ``stage_costs`` has the others."""

from __future__ import annotations

from landmark_spark.core.estimate_cases import Case, driver_warnings, memory_warnings
from landmark_spark.core.estimates import Demand, Limit

__all__ = [
    "fuse_cost",
    "local_features_cost",
    "report_cost",
    "retrieve_cost",
    "submission_cost",
    "train_delf_cost",
    "train_retrieval_cost",
    "verify_cost",
]

_PIECE_GFLOP = 28.0  # of VGG16 up to block4_conv3 on 224 x 224: a training piece of delf_vgg16
_DELF_GFLOP = 358.0  # likewise on a copy of 172,000 pixels at scales of 0.5 to 1.4142, whose areas sum to 3.75
_BYTES_A_VALUE = 4  # of vectors in a task's memory
_FEWER_TASKS = "run fewer tasks a node (spark.executor.cores; spark.master=local[N])"
_HEAD_ITERATIONS = 200  # of core.linear_head


def train_retrieval_cost(case: Case) -> Demand:
    """Learning from all descriptors, in one task; a linear head where there is one."""
    recipe, count = case.recipe, case.num_vectors
    seconds = count * case.rates["learn_row"]
    held = 3 * _BYTES_A_VALUE * 512 * recipe.num_networks * count
    warnings = memory_warnings(
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


def retrieve_cost(case: Case) -> Demand:
    """The exact search: every image that asks with every reference."""
    recipe, count, cluster = case.recipe, case.num_vectors, case.cluster
    search = case.num_queries * count * recipe.dimensions * case.rates["search_value"]
    loading = 2 * recipe.dimensions * count / case.rates["model_bytes"]  # by each task's worker, once
    limit = case.across_cores("CPU", search)
    held = _BYTES_A_VALUE * recipe.dimensions * count
    warnings = memory_warnings(
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


def train_delf_cost(case: Case) -> Demand:
    """Training our own DELF; nothing for other kinds."""
    recipe = case.recipe
    if recipe.feature_kind != "delf_vgg16":
        return Demand(0, 22, [case.one_task(0.0)])
    images = min(case.num_references, recipe.delf_max_images)
    gflop = images * recipe.delf_epochs * _PIECE_GFLOP
    return Demand(0, 60e6, [case.one_task(case.training(gflop, is_delf=True))], case.rates["start_network"])


def local_features_cost(case: Case) -> Demand:
    """Keypoints of test images, of those that play one, and of references."""
    rates = case.rates
    count = min(case.work.num_test + case.num_players + case.num_references, case.num_large)
    size = count * rates["bytes_local_features"]
    if case.recipe.feature_kind == "sift":
        return Demand(count, size, [case.across_cores("CPU", count / rates["sift_images"])], rates["start_sift"])
    limits = case.across_network(count * _DELF_GFLOP, count * rates["large_decodes"], is_delf=True)
    tasks = min(case.cluster.cores_per_node, case.recipe.num_shards)
    advice = f"Each runs the network: {_FEWER_TASKS}, or set local_features.batch_size=1"
    held = rates["delf_task_bytes"]
    warnings = (
        [] if case.cluster.num_gpus else memory_warnings(case, held, "extract_local_features", advice, tasks=tasks)
    )
    return Demand(count, size, limits, rates["start_network"], warnings, not warnings)


def verify_cost(case: Case) -> Demand:
    """Comparisons of images with references, and the shuffle that brings them together."""
    rates, recipe, work = case.rates, case.recipe, case.work
    rows = case.num_candidates * rates["verified_share"]
    references = min(recipe.max_comparisons, work.num_train / work.num_landmarks)
    comparisons = rows * references * rates["compared_share"]
    sent = (rows + case.num_references) * (rates["bytes_local_features"] + rates["bytes_bottleneck"])
    limits = [Limit("CPU", comparisons / rates["comparisons"] / case.cluster.num_cores), case.moved(sent)]
    warnings = driver_warnings(case, rows * rates["driver_bytes_verified"], "verify_landmarks")
    size = rows * rates["bytes_verification"]
    return Demand(rows, size, limits, rates["start_verify_landmarks"], warnings, not warnings)


def fuse_cost(case: Case) -> Demand:
    """Joining candidates with their verifications, and scoring them."""
    if not case.recipe.learns_fusion:
        return Demand(0, 0, [case.one_task(0.0)])
    rows = case.num_candidates * case.work.num_test / case.num_queries
    limit = case.across_cores("CPU", case.num_candidates * case.rates["fuse_row"])
    return Demand(rows, rows * case.rates["bytes_score"], [limit], case.rates["start_fuse_evidence"])


def submission_cost(case: Case) -> Demand:
    """The driver writes a row for each test image."""
    count = case.work.num_test
    limit = Limit("driver", count * case.rates["submission_row"])
    return Demand(count, count * case.rates["bytes_answer"], [limit], case.rates["start_write_submission"])


def report_cost(case: Case) -> Demand:
    """The driver collects the candidates of all test images, and measures them."""
    count = case.work.num_test
    rows = case.num_candidates * count / case.num_queries
    held = rows * case.rates["driver_bytes_judged"]
    warnings = memory_warnings(
        case, held, "write_report", "Its driver collects a row for each candidate of a test image"
    )
    limit = Limit("driver", count * case.rates["report_image"])
    return Demand(0, 1e6, [limit], case.rates["start_write_report"], warnings, not warnings)
