"""Lets the tests' Java processes, of which there are many and none lives long, start in half of their processor time.

Run as a program it makes an archive of the classes that Spark loads, beside the environment, where there is none yet:
a driver then takes 13 s of processor time to its first result, without it 22 s (measured on one machine).
Java's best compiler is left out too: it pays off after minutes (119 s for a run of the tiny pipeline, 62 s without it).
"""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

__all__ = ["java_options"]

_ARCHIVE = Path(sys.prefix) / f"spark-{version('pyspark')}.jsa"
_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"

_TYPICAL = """
import sys
from pyspark.sql import SparkSession, functions as F
session = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
session.sparkContext.setLogLevel("FATAL")
rows = session.range(0, 100, 1, 3).withColumn("shard", (F.col("id") % 3).cast("int"))
rows.write.mode("overwrite").parquet(sys.argv[1])
read = session.read.parquet(sys.argv[1])
made = read.mapInArrow(lambda batches: batches, read.schema).repartition(2, "shard").sortWithinPartitions("id")
made.join(read.groupBy("shard").count(), on="shard").persist().collect()
session.sparkContext.parallelize([1, 2], 2).map(str).collect()
"""


def java_options():
    """Return the options for drivers, executors and daemons; an archive of another Java is passed over by it."""
    return f"{_SHORT_LIVED} -XX:SharedArchiveFile={_ARCHIVE} -Xlog:cds=off" if _ARCHIVE.exists() else _SHORT_LIVED


def make_archive(folder):
    made = Path(f"{folder}/classes.jsa")
    options = f"{_SHORT_LIVED} -XX:ArchiveClassesAtExit={made} -Xlog:cds=off"
    added = {"SPARK_SUBMIT_OPTS": options, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    command = [sys.executable, "-c", _TYPICAL, f"{folder}/rows"]
    done = subprocess.run(command, env=os.environ | added, capture_output=True, check=False, timeout=600)
    if done.returncode == 0 and made.exists():
        os.replace(made, _ARCHIVE)  # noqa: PTH105


if __name__ == "__main__":
    import tempfile

    if not _ARCHIVE.exists():
        print("test: making an archive of Spark's Java classes (once)", flush=True)  # noqa: T201
        with tempfile.TemporaryDirectory(dir=sys.prefix) as name:
            make_archive(name)
