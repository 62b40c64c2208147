"""The download benchmark: our first stage against img2dataset on this machine, over loopback, in the same run."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from scripts.benchmarks.download_drip import measure_drip
from scripts.benchmarks.download_floor import measure_floor
from scripts.benchmarks.download_setting import DownloadSetting
from scripts.benchmarks.download_speed import measure_dead, measure_speed
from scripts.benchmarks.img2dataset_side import VERSION, find_environment
from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.picture_server import serve_pictures
from scripts.benchmarks.report_lines import LineWriter
from scripts.benchmarks.sample_pictures import SIZE, make_pictures

__all__ = ["PARTS", "measure"]

PARTS = {"floor": measure_floor, "speed": measure_speed, "dead": measure_dead, "drip": measure_drip}
_ROOT = Path(__file__).resolve().parents[2]
_CACHE = _ROOT / ".bench"
_PHOTOS = _ROOT.parent / "shared" / "data" / "landmark_mini"


def measure(parts: Sequence[str], write: LineWriter, *, num_images: int, num_pairs: int, quick: bool) -> None:
    """Run the parts one after the other. Raises BenchmarkError where a side did not do the work asked for."""
    write_machine(write, "download")
    python = None
    if set(parts) != {"floor"}:
        python = find_environment(_CACHE / "img2dataset", may_make=not quick)
        if python is None:
            reason = f"no environment with img2dataset {VERSION}, and a quick run makes none"
            write("download", "img2dataset_left_out", reason=reason)
    pictures, source = make_pictures(_CACHE / "pictures", _PHOTOS)
    lengths = [len(data) for data in pictures]
    write(
        "download",
        "pictures",
        num_pictures=len(pictures),
        width_pixels=SIZE[0],
        height_pixels=SIZE[1],
        mean_bytes=statistics.mean(lengths),
        min_bytes=min(lengths),
        max_bytes=max(lengths),
        made_of=source,
    )
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=_CACHE))
    try:
        with serve_pictures(pictures, folder) as server:
            setting = DownloadSetting(write, folder, server, pictures, python, num_images, num_pairs, quick)
            for part in parts:
                PARTS[part](setting)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
