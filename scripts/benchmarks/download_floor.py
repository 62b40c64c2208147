"""What one core can do at best with the same pictures: decoding in full, decoding scaled, and fetching alone."""

from __future__ import annotations

import io
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from PIL import Image

from landmark_spark.core.fetching import Fetched, FetchLimits, FetchPool
from scripts.benchmarks.download_setting import DownloadSetting
from scripts.benchmarks.pair_ratios import ratio_summary, take_turns
from scripts.benchmarks.report_lines import BenchmarkError, say
from scripts.benchmarks.sample_pictures import SIZE
from scripts.benchmarks.url_lists import plain_urls

__all__ = ["measure_floor"]

_SIDE = 128
_QUALITY = 95
_SCALED = (SIZE[0] // 4, SIZE[1] // 4)
_NAME = "download.floor"
_NUM_THREADS = 16
_MAX_FETCH_SECONDS = 600.0


def measure_floor(setting: DownloadSetting) -> None:
    """Measure in turns the two ways to decode, resize and encode on one core, then the fetch alone."""
    cv2.setNumThreads(1)
    passes = 1 if setting.quick else 10

    def rate_of(shrink: Callable[[bytes], bytes], what: str) -> Callable[[int], float]:
        def measure(pair: int) -> float:
            rate = _rate(shrink, setting.pictures, passes)
            size = passes * len(setting.pictures)
            setting.write(_NAME, "run", kind=what, pair=pair, images_per_second_a_core=rate, num_images=size)
            return rate

        return measure

    say(f"{_NAME}: decode, resize and encode on one core")
    scaled, full = take_turns(
        rate_of(shrink_scaled, "decode_at_a_quarter"), rate_of(shrink_full, "decode_in_full"), setting.num_pairs
    )
    setting.write(
        _NAME,
        "summary",
        decode_in_full_images_per_second_a_core=statistics.median(full),
        decode_at_a_quarter_images_per_second_a_core=statistics.median(scaled),
        **ratio_summary("ratio_of_quarter_to_full", scaled, full),
        out_pixels=_SIDE,
        jpeg_quality=_QUALITY,
    )
    _measure_fetch(setting)


def _measure_fetch(setting: DownloadSetting) -> None:
    """Fetch every URL in this process and throw the bodies away."""
    say(f"{_NAME}: fetch")
    limits = FetchLimits(allow_private_addresses=True, max_connections_per_host=_NUM_THREADS)
    all_done = threading.Event()
    statuses: list[str] = []

    def finish(_: int, fetched: Fetched) -> None:
        statuses.append(fetched.status)
        if len(statuses) >= setting.num_images:
            all_done.set()

    pool: FetchPool[int] = FetchPool(limits, num_threads=_NUM_THREADS, finish=finish)
    started, cpu_started, server_started = time.perf_counter(), time.process_time(), setting.server.cpu_seconds()
    for number, row in enumerate(plain_urls(setting.server.base_url, setting.num_images)):
        pool.submit(number, row.url)
    is_done = all_done.wait(_MAX_FETCH_SECONDS)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    pool.close()
    if not is_done or set(statuses) != {"ok"}:
        raise BenchmarkError(f"all {setting.num_images} URLs should be ok. Received: {Counter(statuses)}")
    setting.write(
        _NAME,
        "fetch",
        images_per_second=setting.num_images / seconds,
        images_per_cpu_second=setting.num_images / cpu_seconds,
        num_images=setting.num_images,
        num_threads=_NUM_THREADS,
        server_cpu_seconds=setting.server.cpu_seconds() - server_started,
    )


def shrink_full(data: bytes) -> bytes:
    """Decode every pixel, then resize by area to 128x128 and encode."""
    return _encoded(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")))


def shrink_scaled(data: bytes) -> bytes:
    """Decode at a quarter of the width and height, as the JPEG's own transform can, then resize and encode."""
    image = Image.open(io.BytesIO(data))
    image.draft("RGB", _SCALED)
    return _encoded(np.asarray(image.convert("RGB")))


def _encoded(pixels: np.ndarray) -> bytes:
    square = cv2.resize(pixels, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", square[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()


def _rate(shrink: Callable[[bytes], bytes], pictures: Sequence[bytes], passes: int) -> float:
    started = time.perf_counter()
    for _ in range(passes):
        for data in pictures:
            shrink(data)
    return passes * len(pictures) / (time.perf_counter() - started)
