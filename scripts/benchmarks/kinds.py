"""The kinds benchmark: GAP of a configuration with each kind of local features, as a table made by one command.

One copy of the store serves all kinds: what does not depend on the kind is made once, or was made before.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from landmark_spark.config import load_config
from landmark_spark.settings import ConfigError
from landmark_spark.store_copies import copy_store
from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

__all__ = ["copied_store", "markdown_table", "measure"]

_ROOT = Path(__file__).resolve().parents[2]
_CACHE = _ROOT / ".bench"
_MODES = {"classifier": "classifier alone", "decision": "decision", "fused": "fused"}
_STAGES = ("extract_local_features", "verify_landmarks")

Run = Callable[[Sequence[str]], int]


def measure(
    write: LineWriter, *, config: Path, kinds: Sequence[str], overrides: Sequence[str], run: Run | None = None
) -> None:
    """Run the pipeline once for each kind in a copy of the store; write a line for each, and a table for people.

    A kind that cannot be run, as one whose weights are not there, is told and left out.

    Raises:
        BenchmarkError: no kind could be run, or there is no solution to measure by.
    """
    write_machine(write, "kinds")
    try:
        loaded = load_config(config, list(overrides))
    except ConfigError as error:
        raise BenchmarkError(str(error)) from error
    if "://" in loaded.store:
        raise BenchmarkError(f"store should be a folder, of which a copy is made. Received: {loaded.store}")
    rows: dict[str, dict[str, Any]] = {}
    with copied_store(Path(loaded.store)) as store:
        for kind in kinds:
            chosen = [*overrides, f"store={store}", f"local_features.kind={kind}"]
            command = ["run", "--config", str(config), *(word for each in chosen for word in ("--set", each))]
            say(f"kinds: {kind}")
            started = time.monotonic()
            if (run or _run)(command):
                write("kinds", "left_out", kind=kind, reason="the run failed: see above")
                continue
            rows[kind] = _read(store)
            write("kinds", "kind", kind=kind, run_seconds=time.monotonic() - started, **rows[kind])
    if not rows:
        raise BenchmarkError("one kind at least should be run")
    say("\n\n" + markdown_table(rows) + "\n")


@contextlib.contextmanager
def copied_store(store: Path) -> Iterator[Path]:
    """Give a copy of a store for as long as the block; empty where it is none."""
    _CACHE.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="kinds-", dir=_CACHE))
    try:
        copy_store(store, folder / "store")
        yield folder / "store"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def markdown_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return GAP (and the predictions that counted) of each kind and mode as a Markdown table."""
    modes = [mode for mode in _MODES if all(mode in each["modes"] for each in rows.values())]
    lines = [
        "| local features | " + " | ".join(f"GAP, {_MODES[mode]}" for mode in modes) + " | verified |",
        "|---" * (len(modes) + 2) + "|",
    ]
    for kind, each in rows.items():
        cells = [f"{each['modes'][mode]['gap']:.4f}" for mode in modes]
        lines.append(f"| `{kind}` | " + " | ".join(cells) + f" | {each['num_verified']} |")
    return "\n".join(lines)


def _run(arguments: Sequence[str]) -> int:
    command = [sys.executable, "-m", "landmark_spark", *arguments]
    return subprocess.run(command, cwd=_ROOT, env=os.environ | {"PYTHONPATH": str(_ROOT)}, check=False).returncode


def _read(store: Path) -> dict[str, Any]:
    metrics = json.loads((store / "metrics.json").read_text())
    if not metrics["modes"]:
        raise BenchmarkError("inputs.solution_csv should be given: without it there is no GAP")
    seconds = {}
    for stage in _STAGES:
        note = store / "_runs" / f"{stage}.json"
        if note.is_file():
            seconds[f"{stage}_seconds"] = float(json.loads(note.read_text())["seconds"])
    return {"modes": metrics["modes"], "num_verified": metrics["counts"]["verified"], **seconds}
