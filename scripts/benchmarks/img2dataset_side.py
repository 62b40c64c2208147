"""Runs img2dataset, from an environment of its own, on a list of URLs, and reads the times it notes itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.benchmarks.report_lines import BenchmarkError, say
from scripts.benchmarks.url_lists import NUM_SHARDS, UrlRow

__all__ = ["VERSION", "Img2datasetRun", "Img2datasetSide", "find_environment", "span_of"]

VERSION = "1.47.0"
NUM_PROCESSES = 2
_CALL = Path(__file__).with_name("img2dataset_call.py")


@dataclass(frozen=True)
class Img2datasetRun:
    """One run: how long it took, and how many URLs gave an image.

    seconds: from the first shard's start to the last one's end, so that what comes before and after, such as the start
    of its processes, costs it nothing. wall_seconds: of the whole call.
    """

    seconds: float
    wall_seconds: float
    num_ok: int
    num_failed: int
    errors: dict[str, int]


def find_environment(folder: Path, *, may_make: bool) -> Path | None:
    """Return the Python of the environment with img2dataset; make it where there is none; None where it may not be.

    $IMG2DATASET_PYTHON names another one. Raises BenchmarkError where it cannot be made.
    """
    given = os.environ.get("IMG2DATASET_PYTHON")
    python = Path(given) if given else folder / "bin" / "python"
    done = folder / f"installed-{VERSION}"  # written last: an interrupted install must not look like a whole one
    if given or done.is_file():
        return python
    if not may_make:
        return None
    say(f"installing img2dataset {VERSION} into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"img2dataset=={VERSION}"]
    for command in ([sys.executable, "-m", "venv", str(folder)], pip):
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise BenchmarkError(f"img2dataset {VERSION} should be installable into {folder}")
    done.touch()
    return python


class Img2datasetSide:
    """img2dataset with as many threads as suit it best."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python = python
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self.num_threads = 16

    def settings(self) -> dict[str, object]:
        """Return what the lines say of this side."""
        return {"img2dataset_version": VERSION, "processes": NUM_PROCESSES, "threads_a_process": self.num_threads}

    def run(self, rows: Sequence[UrlRow], **more: Any) -> Img2datasetRun:
        """Download a list of URLs into an empty folder; ``more`` are further arguments of img2dataset."""
        output = self._folder / "output"
        shutil.rmtree(output, ignore_errors=True)
        urls, answer = self._folder / "urls.csv", self._folder / "answer.json"
        urls.write_text("url\n" + "".join(f"{row.url}\n" for row in rows))
        answer.unlink(missing_ok=True)
        arguments = self._arguments(urls, output, len(rows)) | more
        log = self._folder / "log.txt"
        with log.open("w") as file:
            done = subprocess.run(
                [str(self._python), "-P", str(_CALL), json.dumps(arguments), str(answer)],
                # Without the first it would ask for albumentations' newest version; the second takes what it leaves.
                env=os.environ | {"NO_ALBUMENTATIONS_UPDATE": "1", "TMPDIR": str(self._folder)},
                stdout=file,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if done.returncode or not answer.is_file():
            raise BenchmarkError(f"img2dataset should run: see {log}")
        stats = [json.loads(path.read_text()) for path in sorted(output.glob("*_stats.json"))]
        return _summed(stats, float(json.loads(answer.read_text())["wall_seconds"]), len(rows))

    def _arguments(self, urls: Path, output: Path, num_rows: int) -> dict[str, Any]:
        return {
            "url_list": str(urls),
            "input_format": "csv",
            "url_col": "url",
            "output_folder": str(output),
            "output_format": "parquet",
            "processes_count": NUM_PROCESSES,
            "thread_count": self.num_threads,
            "number_sample_per_shard": -(-num_rows // NUM_SHARDS),
            "image_size": 128,
            "resize_mode": "border",
            "encode_quality": 95,
            "extract_exif": False,
            "compute_hash": "sha256",
            "enable_wandb": False,
        }


def span_of(stats: Sequence[dict[str, Any]]) -> float:
    """Return the seconds from the earliest start of a shard to the latest end of one."""
    return float(max(each["end_time"] for each in stats) - min(each["start_time"] for each in stats))


def _summed(stats: Sequence[dict[str, Any]], wall_seconds: float, num_rows: int) -> Img2datasetRun:
    num_ok = sum(each["successes"] for each in stats)
    num_failed = sum(each["failed_to_download"] + each["failed_to_resize"] for each in stats)
    if num_ok + num_failed != num_rows:
        raise BenchmarkError(f"img2dataset should tell of {num_rows} URLs. Received: {num_ok} and {num_failed} failed")
    errors: dict[str, int] = {}
    for each in stats:
        for message, count in each["status_dict"].items():
            if message != "success":
                errors[message] = errors.get(message, 0) + count
    return Img2datasetRun(span_of(stats), wall_seconds, num_ok, num_failed, errors)
