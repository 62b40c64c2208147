"""The training benchmark: the feed against what the top model consumes, and an epoch at the challenge's classes."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from scripts.benchmarks.bottleneck_tables import write_bottlenecks
from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.pair_ratios import ratio_summary
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say
from scripts.benchmarks.train_run import TrainRun

__all__ = ["hours_of", "measure"]

_ROOT = Path(__file__).resolve().parents[2]
_NUM_THREADS = 2
_BATCH_SIZES = {44: 32, 15_000: 256}  # by number of classes: as conf/mini.yaml and conf/cluster.yaml have them
_NUM_CLASSES = 15_000
_FEED_ROWS, _MODEL_ROWS = 16_384, 6_144  # of one run of a pair: a second or two of each
_QUICK_CLASSES, _QUICK_ROWS = 8, 600
_FULL_ROWS, _FULL_EPOCHS, _HELD_OUT = 1_225_029, 10, 0.1  # the challenge's, and conf/cluster.yaml's


def measure(write: LineWriter, *, num_rows: int, num_pairs: int, quick: bool) -> None:
    """Run the pairs, then one epoch of num_rows; write a line for each. Raises BenchmarkError."""
    write_machine(write, "train")
    batch_sizes = {_QUICK_CLASSES: 32} if quick else _BATCH_SIZES
    feed_rows, model_rows = (_QUICK_ROWS, 64) if quick else (_FEED_ROWS, _MODEL_ROWS)
    num_classes = _QUICK_CLASSES if quick else _NUM_CLASSES
    ratios = {}
    for classes, batch_size in batch_sizes.items():
        run = TrainRun((), classes, batch_size, _NUM_THREADS, num_pairs, model_rows, "")
        rates = _run(run, num_rows=feed_rows)
        ratio = ratio_summary("ratio_feed_to_model", rates["feed"], rates["model"])
        settings = {"num_classes": classes, "batch_size": batch_size, "num_threads": _NUM_THREADS}
        write("train", "feed", **settings, feed_rows_per_second=rates["feed"], model_rows_per_second=rates["model"])
        write("train", "feed_ratio", **settings, **ratio)
        ratios[f"ratio_feed_to_model_{classes}_classes"] = ratio["ratio_feed_to_model"]
    run = TrainRun((), num_classes, batch_sizes[num_classes], _NUM_THREADS, 0, 0, "")
    epoch = _run(run, num_rows=num_rows)
    quarters = epoch["memory_quarter_peak_bytes"]
    growth = {"memory_last_to_second_quarter": quarters[3] / quarters[1]}
    write("train", "epoch", num_rows=num_rows, num_classes=num_classes, batch_size=run.batch_size, **epoch, **growth)
    hours = hours_of(epoch["rows_per_second"], epoch["validation_rows_per_second"])
    write(
        "train",
        "summary",
        **ratios,
        **growth,
        full_rows=_FULL_ROWS,
        full_epochs=_FULL_EPOCHS,
        full_hours=hours,
        full_assumes="these rates; a tenth held out and measured each epoch; then as many epochs on all rows",
    )


def hours_of(rate: float, validation_rate: float) -> float:
    """Return the hours of a training at full size from rows/s in training and in measuring, refit included."""
    held_out = _FULL_ROWS * _HELD_OUT
    seconds = (_FULL_ROWS - held_out) / rate + held_out / validation_rate + _FULL_ROWS / rate
    return _FULL_EPOCHS * seconds / 3600


def _run(run: TrainRun, *, num_rows: int) -> dict[str, Any]:
    """Write the tables, train in a process of its own, and return its answer."""
    folder = Path(tempfile.mkdtemp(prefix="bench-train-"))
    try:
        started = time.monotonic()
        say(f"train: writing {num_rows:,} rows, {num_rows * 16_384 / 1e9:.2f} GB before compression")
        num_files = max(1, num_rows // 4096)
        urls = write_bottlenecks(folder, num_rows=num_rows, num_classes=run.num_classes, num_files=num_files)
        say(f"train: written in {time.monotonic() - started:.0f} s; {run.num_classes} classes")
        answer = folder / "answer.json"
        run = dataclasses.replace(run, urls=tuple(urls), answer=str(answer))
        done = subprocess.run(
            [sys.executable, "-m", "scripts.benchmarks.train_run", json.dumps(dataclasses.asdict(run))],
            cwd=_ROOT,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            check=False,
        )
        if done.returncode or not answer.is_file():
            raise BenchmarkError("the training should run: see above")
        measured: dict[str, Any] = json.loads(answer.read_text())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return measured
