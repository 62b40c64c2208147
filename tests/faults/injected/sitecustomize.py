"""Plants a fault in the processes of a run: Python imports this at its start where the folder is on its path.

``FAULTS`` holds a JSON object: ``kind``, ``store`` (its path), ``notes`` (a folder: one file a fault that was planted,
so that each is planted once and the test can tell that it was), and what the kind needs. The product knows nothing of
it: its modules are patched as they are imported.

Steps of a commit: ``before the data``, written and not shown; ``after the data``, shown and in no commit; ``before the
marker``, the commit's own file written and not shown.
"""

import importlib.abc
import importlib.util
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

PLAN = json.loads(os.environ["FAULTS"])
NOTES = Path(PLAN["notes"])


# Where it is


def place_of(path):
    """Return the output and whether the file is a commit; None for what is neither data, checkpoint nor commit."""
    parts = path.removeprefix(PLAN["store"]).strip("/").split("/")
    if parts[0] == "_commits":
        return parts[1], True
    if parts[0] == "_checkpoints":
        return f"checkpoint of {parts[1]}", False
    if parts[0].startswith("_") or parts[0] == "toy_world":
        return None
    return parts[0].split(".")[0], False  # submission.csv is the output submission


def is_task():
    from pyspark import TaskContext

    return TaskContext.get() is not None


def command_of(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def executor_of(pid):
    while "CoarseGrainedExecutorBackend" not in command_of(pid):
        pid = parent_of(pid)
        if pid <= 1:
            raise RuntimeError("a task should have an executor")
    return pid


def first_time(*words):
    """Leave a note; tell whether nobody did before."""
    NOTES.mkdir(exist_ok=True)
    try:
        with (NOTES / ", ".join(words)).open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return False
    return True


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)


# What is done there


def die(_output, _path):
    """Kill what is to be killed, and this process with it: what it would have done next is never done."""
    kind = PLAN["kill"]
    if kind == "executor":
        os.kill(executor_of(os.getpid()), signal.SIGKILL)
    if kind == "node":
        executor = executor_of(os.getpid())
        os.kill(parent_of(executor), signal.SIGKILL)  # the worker, which would start another executor
        os.kill(executor, signal.SIGKILL)
    if kind == "driver":
        os.killpg(int((NOTES.parent / "driver").read_text()), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def hold_until_another_has_committed(output, path):
    """Let a second attempt of the same task overtake this one, then go on."""
    shard = next((part for part in path.split("/") if part.startswith("shard=")), "whole").removesuffix(".json")
    commit = Path(PLAN["store"]) / "_commits" / output / f"{shard}.json"
    wait_for(commit.exists)
    (NOTES / f"overtaken, {output}, {commit.exists()}").touch()


def hold_until_released(_output, _path):
    wait_for((NOTES / "go on").exists, 300)


ACTIONS = {"kill": die, "overtake": hold_until_another_has_committed, "hold": hold_until_released}


def patch_commits(module):
    place = module.WholeFile.place

    def place_with_faults(file, **options):
        found = place_of(file._path)
        if found is None:
            return place(file, **options)
        output, is_commit = found
        at(output, "before the marker" if is_commit else "before the data", file._path)
        done = place(file, **options)
        if not is_commit:
            at(output, "after the data", file._path)
        return done

    module.WholeFile.place = place_with_faults


def at(output, step, path):
    wanted = PLAN.get("at")
    if wanted is not None and [output, step] not in wanted:
        return
    if PLAN.get("tasks_only") and not is_task():
        return
    if first_time(output, step):
        ACTIONS[PLAN["kind"]](output, path)


def patch_memory(module):
    """Let a batch of more than so many images be too much for the accelerator, with the error that TensorFlow has."""
    init = module.CompiledModel.__init__

    def init_with_limit(model, call, *arguments, **options):
        def limited(batch):
            if len(batch) > PLAN["max_batch"]:
                first_time("out of memory", str(len(batch)))
                raise type("ResourceExhaustedError", (RuntimeError,), {})("OOM when allocating tensor")
            return call(batch)

        init(model, limited, *arguments, **options)

    module.CompiledModel.__init__ = init_with_limit


def patch_decoder(module):
    """Let one picture crash its decoder."""
    make = module.make_pictures

    def make_or_crash(body, *arguments, **options):
        if len(body) == PLAN["poison_bytes"]:
            first_time("crashed", str(os.getpid()))
            os.abort()
        return make(body, *arguments, **options)

    module.make_pictures = make_or_crash


def break_clock():
    """Let every look at the clock be hours off, forwards or backwards."""
    true_time, true_gmtime = time.time, time.gmtime

    def jump():
        return random.choice((-1, 1)) * 3600 * random.randint(1, 48)

    time.time = lambda: true_time() + jump()
    time.gmtime = lambda seconds=None: true_gmtime(true_time() + jump() if seconds is None else seconds)
    first_time("jumped", str(os.getpid()))


PATCHES = {
    "kill": {"landmark_spark.whole_files": patch_commits},
    "overtake": {"landmark_spark.whole_files": patch_commits},
    "hold": {"landmark_spark.whole_files": patch_commits},
    "memory": {"landmark_spark.core.model_runner": patch_memory},
    "poison": {"landmark_spark.core.pictures": patch_decoder},
    "clock": {},
}[PLAN["kind"]]


class Patcher(importlib.abc.MetaPathFinder):
    """Patches a module as soon as it has been imported; costs nothing until then."""

    def find_spec(self, name, path, target=None):
        if name not in PATCHES:
            return None
        patch = PATCHES.pop(name)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def execute_and_patch(module):
            execute(module)
            patch(module)

        spec.loader.exec_module = execute_and_patch
        return spec


if PLAN["kind"] == "clock":
    break_clock()
sys.meta_path.insert(0, Patcher())
