"""Plans who verifies what: cuts the queries of popular landmarks in chunks and deals all chunks out evenly.

A chunk needs the references of its landmark, wherever it is: a popular landmark's references go to several partitions,
a partition has many small landmarks. Nothing of the result depends on the plan, only how long the slowest takes.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Chunk", "ClassLoad", "load_of", "num_partitions_for", "partition_keys", "plan_chunks"]

IMAGE_COST = 0.3
"""What it takes to bring one image's features to a task and unpack them, in comparisons of two images."""
_CHUNKS_A_PARTITION = 32
"""A chunk is at most a 32nd of a partition's share: the slowest is planned at most 1.04 times the mean, and what the
landmarks save whose images verify early is spread over many partitions."""
_MAX_INT = 2**31


@dataclass(frozen=True)
class ClassLoad:
    """The images to verify as one landmark, and the references that each is compared with at most."""

    landmark_id: int
    num_queries: int
    num_references: int

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.num_queries < 1 or self.num_references < 0:
            raise ValueError(
                "num_queries should be at least 1 and num_references at least 0. "
                f"Received: {self.num_queries}, {self.num_references}"
            )


@dataclass(frozen=True)
class Chunk:
    """The queries ``first`` to ``first + num_queries - 1`` of a landmark, in any fixed order, go to a partition."""

    landmark_id: int
    first: int
    num_queries: int
    partition: int


def load_of(num_queries: int, num_references: int) -> float:
    """Return what queries of one landmark cost in one partition, in comparisons."""
    return num_queries * (num_references + IMAGE_COST) + num_references * IMAGE_COST


def num_partitions_for(loads: Sequence[ClassLoad], *, parallelism: int, load_per_partition: float) -> int:
    """Return how many partitions to make: three for each task at once, so that a slow one is made up for.

    More where a partition would have more than ``load_per_partition`` comparisons, none without a query.
    """
    if parallelism < 1 or not load_per_partition > 0.0:
        raise ValueError(
            "parallelism should be at least 1 and load_per_partition above 0. "
            f"Received: {parallelism}, {load_per_partition}"
        )
    total = sum(load_of(each.num_queries, each.num_references) for each in loads)
    wanted = max(3 * parallelism, math.ceil(total / load_per_partition))
    return max(1, min(wanted, sum(each.num_queries for each in loads)))


def plan_chunks(loads: Sequence[ClassLoad], *, num_partitions: int) -> list[Chunk]:
    """Cut and deal out: the largest chunk first, each to the partition that has least (Graham's LPT rule, 1969).

    Returns:
        The chunks by landmark and first query; together they are each landmark's queries once.
    """
    if num_partitions < 1:
        raise ValueError(f"num_partitions should be at least 1. Received: {num_partitions}")
    total = sum(load_of(each.num_queries, each.num_references) for each in loads)
    largest = total / num_partitions / _CHUNKS_A_PARTITION
    pieces = [(each, first, count) for each in loads for first, count in _cut(each, largest)]
    pieces.sort(key=lambda piece: (-load_of(piece[2], piece[0].num_references), piece[0].landmark_id, piece[1]))
    partitions = [(0.0, number) for number in range(num_partitions)]
    chunks = []
    for each, first, count in pieces:
        filled, number = partitions[0]
        heapq.heapreplace(partitions, (filled + load_of(count, each.num_references), number))
        chunks.append(Chunk(each.landmark_id, first, count, number))
    return sorted(chunks, key=lambda chunk: (chunk.landmark_id, chunk.first))


def _cut(each: ClassLoad, largest: float) -> list[tuple[int, int]]:
    """Return (first, number) of a landmark's chunks, which differ by one query at most."""
    num_chunks = min(each.num_queries, math.ceil(load_of(each.num_queries, each.num_references) / largest))
    bounds = [each.num_queries * number // num_chunks for number in range(num_chunks + 1)]
    return [(first, end - first) for first, end in itertools.pairwise(bounds)]


def partition_keys(num_partitions: int) -> list[int]:
    """Return, for each partition, the least int32 that Spark's hash partitioning sends there.

    Spark puts a row whose key is one int into partition ``murmur3(key) mod num_partitions`` (MurmurHash3, 32 bits, seed
    42): numbers as they are would meet in some partitions and leave others empty.
    """
    if num_partitions < 1:
        raise ValueError(f"num_partitions should be at least 1. Received: {num_partitions}")
    keys: dict[int, int] = {}
    for key in range(_MAX_INT):
        keys.setdefault(_murmur3(key) % num_partitions, key)
        if len(keys) == num_partitions:
            break
    return [keys[number] for number in range(num_partitions)]


def _murmur3(key: int, seed: int = 42) -> int:
    """Return MurmurHash3_x86_32 of the four bytes of an int, as a signed number."""
    mixed = _rotated(key * 0xCC9E2D51 & 0xFFFFFFFF, 15) * 0x1B873593 & 0xFFFFFFFF
    value = (_rotated(seed ^ mixed, 13) * 5 + 0xE6546B64) & 0xFFFFFFFF
    value ^= 4  # the length
    value = (value ^ value >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    value = (value ^ value >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    value ^= value >> 16
    return value - 2**32 if value >= 2**31 else value


def _rotated(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & 0xFFFFFFFF
