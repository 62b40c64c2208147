"""Runs the stages that only plan, shuffle and collect on a store of made-up tables, and notes their time and memory.

Arguments: the number of shards, the store, train.csv, test.csv, solution.csv, and the file for the answer: the rows of
the tables that were made up, and a list with an object for each step.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from landmark_spark.config import load_config
from landmark_spark.planning import Choice, choose
from landmark_spark.runner import plan, run
from landmark_spark.session import open_session
from landmark_spark.settings import Config
from scripts.benchmarks.process_memory import DriverMemory
from scripts.benchmarks.report_lines import say
from scripts.benchmarks.scale_tables import write_tables

__all__: list[str] = []

_MASTER = "local[2]"
_SETTINGS = ("local_features.kind=sift", "retrieval.head=none", "backbone.weights=random", f"spark.master={_MASTER}")
_REAL_STAGES = ("verify_landmarks", "fuse_evidence", "write_submission", "write_report")


def _measured(step: str, session: Any, work: Callable[[], int]) -> dict[str, Any]:
    """Return time and peaks of a step; ``work`` returns its rows."""
    started = time.monotonic()
    with DriverMemory(session) as memory:
        num_rows = work()
        seconds = time.monotonic() - started
    say(f"scale: {step}: {num_rows} rows in {seconds:.0f} s")
    peaks = {f"{role}_peak_bytes": peak for role, peak in memory.peaks.items()}
    return {"stage": step, "spark_master": _MASTER, "num_rows": num_rows, "seconds": seconds, **peaks}


def _stage(config: Config, name: str) -> int:
    return run(config, choose(only=name), say)[0].num_rows


def _plan(config: Config) -> int:
    """Plan the whole store; return how many of its stages are up to date."""
    return sum(not each.shards for each in plan(config, Choice()))


def _main(num_shards: str, store: str, train_csv: str, test_csv: str, solution_csv: str, answer: str) -> None:
    inputs = [f"inputs.train_csv={train_csv}", f"inputs.test_csv={test_csv}", f"inputs.solution_csv={solution_csv}"]
    config = load_config(None, [f"store={store}", *inputs, f"index.num_shards={num_shards}", *_SETTINGS])
    session = open_session(config.spark, num_shards=int(num_shards))
    steps = [_measured("index_images", session, lambda: _stage(config, "index_images"))]
    started = time.monotonic()
    written = write_tables(config)
    say(f"scale: {written} rows made up in {time.monotonic() - started:.0f} s")
    for name in _REAL_STAGES:
        steps.append(_measured(name, session, lambda name=name: _stage(config, name)))  # type: ignore[misc]
    steps.append(_measured("plan", session, lambda: _plan(config)))
    Path(answer).write_text(json.dumps({"made_up": written, "steps": steps}))


if __name__ == "__main__":
    _main(*sys.argv[1:])
