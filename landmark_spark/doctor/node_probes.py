"""Starts Spark, waits for its executors and asks one task on each what it sees."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from landmark_spark.doctor import node_facts
from landmark_spark.doctor.checks import Check, Node, TooSlowError, limited
from landmark_spark.resources import SparkResources
from landmark_spark.session import cause_of, gpu_amount
from landmark_spark.settings import Config

if TYPE_CHECKING:
    from pyspark import SparkContext

__all__ = ["Sight", "judge_silence", "see_nodes"]

_SECONDS_FOR_SPARK = 120.0
_SECONDS_TO_CONNECT = 5.0
_SECONDS_FOR_EXECUTORS = 90.0
_SECONDS_FOR_NODES = 240.0  # a worker unpacks an archive before its first task, and asks the framework for GPUs
_SECONDS_TO_STOP = 20.0
_SECONDS_UNCHANGED = 3.0
_SECONDS_A_TASK = 2.0
_SPARK_ADVICE = "see the line itself; landmark-spark doctor --set spark.log_level=ERROR shows what Spark says"
_MASTER_ADVICE = "start the master, or give its address as it names itself: --master spark://HOST:7077"
_EXECUTORS_ADVICE = (
    "give the cluster free cores and memory, or ask for less: spark.executor.cores and spark.executor.memory have to "
    "fit into a worker"
)


@dataclass(frozen=True)
class Sight:
    """What was seen of Spark: the check of its start, further ones, and the executors' nodes."""

    spark: Check
    master: str
    checks: tuple[Check, ...] = ()
    nodes: tuple[Node, ...] = ()
    gpus_wanted: float = 0.0


def see_nodes(config: Config, question: dict[str, Any], tell: Callable[[str], None], *, has_java: bool) -> Sight:
    """Open a session as a run does, and stop it; has_java: whether it is worth trying."""
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # Java runs already, on a master of its own choice
    master = "the master of spark-submit" if submitted else config.spark.master
    if not has_java and not submitted:
        return Sight(Check("spark", "failed", "not tried without Java", "see java"), master)
    tell(f"Spark on {master} ...")
    resources = SparkResources(config.spark, num_shards=config.index.num_shards, tell=tell)
    try:
        limited(lambda: _connect(master), 2 * _SECONDS_TO_CONNECT)
        session = limited(lambda: resources.session, _SECONDS_FOR_SPARK)
    except Exception as error:
        unreachable = isinstance(error, ConnectionError)
        return Sight(
            Check("spark", "failed", cause_of(error), _MASTER_ADVICE if unreachable else _SPARK_ADVICE), master
        )
    try:
        return _seen(resources, session.sparkContext, question, tell)
    finally:
        with contextlib.suppress(Exception):
            limited(session.stop, _SECONDS_TO_STOP)


def _seen(
    resources: SparkResources, context: SparkContext, question: dict[str, Any], tell: Callable[[str], None]
) -> Sight:
    master = str(context.master)
    wanted = gpu_amount(dict(context.getConf().getAll()), "executor")
    try:
        tell("executors ...")
        num_executors = limited(lambda: _count_executors(context), _SECONDS_FOR_EXECUTORS)
    except TooSlowError:
        found = f"{master} took the application, but gave no executor within {_SECONDS_FOR_EXECUTORS:g} s"
        return Sight(Check("spark", "failed", found, _EXECUTORS_ADVICE), master)
    except Exception as error:
        return Sight(Check("spark", "failed", cause_of(error), _SPARK_ADVICE), master)
    spark = Check(
        "spark", "ok", f"Spark {context.version} on {master}, {num_executors} executor{'s' * (num_executors > 1)}"
    )
    asked = question | {"gpus": wanted > 0}
    try:
        nodes = limited(lambda: _ask(resources, context, asked, num_executors), _SECONDS_FOR_NODES)
    except Exception as error:
        return Sight(spark, master, checks=(judge_silence(cause_of(error)),))
    checks = []
    if len(nodes) < num_executors:
        found = f"{len(nodes)} of {num_executors} executors were seen: the others were busy or slow"
        checks.append(Check("executors", "warning", found, "run it again while nothing else runs on the cluster"))
    return Sight(spark, master, tuple(checks), tuple(nodes), wanted)


def judge_silence(error: str) -> Check:
    """Judge why no task gave an answer, by what Spark said."""
    if "PYTHON_VERSION_MISMATCH" in error or "Cannot run program" in error:
        advice = "give the executors the driver's Python: PYSPARK_PYTHON, or scripts/build and scripts/submit --archive"
        return Check("python", "failed", error, advice)
    return Check("executors", "failed", error, "look into the log of an executor, which says more")


def _connect(master: str) -> None:
    """Raise ConnectionError where a master of Spark's own kind or Kubernetes takes no connection."""
    if not master.startswith(("spark://", "k8s://")):
        return
    reasons = []
    for each in re.sub(r"^(spark|k8s)://", "", master).split(","):
        parts = urlsplit(each if "://" in each else f"//{each}")
        port = parts.port or (443 if master.startswith("k8s://") else 7077)
        try:
            socket.create_connection((parts.hostname or "", port), timeout=_SECONDS_TO_CONNECT).close()
            return
        except OSError as error:
            reasons.append(f"{each}: {error}")
    raise ConnectionError(f"no master at {'; '.join(reasons)}")


def _count_executors(context: SparkContext) -> int:
    """Return the number of executors, once a task has run and no more of them come."""
    context.parallelize([0], 1)._jrdd.count()  # of Java's side alone: the executors' Python is asked later
    if str(context.master).startswith("local"):
        return 1
    found, since = 0, time.monotonic()
    while not found or time.monotonic() - since < _SECONDS_UNCHANGED:
        tracker = context._jsc.sc().statusTracker()
        now = len(tracker.getExecutorInfos()) - 1  # the driver is among them
        if now != found:
            found, since = now, time.monotonic()
        time.sleep(0.2)
    return found


def _ask(resources: SparkResources, context: SparkContext, question: dict[str, Any], num_executors: int) -> list[Node]:
    """Return what a task on each executor sees; by its working folder, for a host may have several."""
    from pyspark import cloudpickle

    cloudpickle.register_pickle_by_value(node_facts)  # type: ignore[no-untyped-call]
    try:
        look = functools.partial(node_facts.take_facts, hold=_SECONDS_A_TASK)
        tasks = context.parallelize([question] * num_executors, num_executors)
        if resources.accelerator_profile is not None:
            tasks = tasks.withResources(resources.accelerator_profile)
        seen = [Node(**facts) for facts in tasks.map(look).collect()]
    finally:
        cloudpickle.unregister_pickle_by_value(node_facts)  # type: ignore[no-untyped-call]
    return list({each.place: each for each in seen}.values())
