"""The verification benchmark: speed and verdicts against the reference, comparisons by order, skew on two workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

__all__ = ["PARTS", "default_store", "measure", "run_module"]

PARTS = ("speed", "agreement", "order", "skew")
_ROOT = Path(__file__).resolve().parents[2]
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def measure(
    parts: list[str], write: LineWriter, *, num_rounds: int, num_pairs: int, store: Path | None, quick: bool
) -> None:
    """Measure the parts, each in a process of its own; write their lines. Raises BenchmarkError."""
    write_machine(write, "verify")
    (_ROOT / ".bench").mkdir(exist_ok=True)
    size = ["--quick"] if quick else []
    for part in parts:
        if part == "skew":
            run_module(write, "scripts.benchmarks.verify_skew", size, {})
            continue
        options = ["--rounds", str(num_rounds), "--pairs", str(num_pairs), *size]
        options += ["--store", str(store)] if store else []
        run_module(write, "scripts.benchmarks.verify_alone", [part, *options], _ONE_THREAD)


def run_module(write: LineWriter, module: str, arguments: list[str], variables: dict[str, str]) -> None:
    """Run a module that prints a JSON object a line, and pass its lines on as they come.

    In a process of its own, because libraries read how many threads they may have as they are loaded.
    """
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, cwd=_ROOT, env=os.environ | variables, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            values: dict[str, Any] = json.loads(line)
            write(values.pop("benchmark"), values.pop("what"), **values)
    if process.returncode:
        raise BenchmarkError(f"{module} failed with exit code {process.returncode}")


def default_store() -> Path | None:
    """Return the store of conf/mini.yaml, where there is one."""
    store = _ROOT / "runs" / "mini"
    if not (store / "_commits" / "local_features").is_dir():
        say("no store with local features at runs/mini: mean comparisons are not measured")
        return None
    return store
