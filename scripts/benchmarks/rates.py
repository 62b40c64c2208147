"""Derives rates for estimates from the books and tables of finished stores, and puts them into the data file.

Of two runs, a small and a large one, on the same idle machine: what a stage takes with next to nothing to do, and what
it takes for each unit of its work. Of one alone: bytes a row, and shares.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from landmark_spark.config import load_config
from landmark_spark.core.precision import kind_of_cpu
from landmark_spark.core.stage_costs import GFLOP_PER_IMAGE
from landmark_spark.estimating import recipe_of
from landmark_spark.rates import RATES_FILE, Rate, load_rates
from landmark_spark.run_records import read_record
from landmark_spark.schemas import (
    BOTTLENECKS,
    CANDIDATES,
    GLOBAL_DESCRIPTORS,
    IMAGES,
    LOCAL_FEATURES,
    PREDICTIONS,
    RECORDS,
    SCORES,
    VERIFICATIONS,
    Table,
)
from landmark_spark.settings import Config
from landmark_spark.store import Store
from scripts.benchmarks.machine import cpu_model
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, rounded

__all__ = ["Finished", "fit", "measure", "read_finished"]

_BYTES = {
    "bytes_record": RECORDS,
    "bytes_bottleneck": BOTTLENECKS,
    "bytes_prediction": PREDICTIONS,
    "bytes_descriptor": GLOBAL_DESCRIPTORS,
    "bytes_candidate": CANDIDATES,
    "bytes_local_features": LOCAL_FEATURES,
    "bytes_verification": VERIFICATIONS,
    "bytes_score": SCORES,
}
_PER_SECOND = {
    "download_images": ("start_download_images", "download_bytes"),
    "extract_bottlenecks": ("start_network", f"network_{kind_of_cpu()}"),
    "extract_local_features": ("start_sift", "sift_images"),
    "verify_landmarks": ("start_verify_landmarks", "comparisons"),
}
"""Stages whose rate is units of work a second and core: the names of their start and of their rate."""


@dataclass(frozen=True)
class Finished:
    """A finished run: seconds and units of work by stage, bytes a row and shares by the name of the rate."""

    seconds: Mapping[str, float]
    work: Mapping[str, float]
    shares: Mapping[str, float]


def measure(write: LineWriter, *, configs: Sequence[Config], into_file: bool) -> None:
    """Write a line for each rate beside the one in the file. Raises BenchmarkError where a run has not finished."""
    runs = [read_finished(each) for each in configs]
    cores = len(os.sched_getaffinity(0))
    found = dict(runs[-1].shares)
    if len(runs) > 1:
        for stage, (start, rate) in _PER_SECOND.items():
            if stage == "extract_local_features" and any(each.local_features.kind != "sift" for each in configs):
                continue
            found |= fit(stage, runs, start=start, rate=rate, cores=cores)
    known = load_rates()
    for name, value in found.items():
        write("rates", "rate", name=name, value=value, unit=known[name].unit, in_file=known[name].value)
    if into_file:
        _replace(known, found, cores)


def read_finished(config: Config) -> Finished:
    """Read what a finished run took and made. Raises BenchmarkError for a stage that was not run, or failed."""
    store = Store(config.store)
    seconds = {}
    for stage in _PER_SECOND:
        record = read_record(store, stage)
        if record is None or record.error:
            raise BenchmarkError(f"{stage} should have been run to its end. Received: {store.url}")
        seconds[stage] = record.seconds
    checked = store.read_arrow(VERIFICATIONS, ["num_comparisons", "num_references"])
    comparisons = pc.sum(checked["num_comparisons"]).as_py()
    rows = {table.name: _rows_and_bytes(store, table)[0] for table in (*_BYTES.values(), IMAGES)}
    work = {
        "download_images": float(pc.sum(store.read_arrow(IMAGES, ["num_bytes"])["num_bytes"]).as_py()),
        "extract_bottlenecks": rows[BOTTLENECKS.name] * GFLOP_PER_IMAGE,
        "extract_local_features": float(rows[LOCAL_FEATURES.name]),
        "verify_landmarks": float(comparisons),
    }
    queries = len(set(store.read_arrow(CANDIDATES, ["id"])["id"].to_pylist()))
    recipe = recipe_of(config)
    voices = (3 if recipe.has_head else 2) * recipe.candidates
    shares = {
        "candidates_share": rows[CANDIDATES.name] / (queries * voices),
        "verified_share": rows[VERIFICATIONS.name] / rows[CANDIDATES.name],
        "compared_share": comparisons / pc.sum(checked["num_references"]).as_py(),
    }
    for name, table in _BYTES.items():
        count, size = _rows_and_bytes(store, table)
        shares[name] = size / count
    return Finished(seconds, work, shares)


def _rows_and_bytes(store: Store, table: Table) -> tuple[int, int]:
    commits = store.commits(table).values()
    rows = sum(each.num_rows for each in commits)
    if not rows:
        raise BenchmarkError(f"{table.name} should have rows. Received: none in {store.url}")
    return rows, sum(file.num_bytes for each in commits for file in each.files)


def fit(stage: str, runs: Sequence[Finished], *, start: str, rate: str, cores: int) -> dict[str, float]:
    """Return start (seconds) and rate (units a second and core) on the line through the first and the last run.

    Raises BenchmarkError where the larger run was not slower: then something else held the stage up.
    """
    small, large = sorted((runs[0], runs[-1]), key=lambda each: each.work[stage])
    more_work = large.work[stage] - small.work[stage]
    more_seconds = large.seconds[stage] - small.seconds[stage]
    if not (more_work > 0 and more_seconds > 0):
        raise BenchmarkError(f"{stage} should take longer in the larger run. Received: {more_seconds:.1f} s more")
    value = more_work / more_seconds / cores
    return {start: max(small.seconds[stage] - small.work[stage] / value / cores, 0.1), rate: value}


def _replace(known: dict[str, Rate], found: Mapping[str, float], cores: int) -> None:
    """Write the file again, with the rates found; what is not found stays."""
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    hardware = f"{cores} cores of {cpu_model()}"
    for name, value in found.items():
        known[name] = Rate(rounded(float(value)), known[name].unit, "measured", "scripts/bench rates", hardware, today)
    write_rates(known, RATES_FILE)


def write_rates(rates: Mapping[str, Rate], path: Path) -> None:
    """Write a data file that ``load_rates`` reads."""
    values: dict[str, dict[str, Any]] = {
        name: {key: value for key, value in asdict(each).items() if value != ""} for name, each in rates.items()
    }
    path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")


def configs_of(paths: Sequence[Path], stores: Sequence[str]) -> list[Config]:
    """Load the configurations, each with its store where stores are named."""
    if stores and len(stores) != len(paths):
        raise BenchmarkError(f"--store should be given as often as --config. Received: {len(stores)}, {len(paths)}")
    overrides = [[f"store={each}"] for each in stores] or [[] for _ in paths]
    return [load_config(path, given) for path, given in zip(paths, overrides, strict=True)]
