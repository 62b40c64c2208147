"""Tells on which GPUs short accelerator tasks computed, and what executors with too many GPUs give.

Handed to spark-submit by test_cluster.py.
"""

import json
import os
import sys
import time
import types

from pyspark import SparkContext

from landmark_spark.gpu import claim_device, task_gpus
from landmark_spark.resources import SparkResources, accelerator_workers
from landmark_spark.session import SessionError
from landmark_spark.settings import SparkSettings

NUM_TASKS = (4, 1, 1, 1)  # of each job. All GPUs first; then, one task at a time, Spark hands idle workers out in turn


def compute(batches):
    import pyarrow as pa

    for _ in batches:
        pass
    claim_device(num_threads=1)
    # Stands in for a framework: from now on this process keeps its device. PyTorch is not among the requirements.
    sys.modules.setdefault("torch", types.ModuleType("torch"))
    time.sleep(0.5)  # long enough that the tasks of a job overlap
    row = {"given": ",".join(task_gpus()), "used": os.environ["CUDA_VISIBLE_DEVICES"]}
    yield pa.RecordBatch.from_pylist([row])


def run_tasks(resources):
    spark, tasks = resources.session, []
    for num_tasks in NUM_TASKS:
        with accelerator_workers(spark.sparkContext):
            frame = spark.range(num_tasks, numPartitions=num_tasks)
            frame = frame.mapInArrow(compute, "given string, used string", profile=resources.accelerator_profile)
        tasks += [row.asDict() for row in frame.collect()]
    spark.stop()
    return tasks


def main():
    os.environ["KERAS_BACKEND"] = "torch"
    tasks = run_tasks(SparkResources(SparkSettings(), num_shards=1, tell=sys.stdout.write))
    sys.stdout.write(f"tasks: {json.dumps(tasks)}\n")
    # Where a session looks for what spark-submit was given.
    SparkContext._jvm.java.lang.System.setProperty("spark.executor.resource.gpu.amount", "3")
    try:
        run_tasks(SparkResources(SparkSettings(), num_shards=1, tell=sys.stdout.write))
    except SessionError as error:
        sys.stdout.write(f"refused: {error}\n")


if __name__ == "__main__":
    main()
