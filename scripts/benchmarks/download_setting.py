"""What the parts of the download benchmark share: the server, both sides, and the numbers asked for."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.img2dataset_side import Img2datasetRun, Img2datasetSide
from scripts.benchmarks.our_download import OurRun, OurSide
from scripts.benchmarks.picture_server import PictureServer
from scripts.benchmarks.report_lines import LineWriter, say
from scripts.benchmarks.url_lists import UrlRow, plain_urls

__all__ = ["OURS", "THEIRS", "DownloadSetting"]

OURS = "landmark_spark"
THEIRS = "img2dataset"
_THREAD_COUNTS = (16, 32, 64)


@dataclass(frozen=True)
class DownloadSetting:
    """The pictures are served by ``server``; img2dataset_python is None where img2dataset is left out."""

    write: LineWriter
    folder: Path
    server: PictureServer
    pictures: Sequence[bytes]
    img2dataset_python: Path | None
    num_images: int
    num_pairs: int
    quick: bool

    @functools.cached_property
    def ours(self) -> OurSide:
        """Our side, with its session opened when it is first asked for."""
        return OurSide(self.folder / "ours", self.server.base_url)

    @functools.cached_property
    def theirs(self) -> Img2datasetSide | None:
        """img2dataset with the number of threads that was fastest in a short trial; a quick run tries none."""
        if self.img2dataset_python is None:
            return None
        side = Img2datasetSide(self.img2dataset_python, self.folder / "img2dataset")
        if self.quick:
            side.num_threads = _THREAD_COUNTS[1]
            return side
        rows = plain_urls(self.server.base_url, max(self.num_images // 2, 64))
        rates: dict[int, float] = {}
        for num_threads in _THREAD_COUNTS:
            say(f"{THEIRS}: trying {num_threads} threads")
            side.num_threads = num_threads
            rates[num_threads] = len(rows) / side.run(rows).seconds
        side.num_threads = max(rates, key=lambda count: rates[count])
        trials = [{"threads_a_process": count, "images_per_second": rate} for count, rate in rates.items()]
        chosen = {"threads_a_process": side.num_threads, "num_images": len(rows)}
        self.write("download", "img2dataset_threads", **chosen, trials=trials)
        return side

    def run_ours(self, benchmark: str, rows: Sequence[UrlRow], *overrides: str, **values: Any) -> OurRun:
        """Run our side on a list of URLs, with settings besides its usual ones; write the line, with ``values``."""
        say(f"{benchmark}: {OURS} {_listed(values)}")
        ours = self.ours
        run, cpu_seconds = self._with_server_time(lambda: ours.run(rows, overrides))
        self._write_run(benchmark, OURS, rows, run, cpu_seconds, values | ours.settings() | {"statuses": run.statuses})
        return run

    def run_theirs(
        self, benchmark: str, rows: Sequence[UrlRow], arguments: dict[str, Any] | None = None, **values: Any
    ) -> Img2datasetRun:
        """Run img2dataset on a list of URLs, with arguments besides its usual ones; write the line, with ``values``."""
        theirs = self.theirs
        assert theirs is not None
        say(f"{benchmark}: {THEIRS} {_listed(values)}")
        run, cpu_seconds = self._with_server_time(lambda: theirs.run(rows, **(arguments or {})))
        told = {"num_ok": run.num_ok, "num_failed": run.num_failed, "errors": run.errors}
        self._write_run(benchmark, THEIRS, rows, run, cpu_seconds, values | theirs.settings() | told)
        return run

    def _with_server_time(self, call: Callable[[], Any]) -> tuple[Any, float]:
        before = self.server.cpu_seconds()
        result = call()
        return result, self.server.cpu_seconds() - before

    def _write_run(
        self,
        benchmark: str,
        side: str,
        rows: Sequence[UrlRow],
        run: OurRun | Img2datasetRun,
        cpu_seconds: float,
        values: dict[str, Any],
    ) -> None:
        self.write(
            benchmark,
            "run",
            side=side,
            num_urls=len(rows),
            images_per_second=len(rows) / run.seconds,
            wall_images_per_second=len(rows) / run.wall_seconds,
            seconds=run.seconds,
            wall_seconds=run.wall_seconds,
            server_cpu_seconds=cpu_seconds,
            **values,
        )


def _listed(values: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items())
