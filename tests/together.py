"""Trains the top model on a cluster of two executors, a rank killed in the middle: ``python together.py FOLDER``.

Prints what came as JSON. The cluster is Spark's own, of processes of this machine that end with this one.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from standalone import SPARK, environment

from landmark_spark.barrier import RankError, run_together
from landmark_spark.commits import WHOLE, Commit, Stamp
from landmark_spark.core.checkpoints import Checkpoint
from landmark_spark.schemas import BOTTLENECKS, LANDMARKS
from landmark_spark.settings import Config, IndexSettings, TrainSettings
from landmark_spark.stages.context import Context
from landmark_spark.stages.train_top_model import train_top_model
from landmark_spark.store import Store

__all__ = ["MARK", "NUM_EPOCHS", "run_script"]

NUM_CLASSES, SIZE, NUM_EPOCHS = 3, 8, 60
MARK = 123.0  # put into the history of the checkpoint: only a training that goes on from there has it
SETTINGS = TrainSettings(
    hidden_units=16,
    epochs=NUM_EPOCHS,
    batch_size=16,
    learning_rate=0.01,
    checkpoint_steps=2,
    refit=False,
    num_threads=1,
)


def run_script(folder):
    """Run this file in a process of its own and return what it found."""
    (folder / "spark").mkdir()
    for each in SPARK.iterdir():  # Spark leaves the folders of executors in its home
        (folder / "spark" / each.name).symlink_to(each)
    added = {
        "SPARK_HOME": str(folder / "spark"),
        "PYTHONPATH": os.pathsep.join([environment()["PYTHONPATH"], *sys.path]),
    }
    command = [sys.executable, __file__, str(folder)]
    ended = subprocess.run(
        command, env=environment() | added, stdout=subprocess.PIPE, timeout=500, check=True, text=True
    )
    return json.loads(ended.stdout.splitlines()[-1])


def make_store(url):
    """Write 101 rows of three clusters, and the landmarks."""
    store, random = Store(url), np.random.default_rng(0)
    landmarks = [
        {"landmark_id": 70 + each, "class_index": each, "num_train_images": 33, "name": ""}
        for each in range(NUM_CLASSES)
    ]
    put(store, LANDMARKS, landmarks, WHOLE)
    for shard in range(2):
        put(store, BOTTLENECKS, [bottleneck(number, random) for number in range(shard, 101, 2)], shard)
    return store


def bottleneck(number, random):
    features = np.eye(NUM_CLASSES, SIZE)[number % NUM_CLASSES] + random.normal(0, 0.7, SIZE)
    return {
        "id": f"{number:016x}",
        "split": "train",
        "landmark_id": 70 + number % NUM_CLASSES,
        "class_index": number % NUM_CLASSES,
        "reference_rank": number // NUM_CLASSES,
        "holdout": number % 10 / 10,
        "features": features.astype("<f2").tobytes(),
    }


def put(store, table, rows, shard):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), sink, row_group_size=20)
    entry = store.write_bytes(f"{table.name}/{shard}.parquet", sink.getvalue().to_pybytes())
    store.commit(Commit(table.name, shard, len(rows), "d", (entry,), Stamp("test", "f")))


def train(store, spark, num_workers):
    """Return the history of a training by the stage."""
    config = Config(
        store=store.url, index=IndexSettings(num_shards=2), train=replace(SETTINGS, num_workers=num_workers)
    )
    context = Context(spark=spark, store=store, config=config, shards=(), tell=print)
    files = {each.path.rpartition("/")[2]: each.path for each in train_top_model(context, None, None)}
    return json.loads(store.read_bytes(files["history.json"]))


class Here:
    """A Spark of one task that runs in this process, as far as a training on one worker needs it."""

    def parallelize(self, items, _):
        self.items = items
        return self

    def map(self, function):
        return SimpleNamespace(collect=lambda: [function(each) for each in self.items])


def ranks_running():
    """Return the processes of ranks, below this one, by process id."""
    lines = subprocess.run(
        ["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    found = {int(line.split()[0]): (int(line.split()[1]), line) for line in lines[1:]}

    def is_below(pid):
        return pid == os.getpid() or (pid in found and is_below(found[pid][0]))

    return sorted(pid for pid, (_, line) in found.items() if "--multiprocessing-fork" in line and is_below(pid))


class Killer(threading.Thread):
    """Kills a rank once a checkpoint holds an epoch."""

    def __init__(self, store):
        super().__init__(daemon=True)
        self.store, self.checkpoint, self.when = store, None, None

    def run(self):
        while self.checkpoint is None or not self.checkpoint.epoch:
            time.sleep(0.01)
            for path in Path(self.store.path("")).glob("_checkpoints/*/*/measured.npz"):
                self.path, self.checkpoint = path, Checkpoint.from_bytes(path.read_bytes())
        os.kill(ranks_running()[-1], signal.SIGKILL)  # the latest: one of this training
        self.when = time.monotonic()

    def mark(self):
        """Write the mark into the checkpoint's history; return the number of its epochs."""
        checkpoint = Checkpoint.from_bytes(self.path.read_bytes())
        checkpoint.history["loss"][0] = MARK
        self.path.write_bytes(checkpoint.to_bytes())
        return checkpoint.epoch


def fail(file, rank, gpus):
    if rank.number == 1:
        file.write_text(str(time.time()))
        raise ValueError("features should be finite. Received: nan")
    time.sleep(600)


def why(call):
    try:
        return str(call())
    except RankError as error:
        return str(error)


def main():
    from pyspark.sql import SparkSession

    folder = Path(sys.argv[1])
    found = {"alone": train(make_store(str(folder / "alone")), SimpleNamespace(sparkContext=Here()), 1)}
    store = make_store(str(folder / "store"))
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.executorEnv.PYTHONPATH", os.environ["PYTHONPATH"]).getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    found["raised"] = why(lambda: run_together(spark.sparkContext, partial(fail, folder / "raised"), 2))
    found["seconds_after_raise"] = time.time() - float((folder / "raised").read_text())
    killer = Killer(store)
    killer.start()
    found["killed"] = why(lambda: train(store, spark, 2))
    found["seconds_after_kill"] = time.monotonic() - killer.when
    found["num_epochs_kept"] = killer.mark()
    found["again"] = train(store, spark, 2)
    end = time.monotonic() + 30
    while ranks_running() and time.monotonic() < end:
        time.sleep(0.1)
    found["num_left"] = len(ranks_running())
    spark.stop()
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
