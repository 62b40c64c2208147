"""Runs index_images and download_images once, in a driver of its own, and notes their time and memory.

Arguments: the number of shards, the store, train.csv, test.csv, and the file for the answer: a list with an object for
each stage.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from landmark_spark.config import load_config
from landmark_spark.planning import choose
from landmark_spark.runner import run
from landmark_spark.session import open_session
from landmark_spark.settings import Config
from scripts.benchmarks.instant_worker import answer_without_network
from scripts.benchmarks.process_memory import DriverMemory
from scripts.benchmarks.report_lines import say

__all__: list[str] = []

_MASTER = "local[2]"
_STAGES = ("index_images", "download_images")


def _measure(config: Config, stage: str, session: Any) -> dict[str, Any]:
    with DriverMemory(session) as memory:
        result = run(config, choose(only=stage), say)[0]
    return {
        "stage": stage,
        "spark_master": _MASTER,
        "num_rows": result.num_rows,
        "seconds": result.seconds,
        "rows_per_second": result.num_rows / result.seconds,
        "jvm_live_heap_before_bytes": memory.live_heap_before,
        **{f"{role}_peak_bytes": peak for role, peak in memory.peaks.items()},
    }


def _main(num_shards: str, store: str, train_csv: str, test_csv: str, answer: str) -> None:
    inputs = [f"store={store}", f"inputs.train_csv={train_csv}", f"inputs.test_csv={test_csv}"]
    config = load_config(None, [*inputs, f"index.num_shards={num_shards}", f"spark.master={_MASTER}"])
    answer_without_network()
    session = open_session(config.spark, num_shards=int(num_shards))
    Path(answer).write_text(json.dumps([_measure(config, stage, session) for stage in _STAGES]))


if __name__ == "__main__":
    _main(*sys.argv[1:])
