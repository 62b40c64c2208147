"""Starts or joins the Spark session, with what the store and the Python workers rely on."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from landmark_spark.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = [
    "JavaNotFoundError",
    "SessionError",
    "cause_of",
    "check_master",
    "find_java",
    "gpu_amount",
    "java_versions",
    "open_session",
]

_JAVA_VERSIONS = (17, 21)  # what Spark 4.0 runs on
_ERROR_LINE = re.compile(r"(([A-Za-z_]\w*\.)+\w+|[A-Z]\w*)(: |$)")  # "SomeError: why", "module.error: why"
_SYSTEM_JAVAS = Path("/usr/lib/jvm")
_ONE_FILE_A_PARTITION = str(2**40)  # bytes: a file counts as full, so that no partition takes two nor splits one


class SessionError(RuntimeError):
    """A Spark configuration that cannot work; the message says what to change."""


class JavaNotFoundError(SessionError):
    """No Java that Spark takes."""


def open_session(settings: SparkSettings, *, num_shards: int) -> SparkSession:
    """Return the session: spark-submit's where it started us, else a new one on ``spark.master``.

    Raises JavaNotFoundError and SessionError.
    """
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        os.environ["JAVA_HOME"] = find_java()
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1" if settings.master.startswith("local") else "")
        if not os.environ["SPARK_LOCAL_IP"]:
            del os.environ["SPARK_LOCAL_IP"]
    from pyspark import SparkConf, SparkContext
    from pyspark.sql import SparkSession

    if submitted:
        SparkContext._ensure_initialized()  # before it SparkConf does not see what spark-submit was given
    conf = SparkConf()
    master = conf.get("spark.master", settings.master) or settings.master
    given = dict(conf.getAll())
    check_master(master, given)
    builder = SparkSession.builder.appName(str(conf.get("spark.app.name", "landmark_spark")))
    if not submitted:
        builder = builder.master(master).config("spark.driver.memory", settings.driver_memory)
        builder = builder.config("spark.ui.enabled", "false").config("spark.ui.showConsoleProgress", "false")
    for key, value in (_properties(num_shards) | _worker_properties(given)).items():
        builder = builder.config(key, value)
    try:
        session = builder.getOrCreate()
    except Exception as error:
        raise SessionError(f"Spark should start on master {master}. Received: {cause_of(error)}") from error
    except KeyboardInterrupt as error:
        _end_half_started_java(error)
        raise
    session.sparkContext.setLogLevel(settings.log_level)
    return session


def _end_half_started_java(error: BaseException) -> None:
    """End the Java that PySpark was starting when it was interrupted, and has forgotten.

    On its way PySpark removes the folder where that Java is to leave its port: it would fail there, and never end.
    """
    for frame, _ in traceback.walk_tb(error.__traceback__):
        java = frame.f_locals.get("proc") if frame.f_code.co_name == "launch_gateway" else None
        if java is not None:
            java.kill()
            java.wait()


def _properties(num_shards: int) -> dict[str, str]:
    return {
        "spark.sql.files.maxPartitionBytes": _ONE_FILE_A_PARTITION,
        "spark.sql.files.openCostInBytes": _ONE_FILE_A_PARTITION,
        # Few rows of images or vectors are many bytes: a batch stays below some tens of MB.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "128",
        # A landmark's verification costs seconds and few bytes; coalescing by bytes would put all of it on one core.
        "spark.sql.adaptive.coalescePartitions.enabled": "false",
        "spark.sql.shuffle.partitions": str(max(num_shards, 8)),
        "spark.sql.session.timeZone": "UTC",
    }


def _worker_properties(given: Mapping[str, str]) -> dict[str, str]:
    """What the executors' Python workers need besides: the framework's backend, and their own GPU."""
    backend = "spark.executorEnv.KERAS_BACKEND"
    properties = {}
    if "KERAS_BACKEND" in os.environ and backend not in given:
        properties[backend] = os.environ["KERAS_BACKEND"]
    if gpu_amount(given, "executor") > 1:
        # A worker's framework stays on its first GPU, and Spark gives any worker to a task on any GPU of the executor.
        properties["spark.python.worker.reuse"] = "false"
    return properties


def gpu_amount(properties: Mapping[str, str], part: Literal["executor", "task"]) -> float:
    """Return the GPUs that Spark's properties give each executor or task; 0 where they name none."""
    return float(properties.get(f"spark.{part}.resource.gpu.amount", 0))


def check_master(master: str, properties: Mapping[str, str]) -> None:
    """Refuse what Spark would accept and then hang on: GPU amounts on a ``local`` master.

    Raises SessionError.
    """
    asked = sorted(key for key in properties if re.fullmatch(r"spark\.(task|executor)\.resource\.gpu\.amount", key))
    if asked and re.fullmatch(r"local(\[.*\])?", master):
        raise SessionError(
            f"{' and '.join(asked)} should only be set on a cluster: a {master} master has no GPU to give, and its "
            "tasks would wait for ever. A GPU of this machine is used without them."
        )


def find_java() -> str:
    """Return the home of a Java that Spark 4.0 takes: $JAVA_HOME, the system's folders, ``java`` on the PATH.

    Raises JavaNotFoundError naming what was tried.
    """
    tried = []
    for home, version in java_versions():
        if version in _JAVA_VERSIONS:
            return str(home)
        tried.append(f"{home} ({version or 'no java'})")
    raise JavaNotFoundError(
        "Spark 4.0 should have Java 17 or 21: install one (Debian and Ubuntu: openjdk-17-jre-headless) or set "
        f"JAVA_HOME. Tried: {', '.join(tried) or 'nothing found'}"
    )


def java_versions() -> Iterator[tuple[Path, int | None]]:
    """Return the homes where ``find_java`` looks, in its order, each with its major version; None: no java there."""
    for home in _java_homes():
        yield home, _java_version(home)


def _java_homes() -> list[Path]:
    homes = [Path(os.environ["JAVA_HOME"])] if os.environ.get("JAVA_HOME") else []
    pinned = Path(sys.prefix) / "java_home"  # written by scripts/install
    if pinned.is_file():
        homes.append(Path(pinned.read_text().strip()))
    homes += sorted(_SYSTEM_JAVAS.glob("*"))
    for folder in os.get_exec_path():
        if (Path(folder) / "java").exists():
            homes.append((Path(folder) / "java").resolve().parent.parent)
    return homes


def _java_version(home: Path) -> int | None:
    java = home / "bin" / "java"
    if not os.access(java, os.X_OK):
        return None
    told = subprocess.run([str(java), "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(\d+)', told.stderr + told.stdout)
    return int(found.group(1)) if found else None


def cause_of(error: Exception) -> str:
    """Return in one line what lies below Spark's layers: of a Python traceback the error, of Java's the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    traces = [index for index, line in enumerate(lines) if "Traceback (most recent call last)" in line]
    if traces:
        below = [line for line in lines[traces[-1] + 1 :] if not line.startswith("at ")]
        return next((line for line in below if _ERROR_LINE.match(line)), below[-1] if below else lines[0])
    causes = [line.removeprefix("Caused by:").strip() for line in lines if line.startswith("Caused by:")]
    if causes:
        return causes[-1]
    if lines[0].startswith("An error occurred while calling") and len(lines) > 1:
        return lines[1].lstrip(": ")
    return f"{type(error).__name__}: {lines[0]}"
