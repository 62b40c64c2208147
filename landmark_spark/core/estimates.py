"""Says what a run would take: rows, bytes, seconds and money of each stage, from counts and from measured rates.

What a stage costs is in ``stage_costs``; here are the words for it, and the sums. Rates come from the caller: nothing
here is measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

__all__ = [
    "Cluster",
    "Demand",
    "Limit",
    "Recipe",
    "StageEstimate",
    "Workload",
    "slowest",
    "total_cost",
    "total_seconds",
]

Rates = Mapping[str, float]


@dataclass(frozen=True)
class Workload:
    """How many images and landmarks there are: train and test have at least one, landmarks too."""

    num_train: int
    num_test: int
    num_landmarks: int
    num_non_landmark: int = 0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in (("num_train", 1), ("num_test", 1), ("num_landmarks", 1), ("num_non_landmark", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} should be at least {least}. Received: {getattr(self, name)}")
        if self.num_landmarks > self.num_train:
            raise ValueError(
                f"num_landmarks should be at most num_train, {self.num_train}. Received: {self.num_landmarks}"
            )

    @property
    def num_images(self) -> int:
        """Of all splits."""
        return self.num_train + self.num_test + self.num_non_landmark


@dataclass(frozen=True)
class Cluster:
    """What a run has: nodes of so many cores, GPUs over all nodes, and what they cost.

    cpu, gpu: kinds, as the rates name them (``network_<kind>``). bandwidth: of a node, bytes a second. memory: of a
    node, bytes. driver_memory: heap of the driver, bytes. Prices are of an hour, in any currency.
    """

    num_nodes: int = 1
    cores_per_node: int = 2
    num_gpus: int = 0
    cpu: str = "avx512"
    gpu: str = "v100"
    bandwidth: float = 125e6
    memory: float = 16e9
    driver_memory: float = 2e9
    price_per_node_hour: float = 0.0
    price_per_gpu_hour: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name in ("num_nodes", "cores_per_node", "bandwidth", "memory", "driver_memory"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} should be above 0. Received: {getattr(self, name)}")
        for name in ("num_gpus", "price_per_node_hour", "price_per_gpu_hour"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} should be at least 0. Received: {getattr(self, name)}")

    @property
    def num_cores(self) -> int:
        """Of all nodes."""
        return self.num_nodes * self.cores_per_node

    @property
    def price_per_hour(self) -> float:
        """Of the whole cluster: it is paid for while a stage runs on one task too."""
        return self.num_nodes * self.price_per_node_hour + self.num_gpus * self.price_per_gpu_hour


@dataclass(frozen=True)
class Recipe:
    """The settings that decide what a run costs, as landmark_spark.settings explains them.

    views: pixels of all views of a descriptor, over 128 x 128. has_head: of retrieval. is_served_here: pictures come
    over loopback. feature_kind: of local features. fine_tune_epochs: 0 = not fine-tuned. has_refit: of the top model.
    learns_fusion: whether the evidence is weighed.
    """

    num_shards: int = 8
    has_all_large_images: bool = True
    references_per_landmark: int = 20
    is_served_here: bool = False
    num_threads: int = 16
    connections_per_host: int = 64
    epochs: int = 40
    validation_fraction: float = 0.1
    has_refit: bool = True
    fine_tune_epochs: int = 0
    num_workers: int = 1
    top_k: int = 5
    num_networks: int = 1
    views: float = 3.0
    dimensions: int = 512
    candidates: int = 2
    has_head: bool = True
    max_training_images: int = 50_000
    max_calibration_images: int = 20_000
    num_folds: int = 5
    feature_kind: str = "delf_vgg16"
    delf_epochs: int = 10
    delf_max_images: int = 20_000
    max_comparisons: int = 20
    learns_fusion: bool = True


@dataclass(frozen=True)
class Limit:
    """What a stage would take if one thing alone held it up: name (network, CPU, GPU, one task, ...), seconds."""

    name: str
    seconds: float


@dataclass(frozen=True)
class Demand:
    """What a stage asks for: rows and bytes that it writes, its limits, and what would not hold, in words.

    fixed_seconds: that it takes with next to nothing to do. fits: into the memory there is; its seconds are those that
    it would take if it did.
    """

    num_rows: float
    num_bytes: float
    limits: Sequence[Limit]
    fixed_seconds: float = 0.0
    warnings: Sequence[str] = ()
    fits: bool = True


@dataclass(frozen=True)
class StageEstimate:
    """A stage's rows, bytes in the store, seconds, what holds it up, its cost, and what would not hold.

    seconds: infinite where it does not fit into memory; cost likewise, where there are prices.
    """

    stage: str
    num_rows: int
    num_bytes: int
    seconds: float
    bottleneck: str
    cost: float
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, stage: str, demand: Demand, cluster: Cluster) -> StageEstimate:
        """Return the estimate for what a stage asks for; of its limits the slowest counts, the others run beside it."""
        limit = slowest(demand.limits) if demand.fits else Limit("memory", math.inf)
        seconds = demand.fixed_seconds + limit.seconds
        return cls(
            stage,
            round(demand.num_rows),
            round(demand.num_bytes),
            seconds,
            "start" if demand.fixed_seconds > limit.seconds else limit.name,
            cluster.price_per_hour * seconds / 3600 if cluster.price_per_hour else 0.0,
            tuple(demand.warnings),
        )


def slowest(limits: Sequence[Limit]) -> Limit:
    """Return the limit that takes longest, the first of equal ones. Raises ValueError for none."""
    if not limits:
        raise ValueError("there should be at least one limit. Received: none")
    return max(limits, key=lambda each: each.seconds)


def total_seconds(estimates: Sequence[StageEstimate]) -> float:
    """Return the time of all stages that fit into memory: one stage after the other."""
    return sum(each.seconds for each in estimates if math.isfinite(each.seconds))


def total_cost(estimates: Sequence[StageEstimate]) -> float:
    """Return what these stages cost."""
    return sum(each.cost for each in estimates if math.isfinite(each.seconds))
