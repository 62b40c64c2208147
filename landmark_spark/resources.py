"""A run's Spark session and what it hands out: a GPU a task to accelerator stages, all cores to the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from landmark_spark.session import SessionError, cause_of, gpu_amount, open_session
from landmark_spark.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark import SparkContext
    from pyspark.resource import ResourceProfile
    from pyspark.sql import SparkSession

__all__ = ["SparkResources", "accelerator_profile", "accelerator_workers", "check_worker_gpus"]

_POOL = "LANDMARK_SPARK_WORKER_POOL"
_DEPLOY = "org.apache.spark.deploy.DeployMessages"


class SparkResources:
    """The session, opened when it is first asked for, and the profile of its accelerator stages."""

    def __init__(self, settings: SparkSettings, *, num_shards: int, tell: Callable[[str], None]) -> None:
        self._settings = settings
        self._num_shards = num_shards
        self._tell = tell

    @cached_property
    def session(self) -> SparkSession:
        """What the run's stages run on. Raises SessionError, also where no worker has the GPUs of an executor."""
        session = open_session(self._settings, num_shards=self._num_shards)
        check_worker_gpus(_worker_gpus(session.sparkContext), dict(session.sparkContext.getConf().getAll()))
        return session

    def cancel(self) -> None:
        """End the jobs that are under way, if Spark was started. Never fails: Java may be gone.

        What Java prints from now on is dropped: workers on this machine, whose rows nobody takes any more, send it the
        stack traces of their broken pipes.
        """
        session = self.__dict__.get("session")  # cached_property's own place: it is not to be opened now
        if session is not None:
            with contextlib.suppress(Exception):
                session.sparkContext._jvm.java.lang.System.err.close()
                session.sparkContext.cancelAllJobs()

    @cached_property
    def accelerator_profile(self) -> ResourceProfile | None:
        """One object a run: to Spark, every one built is a profile of its own."""
        context = self.session.sparkContext
        return accelerator_profile(context, dict(context.getConf().getAll()), self._tell)


def accelerator_profile(
    context: SparkContext, properties: Mapping[str, str], tell: Callable[[str], None]
) -> ResourceProfile | None:
    """Return the profile of stages whose tasks have a GPU each, on the executors that there are.

    None where Spark manages no GPU, where ``spark.task.resource.gpu.amount`` says it for all stages already, and, said
    in a line, where the master has no stage-level scheduling.
    """
    from pyspark.resource import ResourceProfileBuilder, TaskResourceRequests

    if not gpu_amount(properties, "executor"):
        return None
    if share := gpu_amount(properties, "task"):
        tell(
            f"GPUs: spark.task.resource.gpu.amount = {share:g} is kept: tasks of all stages wait for a GPU; without it "
            "only accelerator stages do, one task a GPU"
        )
        return None
    profile = ResourceProfileBuilder().require(TaskResourceRequests().resource("gpu", 1)).build
    try:
        context.emptyRDD().withResources(profile)  # registers it, or says why not
    except Exception as error:  # Java's or PySpark's own, by the version
        tell(
            f"GPUs: accelerator stages run a task a core, each on the GPU its framework takes, for master "
            f"{context.master} has no stage-level scheduling: {cause_of(error)}. Give tasks their GPU by "
            "spark.task.resource.gpu.amount"
        )
        return None
    return profile


@contextlib.contextmanager
def accelerator_workers(context: SparkContext) -> Iterator[None]:
    """Run the Python functions that are given to Spark in here in workers apart from all others.

    Spark hands out the idle workers of one environment in turn, so that every worker left by a CPU stage would load
    the network in its turn, and hold its share of the GPU's memory.
    """
    context.environment[_POOL] = "accelerator"
    try:
        yield
    finally:
        del context.environment[_POOL]


def check_worker_gpus(worker_gpus: list[int], properties: Mapping[str, str]) -> None:
    """Refuse executors that none of the workers could start: the job would wait for them for ever.

    ``worker_gpus``: of each live worker, busy ones too; empty where that is not known. Raises SessionError.
    """
    wanted = int(gpu_amount(properties, "executor"))
    if worker_gpus and max(worker_gpus) < wanted:
        raise SessionError(
            f"spark.executor.resource.gpu.amount = {wanted} should be at most the GPUs of a worker. Received: workers "
            f"with {', '.join(map(str, sorted(worker_gpus)))}. Start them with spark.worker.resource.gpu.amount and "
            "spark.worker.resource.gpu.discoveryScript (conf/spark/standalone.conf), or leave the GPU settings out"
        )


def _worker_gpus(context: SparkContext) -> list[int]:
    """Return the GPUs of each live worker of a standalone master; empty for other masters, which refuse by themselves.

    The master answers what its own web page asks it: there is no other way that needs no address of that page.
    """
    master = str(context.master)
    if not master.startswith("spark://"):
        return []
    found = []
    for address in master.removeprefix("spark://").split(","):
        host, _, port = address.rpartition(":")
        with contextlib.suppress(Exception):  # a standby that is down, or another version's messages: nobody can say
            workers = _ask_master(context, host, int(port))
            found += [_num_gpus(each) for each in workers if each.state().toString() == "ALIVE"]
    return found


def _ask_master(context: SparkContext, host: str, port: int) -> Any:
    jvm: Any = context._jvm
    messages = jvm.org.apache.spark.SparkEnv.get().rpcEnv()
    master = messages.setupEndpointRef(jvm.org.apache.spark.rpc.RpcAddress(host, port), "Master")
    java_class = jvm.java.lang.Class.forName
    question = java_class(f"{_DEPLOY}$RequestMasterState$").getField("MODULE$").get(None)
    tags = java_class("scala.reflect.ClassTag$").getField("MODULE$").get(None)
    return master.askSync(question, tags.apply(java_class(f"{_DEPLOY}$MasterStateResponse"))).workers()


def _num_gpus(worker: Any) -> int:
    gpus = worker.resources().get("gpu")
    return int(gpus.get().addresses().size()) if gpus.isDefined() else 0
