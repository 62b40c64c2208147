"""What a few URLs that send a byte a second for ever cost a download: seconds with them and without."""

from __future__ import annotations

from scripts.benchmarks.download_setting import DownloadSetting
from scripts.benchmarks.report_lines import BenchmarkError
from scripts.benchmarks.url_lists import dripping_urls, plain_urls

__all__ = ["measure_drip"]

NUM_DRIPS = 5
_NAME = "download.drip"


def measure_drip(setting: DownloadSetting) -> None:
    """Measure each side without drips, with all of them in one shard, and with each in a shard of its own."""
    _measure_ours(setting)
    if setting.theirs is not None:
        _measure_theirs(setting)


def _placements(setting: DownloadSetting) -> tuple[str, ...]:
    return ("spread",) if setting.quick else ("one shard", "spread")


def _measure_ours(setting: DownloadSetting) -> None:
    deadline = 2.0 if setting.quick else 10.0
    override = f"download.deadline={deadline}"
    base_url, size = setting.server.base_url, setting.num_images
    values = {"deadline_seconds": deadline}
    without = setting.run_ours(_NAME, plain_urls(base_url, size), override, placement="none", **values)
    for placement in _placements(setting):
        rows = dripping_urls(base_url, size, num_drips=NUM_DRIPS, seconds=None, spread=placement == "spread")
        run = setting.run_ours(_NAME, rows, override, placement=placement, **values)
        if run.statuses != {"ok": size, "timeout": NUM_DRIPS}:
            raise BenchmarkError(f"{NUM_DRIPS} URLs should time out, the others be ok. Received: {run.statuses}")
        setting.write(
            _NAME,
            "summary",
            side="landmark_spark",
            placement=placement,
            num_drips=NUM_DRIPS,
            deadline_seconds=deadline,
            seconds_without=without.seconds,
            seconds_with=run.seconds,
            seconds_over_deadline=run.seconds - without.seconds - deadline,
        )


def _measure_theirs(setting: DownloadSetting) -> None:
    """The same for img2dataset; for its sake the drips end, since it would wait for ever."""
    drip_seconds = 2.0 if setting.quick else 60.0
    arguments = {"timeout": 5}
    base_url, size = setting.server.base_url, setting.num_images
    without = setting.run_theirs(_NAME, plain_urls(base_url, size), arguments, placement="none", timeout_seconds=5)
    for placement in _placements(setting):
        rows = dripping_urls(base_url, size, num_drips=NUM_DRIPS, seconds=drip_seconds, spread=placement == "spread")
        run = setting.run_theirs(_NAME, rows, arguments, placement=placement, timeout_seconds=5)
        setting.write(
            _NAME,
            "summary",
            side="img2dataset",
            placement=placement,
            num_drips=NUM_DRIPS,
            timeout_seconds=5,
            seconds_without=without.seconds,
            seconds_with=run.seconds,
            drip_seconds=drip_seconds,
            note=f"img2dataset has no deadline for a URL: the server ended each drip after {drip_seconds:g} s",
        )
