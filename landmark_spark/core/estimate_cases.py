"""Holds what a stage's cost depends on, and how work is spread over cores, GPUs and nodes."""

from __future__ import annotations

from dataclasses import dataclass

from landmark_spark.core.estimates import Cluster, Limit, Rates, Recipe, Workload

__all__ = ["Case", "driver_warnings", "memory_warnings"]


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


def memory_warnings(case: Case, num_bytes: float, who: str, advice: str, *, tasks: int = 1) -> list[str]:
    """Say that a task's memory is more than its share of a node; tasks: of a node at once."""
    if num_bytes * tasks <= case.cluster.memory:
        return []
    return [
        f"{who} needs {num_bytes / 1e9:,.1f} GB a task, {num_bytes * tasks / 1e9:,.0f} GB a node with {tasks} at once; "
        f"a node has {case.cluster.memory / 1e9:,.0f} GB. {advice}"
    ]


def driver_warnings(case: Case, num_bytes: float, who: str) -> list[str]:
    """Say that the driver's heap is too small."""
    if num_bytes <= case.cluster.driver_memory:
        return []
    return [
        f"{who} needs {num_bytes / 1e9:,.1f} GB of the driver, which has {case.cluster.driver_memory / 1e9:,.1f} GB: "
        "set spark.driver_memory"
    ]
