"""The scale benchmark: stages at the challenge's size, without a network and without networks.

first: index_images and download_images at a tenth of the size and at all of it. whole: the stages that plan, shuffle
and collect, on tables of which those that accelerators would make are made up, with small values.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from landmark_spark.pipeline import STAGES
from scripts.benchmarks.challenge_csv import NUM_TEST, NUM_TRAIN, write_challenge, write_solution
from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

__all__ = ["PARTS", "measure", "memory_ratios"]

PARTS = ("first", "whole")
"""Of the benchmark: the first two stages at two sizes; the whole store at one."""

_ROOT = Path(__file__).resolve().parents[2]
_CACHE = _ROOT / ".bench"
_STEP = 10  # how many times larger the second size is
_QUICK_PART = 100  # a quick run has a hundredth of the rows
_NUM_SHARDS = 64  # about 20,000 rows each
_NUM_QUICK_SHARDS = 4
_NUM_WHOLE_SHARDS = 1024  # as conf/cluster.yaml has them; --shards takes another number


def measure(write: LineWriter, *, quick: bool, parts: Sequence[str] = PARTS, num_shards: int | None = None) -> None:
    """Run both sizes of the first stages, each in a driver of its own, then the whole store. Raises BenchmarkError."""
    part = _QUICK_PART if quick else 1
    full = (NUM_TRAIN // part, NUM_TEST // part)
    if "first" in parts:
        _measure_first(full, _NUM_QUICK_SHARDS if quick else _NUM_SHARDS, write)
    if "whole" in parts:
        _run_whole(full, num_shards or (_NUM_QUICK_SHARDS if quick else _NUM_WHOLE_SHARDS), write)


def _measure_first(full: tuple[int, int], num_shards: int, write: LineWriter) -> None:
    """Run both sizes and compare their peaks."""
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
    stages: list[dict[str, Any]] = _in_a_driver("scale_run", size, num_shards, with_solution=False)
    for each in stages:
        if each["num_rows"] != sum(size):
            raise BenchmarkError(f"{each['stage']} should have {sum(size)} rows. Received: {each['num_rows']}")
        write("scale", "run", **_sizes(size, num_shards), **each)
    return stages


def _run_whole(size: tuple[int, int], num_shards: int, write: LineWriter) -> list[dict[str, Any]]:
    """Plan, verify, fuse, submit and report with that many images; write a line for what was made up, and each step."""
    write_machine(write, "scale")
    answer = _in_a_driver("scale_whole_run", size, num_shards, with_solution=True)
    steps: list[dict[str, Any]] = answer["steps"]
    found = {each["stage"]: each["num_rows"] for each in steps}
    for what, wanted in {"index_images": sum(size), "plan": len(STAGES)}.items():
        if found[what] != wanted:
            raise BenchmarkError(f"{what} should have {wanted} rows or stages up to date. Received: {found[what]}")
    write("scale", "made_up", **_sizes(size, num_shards), **answer["made_up"])
    for each in steps:
        write("scale", "whole", **_sizes(size, num_shards), **each)
    return steps


def _sizes(size: tuple[int, int], num_shards: int) -> dict[str, int]:
    return {"num_train": size[0], "num_test": size[1], "num_shards": num_shards}


def _in_a_driver(module: str, size: tuple[int, int], num_shards: int, *, with_solution: bool) -> Any:
    """Return the answer of a module of this package, run in a process of its own on csv files of this size."""
    _CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="scale-", dir=_CACHE))
    try:
        say(f"scale: writing csv files of {size[0]} and {size[1]} rows")
        csv_files = list(write_challenge(folder, num_train=size[0], num_test=size[1]))
        if with_solution:
            csv_files.append(write_solution(folder, num_test=size[1]))
        answer = folder / "answer.json"
        command = [sys.executable, "-m", f"scripts.benchmarks.{module}", str(num_shards)]
        done = subprocess.run(
            [*command, str(folder / "store"), *map(str, csv_files), str(answer)],
            cwd=_ROOT,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},  # the tasks, too, import what answers in place of the network
            check=False,
        )
        if done.returncode or not answer.is_file():
            raise BenchmarkError("the stages should run: see above")
        return json.loads(answer.read_text())
    finally:
        shutil.rmtree(folder, ignore_errors=True)
