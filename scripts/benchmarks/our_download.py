"""Runs our download stage on a list of URLs, in a Spark session that is open already, and times it."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from landmark_spark.config import load_config
from landmark_spark.planning import choose
from landmark_spark.runner import run
from landmark_spark.session import open_session
from landmark_spark.settings import Config, SparkSettings
from scripts.benchmarks.report_lines import BenchmarkError, say
from scripts.benchmarks.url_lists import NUM_SHARDS, UrlRow

__all__ = ["OurRun", "OurSide"]

MASTER = "local[2]"
_TEST_ID = "test"


@dataclass(frozen=True)
class OurRun:
    """One run: seconds of the stage, wall_seconds of the whole call of the runner, and the rows of each status.

    The one row of test.csv, which the configuration asks for, is downloaded within these seconds and not counted.
    """

    seconds: float
    wall_seconds: float
    statuses: dict[str, int]


class OurSide:
    """The session, and a folder for the stores. ``settings`` is what the lines say about this side."""

    def __init__(self, folder: Path, base_url: str) -> None:
        self._folder = folder
        self._base_url = base_url
        self._prepared: dict[tuple[UrlRow, ...], Path] = {}  # the list -> a store that has its records alone
        say("opening the Spark session")
        open_session(SparkSettings(master=MASTER), num_shards=NUM_SHARDS)

    def settings(self) -> dict[str, object]:
        """Return what the lines say of this side."""
        download = self._config(self._folder).download
        return {"spark_master": MASTER, "threads_a_task": download.num_threads, "max_attempts": download.max_attempts}

    def run(self, rows: Sequence[UrlRow], overrides: Sequence[str] = ()) -> OurRun:
        """Download a list of URLs into a store that has their records and nothing else."""
        listed = tuple(rows)
        if listed not in self._prepared:
            self._prepared[listed] = self._index(self._folder / f"records_{len(self._prepared)}", rows)
        store = self._folder / "store"
        shutil.rmtree(store, ignore_errors=True)
        shutil.copytree(self._prepared[listed], store)
        config = self._config(store, overrides)
        started = time.perf_counter()
        results = run(config, choose(only="download_images"), say)
        wall_seconds = time.perf_counter() - started
        return OurRun(results[0].seconds, wall_seconds, self._statuses(store, len(rows)))

    def _config(self, store: Path, overrides: Sequence[str] = ()) -> Config:
        wanted = [
            f"store={store}",
            f"base_url={self._base_url}",
            "download.allow_private_addresses=true",  # everything here is on loopback
            f"inputs.train_csv={self._folder / 'train.csv'}",
            f"inputs.test_csv={self._folder / 'test.csv'}",
            f"index.num_shards={NUM_SHARDS}",
            "download.image_size=128",
            "download.resize_mode=pad",
            "download.jpeg_quality=95",
            "download.references_per_landmark=1",  # the least that is allowed: one larger copy, of the one landmark
            "verify.max_comparisons=1",
            f"spark.master={MASTER}",
        ]
        return load_config(None, [*wanted, *overrides])

    def _index(self, store: Path, rows: Sequence[UrlRow]) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True)
        lines = [f"{row.id},{row.url},1\n" for row in rows]
        (self._folder / "train.csv").write_text("id,url,landmark_id\n" + "".join(lines))
        (self._folder / "test.csv").write_text(f"id,url\n{_TEST_ID},{self._base_url}0.jpg\n")
        run(self._config(store), choose(only="index_images"), say)
        return store

    def _statuses(self, store: Path, num_rows: int) -> dict[str, int]:
        """Count the statuses in the Parquet files, less the row of test.csv; check that every URL has its row."""
        counts: Counter[str] = Counter()
        for path in sorted(store.glob("images/**/*.parquet")):
            table = pq.read_table(path, columns=["id", "status"], partitioning=None).to_pydict()
            counts.update(status for key, status in zip(table["id"], table["status"], strict=True) if key != _TEST_ID)
        if counts.total() != num_rows:
            raise BenchmarkError(f"images should have {num_rows} rows. Received: {counts.total()}")
        return dict(sorted(counts.items()))
