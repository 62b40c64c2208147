"""A real cluster, the undisturbed run on it, and runs into which faults are planted."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from conftest import TINY
from standalone import ROOT, environment, start_submit

from landmark_spark.pipeline import STAGES
from landmark_spark.store import Store

__all__ = ["Cluster", "Run", "SHARDED", "WITHOUT_OVERRIDE", "end_of"]

INJECTED = Path(__file__).resolve().parent / "injected"
SHARDED = (
    "records",
    "landmarks",
    "images",
    "bottlenecks",
    "predictions",
    "global_descriptors",
    "candidates",
    "local_features",
    "verifications",
    "scores",
)
"""The tables that tasks write, in the order of the stages; rejects has no row here, and is written by the driver."""

WITHOUT_OVERRIDE = (sys.executable, str(Path(__file__).resolve().parent / "without_override.py"))
"""Stands before the commands of the cluster: as root too, its processes heed permissions."""


@dataclass(frozen=True)
class Cluster:
    """The master's URL, and a world that lies outside of every store, so that all stores have the same settings."""

    master: str
    world: Path

    def run(self, store):
        return Run(self, Path(store))


@dataclass(frozen=True)
class Run:
    """One command on one store of the cluster, given again and again."""

    cluster: Cluster
    store: Path

    @property
    def arguments(self):
        world = self.cluster.world
        names = ("train", "test", "non_landmark", "landmarks", "solution")
        inputs = [f"inputs.{name}_csv={world}/{name}.csv" for name in names]
        settings = [each for each in TINY if not each.startswith("toy.")]
        chosen = [f"store={self.store}", f"serve_folder={world}", *inputs, *settings]
        return [word for each in chosen for word in ("--set", each)]

    @property
    def notes(self):
        return self.store.parent / "notes"

    def noted(self):
        """Return the faults that were planted."""
        return {path.name for path in self.notes.iterdir()} if self.notes.is_dir() else set()

    def start(self, *words, plan=None, properties=()):
        """Start the job in a process group of its own, with a plan of faults or without."""
        added = {}
        given = {"spark.executor.memory": "1g"} | dict(properties)
        if plan is not None:
            self.notes.mkdir(exist_ok=True)
            text = json.dumps({"store": str(self.store), "notes": str(self.notes)} | plan)
            path = f"{INJECTED}{os.pathsep}{ROOT}"
            added = {"PYTHONPATH": path, "FAULTS": text}
            given |= {"spark.executorEnv.PYTHONPATH": path, "spark.executorEnv.FAULTS": text}
        process = start_submit(
            self.cluster.master, "pipeline.py", [*self.arguments, *words], given, added=added, prefix=WITHOUT_OVERRIDE
        )
        (self.store.parent / "driver").write_text(str(process.pid))
        return process

    def start_here(self, plan):
        """Start it as a person at this machine would, without the cluster."""
        text = json.dumps({"store": str(self.store), "notes": str(self.notes)} | plan)
        words = ["run", *self.arguments, "--set", "spark.master=local[2]"]
        return subprocess.Popen(
            [sys.executable, "-m", "landmark_spark", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment() | {"PYTHONPATH": f"{INJECTED}{os.pathsep}{ROOT}", "FAULTS": text},
            start_new_session=True,
        )

    def finish(self, *words, plan=None, properties=(), timeout=500):
        """Run the job to its end; return its exit status and what it printed."""
        process = self.start(*words, plan=plan, properties=properties)
        return end_of(process, timeout)

    def submission(self):
        return (self.store / "submission.csv").read_bytes()

    def files(self):
        """Return the files of every commit, by output and shard."""
        store = Store(str(self.store))
        outputs = [output for stage in STAGES for output in stage.outputs]
        return {(each.name, shard): commit.files for each in outputs for shard, commit in store.commits(each).items()}

    def digests(self):
        """Return the SHA-256 of those files, but for the report's, which shows how long the stages took."""
        own = {output.name for output in STAGES[-1].outputs}
        return {place: [file.sha256 for file in each] for place, each in self.files().items() if place[0] not in own}

    def assert_same_submission(self, undisturbed):
        """Fail with the first tables that differ, where the submission does: what follows from them says little."""
        if self.submission() == undisturbed.submission():
            return
        mine, other = self.digests(), undisturbed.digests()
        places = [place for place in mine.keys() | other.keys() if mine.get(place) != other.get(place)]
        order = [output.name for stage in STAGES for output in stage.outputs]
        differing = sorted(places, key=lambda place: (order.index(place[0]), place[1]))
        statuses, others = (run.statuses() for run in (self, undisturbed))
        changed = {name: (others.get(name), status) for name, status in statuses.items() if status != others.get(name)}
        raise AssertionError(f"other submission; tables that differ: {differing}; statuses of images: {changed}")

    def statuses(self):
        """Return the status of each image by its split and id."""
        files = [file for (output, _), each in self.files().items() if output == "images" for file in each]
        columns = ["split", "id", "status"]
        tables = [pq.read_table(self.store / file.path, columns=columns, use_threads=False) for file in files]
        return {(row["split"], row["id"]): row["status"] for table in tables for row in table.to_pylist()}

    def unfinished(self):
        """Return what no finished or interrupted run should leave."""
        patterns = ("**/_writing-*", "_locks/*", "_progress/**/*.json", "_marks/**/*.json", "_messages/**/*.json")
        return [str(path.relative_to(self.store)) for each in patterns for path in self.store.glob(each)]

    def copy_to(self, folder):
        """Return the same command on a copy of the store."""
        shutil.copytree(self.store, folder / "store")
        return Run(self.cluster, folder / "store")

    def forget(self, *outputs):
        """Let outputs be not made, as they were before."""
        for (output, _), files in self.files().items():
            for file in files if output in outputs else ():
                (self.store / file.path).unlink()
        for output in outputs:
            shutil.rmtree(self.store / "_commits" / output)


def end_of(process, timeout=500):
    try:
        printed, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        raise AssertionError(f"the run should have ended. Received: {printed}") from None
    return process.returncode, printed
