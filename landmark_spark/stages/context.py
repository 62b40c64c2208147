"""What a stage is given besides its tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from landmark_spark.settings import Config
from landmark_spark.store import Store

if TYPE_CHECKING:
    from pyspark.resource import ResourceProfile
    from pyspark.sql import SparkSession

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """The session, the store, the whole configuration with its inputs resolved, and the shards to make.

    tell: says a line to the person who runs the stage. timings: (stage, rows, seconds) of each stage's last run.
    retried: those of the shards that are up to date, in which only the rows whose status is one of the words ``retry``
    (core.statuses.matches_status) are to be made anew. accelerator_profile: what an accelerator stage gives as
    ``profile=`` to mapInArrow and mapInPandas and to ``rdd.withResources``, so that each of its tasks has a GPU of its
    own; None where Spark hands out none. forced: everything is to be made anew, though it is up to date. version: of
    the stage. serves: base_url leads to a server of the run's own, which ends when the run does.
    """

    spark: SparkSession
    store: Store
    config: Config
    shards: tuple[int, ...]
    tell: Callable[[str], None]
    timings: tuple[tuple[str, int, float], ...] = ()
    retry: tuple[str, ...] = ()
    retried: tuple[int, ...] = ()
    accelerator_profile: ResourceProfile | None = None
    forced: bool = False
    version: int = 1
    serves: bool = False
