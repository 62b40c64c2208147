"""Runs a function as several processes at once, one in each task of a Spark barrier stage."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import pickle
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from landmark_spark.child_process import die_with_parent
from landmark_spark.core.data_parallel import PeerLostError, Rank
from landmark_spark.gpu import task_gpus

if TYPE_CHECKING:
    from pyspark import RDD, SparkContext
    from pyspark.resource import ResourceProfile

__all__ = ["BarrierError", "RankError", "run_together"]

_PATIENCE_FOR_EXECUTORS = 30.0  # seconds in which the executors of a young session register
_PATIENCE_FOR_CAUSE = 20.0  # seconds in which a rank that lost a peer lets that peer, or Spark, say why

Result = TypeVar("Result")
Function = Callable[[Rank, tuple[str, ...] | None], Result]


class BarrierError(ValueError):
    """A cluster on which so many tasks cannot run at once; the message says what to change."""


class RankError(RuntimeError):
    """A rank failed, and with it the training; the message says which and why, a note has its traceback."""


@dataclass(frozen=True)
class _Failure:
    """Why a rank has no result. is_echo: another rank was gone before."""

    rank: int
    host: str
    reason: str
    trace: str = ""
    is_echo: bool = False


def run_together(
    spark_context: SparkContext,
    function: Function[Result],
    num_workers: int,
    *,
    profile: ResourceProfile | None = None,
) -> list[Result]:
    """Call ``function(rank, gpus)`` in ``num_workers`` processes at once; return the results in the order of the ranks.

    Each call has a process of its own beside the Python worker of its task, which ends with it: a worker used before
    keeps the threads and the device of its first job. rank: its number and everyone's address, with a port free there.
    gpus: what Spark gave the task; None where it manages none. What it returns must be picklable.

    Where a call raises or its process dies, all others are ended at once and RankError tells the cause; Spark does not
    try again. It does where it loses a task by itself, with an executor for one: then all ranks begin anew, as often as
    ``spark.stage.maxConsecutiveAttempts`` says, so the function should go on from what it has kept.
    Raises BarrierError before anything starts where the cluster cannot run them at once.
    """
    from pyspark import cloudpickle

    _check_allocation(spark_context, num_workers)
    failures = spark_context.accumulator([], _gathered())
    places = spark_context.parallelize(range(num_workers), num_workers)
    if profile is not None:
        places = places.withResources(profile)
    _check_slots(spark_context, places, num_workers)
    pickled = cloudpickle.dumps(function)  # type: ignore[no-untyped-call]
    tasks = places.barrier().mapPartitions(partial(_run_task, pickled, failures))
    results = _collect(spark_context, tasks, failures)
    _raise_first(failures.value, num_workers)
    if isinstance(results, Exception):
        raise results
    return results


def _check_allocation(spark_context: SparkContext, num_workers: int) -> None:
    dynamic = str(spark_context.getConf().get("spark.dynamicAllocation.enabled", "false"))
    if dynamic.lower() == "true" and not _is_local(spark_context):
        raise BarrierError(
            f"{num_workers} workers that train together should have executors that stay: Spark refuses barrier stages "
            "under dynamic allocation. Set spark.dynamicAllocation.enabled=false, or train.num_workers=1"
        )


def _is_local(spark_context: SparkContext) -> bool:
    master = str(spark_context.master)
    return master == "local" or master.startswith("local[")


def _check_slots(spark_context: SparkContext, places: RDD[int], num_workers: int) -> None:
    """Raise BarrierError where fewer tasks run at once: Spark itself would look again for ten minutes."""
    java = spark_context._jsc.sc()
    profile = places._jrdd.rdd().getResourceProfile() or java.resourceProfileManager().defaultResourceProfile()
    end = time.monotonic() + (0.0 if _is_local(spark_context) else _PATIENCE_FOR_EXECUTORS)
    while (num_slots := java.maxNumConcurrentTasks(profile)) < num_workers:
        if time.monotonic() >= end:
            raise BarrierError(
                f"{num_workers} workers that train together should all run at once. Received: master "
                f"{spark_context.master} with room for {num_slots} such tasks. Give it more executors, cores or GPUs, "
                "or set train.num_workers lower"
            )
        time.sleep(0.5)


def _gathered() -> Any:
    """Return how an accumulator gathers lists: what a task adds reaches the driver when that task ends."""
    from pyspark.accumulators import AccumulatorParam

    class Gathered(AccumulatorParam[list[_Failure]]):
        def zero(self, value: list[_Failure]) -> list[_Failure]:  # noqa: ARG002
            return []

        def addInPlace(self, value1: list[_Failure], value2: list[_Failure]) -> list[_Failure]:  # noqa: N802
            return value1 + value2

    return Gathered()


def _collect(spark_context: SparkContext, tasks: RDD[Any], failures: Any) -> list[Any] | Exception:
    """Run the tasks; return their results, or Spark's error. The first failure ends them all."""
    from pyspark import InheritableThread

    tag = f"together-{uuid4().hex}"
    answer: list[list[Any] | Exception] = []

    def collect() -> None:
        spark_context.addJobTag(tag)
        try:
            answer.append(tasks.collect())
        except Exception as error:
            answer.append(error)

    thread = InheritableThread(collect)
    thread.start()
    try:
        while thread.is_alive() and not failures.value:
            thread.join(0.2)
    finally:
        while thread.is_alive():  # also where the user interrupts
            spark_context.cancelJobsWithTag(tag)
            thread.join(1.0)
    return answer[0]


