"""Measures how evenly verification is spread over tasks: a standalone cluster of two workers, landmarks by Zipf's law.

Run by itself, in a process of its own; ``--quick`` for a small test set. Prints JSON lines as the benchmarks do.
"""

from __future__ import annotations

import importlib
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scripts.benchmarks.challenge_csv import NUM_LANDMARKS, NUM_TEST
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

__all__ = ["main", "summary_of"]

_ROOT = Path(__file__).resolve().parents[2]
_CACHE = _ROOT / ".bench"
_QUICK = (600, 200)  # test images, landmarks
_NUM_WORKERS = 2


def main(arguments: Sequence[str]) -> None:
    """Start the cluster, submit the run, write a line for each task and the summary."""
    num_queries, num_landmarks = _QUICK if "--quick" in arguments else (NUM_TEST, NUM_LANDMARKS)
    sys.path.insert(0, str(_ROOT / "tests"))  # the cluster is that of the tests
    standalone = importlib.import_module("standalone")
    _CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="verify-skew-", dir=_CACHE))
    try:
        with LineWriter() as write, standalone.standalone_cluster(folder, num_workers=_NUM_WORKERS) as master:
            say(f"verifying {num_queries} made-up images on {master}")
            job = Path(__file__).with_name("verify_skew_run.py")
            standalone.spark_submit(master, job, [folder, str(num_queries), str(num_landmarks)], timeout=3600)
            answer = json.loads((folder / "answer.json").read_text())
            notes = [json.loads(path.read_text()) for path in sorted((folder / "notes").glob("*.json"))]
            if answer["num_rows"] != num_queries:
                raise BenchmarkError(f"{num_queries} images should be verified. Received: {answer['num_rows']}")
            for note in sorted(notes, key=lambda note: note["partition"]):
                write("verify.skew", "task", **note)
            write("verify.skew", "summary", num_workers=_NUM_WORKERS, **answer, **summary_of(notes))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def summary_of(notes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the slowest task over the median one, by seconds, by processor time and by comparisons; and the peak."""

    def ratio(name: str) -> float:
        values = [note[name] for note in notes]
        return max(values) / statistics.median(values)

    return {
        "num_tasks": len(notes),
        "skew_ratio": ratio("seconds"),
        "skew_ratio_processor": ratio("processor_seconds"),
        "skew_ratio_comparisons": ratio("num_comparisons"),
        "peak_task_bytes": max(note["peak_bytes"] for note in notes),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
