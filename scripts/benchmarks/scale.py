"""The scale benchmark: the first two stages at a tenth of the challenge's size and at all of it, without a network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.benchmarks.challenge_csv import NUM_TEST, NUM_TRAIN, write_challenge
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

__all__ = ["measure", "memory_ratios"]

_ROOT = Path(__file__).resolve().parents[2]
_CACHE = _ROOT / ".bench"
_STEP = 10  # how many times larger the second size is
_QUICK_PART = 100  # a quick run has a hundredth of the rows
_NUM_SHARDS = 64  # about 20,000 rows each
_NUM_QUICK_SHARDS = 4


def measure(write: LineWriter, *, quick: bool) -> None:
    """Run both sizes, each in a driver of its own, and compare their peaks. Raises BenchmarkError."""
    part = _QUICK_PART if quick else 1
    num_shards = _NUM_QUICK_SHARDS if quick else _NUM_SHARDS
    full = (NUM_TRAIN // part, NUM_TEST // part)
    runs = [_run(size, num_shards, write) for size in ((full[0] // _STEP, full[1] // _STEP), full)]
    for small, large in zip(*runs, strict=True):
        write("scale", "summary", stage=large["stage"], num_rows=large["num_rows"], **memory_ratios(small, large))


def memory_ratios(small: dict[str, Any], large: dict[str, Any]) -> dict[str, float]:
    """Return how many times larger the second run's rows, seconds and peaks are: flat memory is a ratio near 1."""
    names = [name for name in large if name == "seconds" or name.endswith("_peak_bytes")]
    ratios = {f"{name.removesuffix('_bytes')}_ratio": large[name] / small[name] for name in names if small[name]}
    return {"num_rows_ratio": large["num_rows"] / small["num_rows"]} | ratios


def _run(size: tuple[int, int], num_shards: int, write: LineWriter) -> list[dict[str, Any]]:
    """Index and download rows of that many training and test images; write a line for each stage."""
    _CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=_CACHE))
    try:
        say(f"scale: writing csv files of {size[0]} and {size[1]} rows")
        csv_files = write_challenge(folder, num_train=size[0], num_test=size[1])
        answer = folder / "answer.json"
        command = [sys.executable, "-m", "scripts.benchmarks.scale_run", str(num_shards)]
        done = subprocess.run(
            [*command, str(folder / "store"), *map(str, csv_files), str(answer)],
            cwd=_ROOT,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},  # the tasks, too, import what answers in place of the network
            check=False,
        )
        if done.returncode or not answer.is_file():
            raise BenchmarkError("the stages should run: see above")
        stages: list[dict[str, Any]] = json.loads(answer.read_text())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for each in stages:
        if each["num_rows"] != sum(size):
            raise BenchmarkError(f"{each['stage']} should have {sum(size)} rows. Received: {each['num_rows']}")
        settings = {"num_train": size[0], "num_test": size[1], "num_shards": num_shards}
        write("scale", "run", **settings, **each)
    return stages
