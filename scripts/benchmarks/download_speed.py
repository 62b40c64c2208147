"""Images a second of our download stage and of img2dataset, in turns, on the same URLs."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from scripts.benchmarks.download_setting import DownloadSetting
from scripts.benchmarks.img2dataset_side import Img2datasetRun
from scripts.benchmarks.our_download import OurRun
from scripts.benchmarks.pair_ratios import ratio_summary, take_turns
from scripts.benchmarks.report_lines import BenchmarkError
from scripts.benchmarks.url_lists import UrlRow, dead_urls, plain_urls, refusing_port

__all__ = ["measure_dead", "measure_speed"]


def measure_speed(setting: DownloadSetting) -> None:
    """Download pictures that are all there."""
    rows = plain_urls(setting.server.base_url, setting.num_images)
    _compare(setting, "speed", rows, {"ok": len(rows)})


def measure_dead(setting: DownloadSetting) -> None:
    """Download a list of which every fifth URL is dead: half of them give 404, half refuse the connection."""
    with refusing_port() as port:
        rows = dead_urls(setting.server.base_url, setting.num_images, port)
        num_refused = sum(f":{port}/" in row.url for row in rows)
        num_missing = sum("/missing/" in row.url for row in rows)
        expected = {
            "connection_failed": num_refused,
            "http_404": num_missing,
            "ok": len(rows) - num_refused - num_missing,
        }
        _compare(setting, "dead", rows, expected)


def _compare(setting: DownloadSetting, part: str, rows: Sequence[UrlRow], expected: dict[str, int]) -> None:
    benchmark = f"download.{part}"

    def ours(pair: int) -> OurRun:
        run = setting.run_ours(benchmark, rows, pair=pair)
        if run.statuses != expected:
            raise BenchmarkError(f"the statuses should be {expected}. Received: {run.statuses}")
        return run

    def theirs(pair: int) -> Img2datasetRun:
        run = setting.run_theirs(benchmark, rows, pair=pair)
        if run.num_ok != expected["ok"]:
            raise BenchmarkError(f"img2dataset should have {expected['ok']} images. Received: {run.num_ok}")
        return run

    if setting.theirs is None:
        alone = [ours(pair) for pair in range(setting.num_pairs)]
        setting.write(benchmark, "summary", **_rates(rows, alone, "landmark_spark"), expected_statuses=expected)
        return
    of_ours, of_theirs = take_turns(ours, theirs, setting.num_pairs)
    size = len(rows)
    setting.write(
        benchmark,
        "summary",
        **ratio_summary(
            "ratio_to_img2dataset",
            [size / run.seconds for run in of_ours],
            [size / run.seconds for run in of_theirs],
        ),
        **ratio_summary(
            "wall_ratio_to_img2dataset",
            [size / run.wall_seconds for run in of_ours],
            [size / run.wall_seconds for run in of_theirs],
        ),
        **_rates(rows, of_ours, "landmark_spark"),
        **_rates(rows, of_theirs, "img2dataset"),
        num_pairs=setting.num_pairs,
        expected_statuses=expected,
    )


def _rates(rows: Sequence[UrlRow], runs: Sequence[OurRun] | Sequence[Img2datasetRun], side: str) -> dict[str, float]:
    return {
        f"{side}_images_per_second": statistics.median(len(rows) / run.seconds for run in runs),
        f"{side}_wall_images_per_second": statistics.median(len(rows) / run.wall_seconds for run in runs),
    }