def _raise_first(failures: list[_Failure], num_workers: int) -> None:
    """Raise RankError for the failure that caused the others."""
    if not failures:
        return
    first = min(failures, key=lambda each: (each.is_echo, each.rank))
    error = RankError(f"rank {first.rank} of {num_workers} on {first.host} failed: {first.reason}")
    if first.trace:
        error.add_note(first.trace)
    raise error


def _run_task(function: bytes, failures: Any, _places: Iterator[int]) -> Iterator[Any]:
    """Run one rank in its barrier task."""
    from pyspark import BarrierTaskContext

    context = BarrierTaskContext.get()
    number = context.partitionId()
    host = context.getTaskInfos()[number].address.rpartition(":")[0]
    with _free_port() as port:
        addresses = context.allGather(f"{host}:{port}")
        with _call_apart(function, Rank(number, tuple(addresses)), task_gpus()) as outcome:
            if isinstance(outcome, _Failure):
                if outcome.is_echo:
                    time.sleep(_PATIENCE_FOR_CAUSE)
                failures.add([outcome])
                return
            context.barrier()  # a process that ended now would take along the others, who may still hear from it
    yield outcome


@contextlib.contextmanager
def _free_port() -> Iterator[int]:
    """Keep a port for the process that will listen at it, with SO_REUSEPORT: nobody else gets it meanwhile."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        keeper.bind(("", 0))
        yield keeper.getsockname()[1]


@contextlib.contextmanager
def _call_apart(function: bytes, rank: Rank, gpus: tuple[str, ...] | None) -> Iterator[Any]:
    """Give what the call in a process of its own gave, or the _Failure; that process lives until the end of this."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_work, args=(theirs, function, rank, gpus))
    process.start()
    theirs.close()
    try:
        try:
            outcome = pickle.loads(ours.recv_bytes())
        except EOFError:
            process.join()
            outcome = _Failure(rank.number, _host(rank), _death(process.exitcode))
        yield outcome
    finally:
        process.kill()
        process.join()


def _work(connection: Connection, function: bytes, rank: Rank, gpus: tuple[str, ...] | None) -> None:
    """Call the function and send what it gives, then stay until the parent is gone or kills."""
    die_with_parent()
    try:
        data = pickle.dumps(pickle.loads(function)(rank, gpus))
    except Exception as error:
        logging.getLogger(__name__).exception("rank %d failed", rank.number)
        reason = traceback.format_exception_only(error)[-1].strip()
        is_echo = isinstance(error, PeerLostError)
        data = pickle.dumps(_Failure(rank.number, _host(rank), reason, traceback.format_exc(), is_echo))
    with contextlib.suppress(EOFError, OSError):
        connection.send_bytes(data)
        connection.recv_bytes()


def _host(rank: Rank) -> str:
    return rank.addresses[rank.number].rpartition(":")[0]


def _death(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"its process ended with exit code {exit_code}; its error is in the log of the executor"
    return f"its process was killed by {signal.Signals(-exit_code).name}, as a machine short of memory does"
