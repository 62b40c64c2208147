"""The inference benchmark: our extraction against Spark's own ways and against the bare network, in turns."""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from landmark_spark.core.backbone import NetworkPlan
from landmark_spark.core.images import decode_image, encode_jpeg
from landmark_spark.core.resizing import resize_image
from landmark_spark.core.weights import find_weights
from landmark_spark.session import open_session
from landmark_spark.settings import BackboneSettings, SparkSettings
from landmark_spark.stages.extract_bottlenecks import BackboneTask
from scripts.benchmarks.bare_loop import BareLoop
from scripts.benchmarks.inference_sides import (
    SparkRun,
    frame_of_ours,
    frame_of_predict_batch_udf,
    frame_of_two_udfs,
    read_images,
    run_frame,
    write_images,
)
from scripts.benchmarks.inference_tasks import FreeTask, PlainModel
from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.pair_ratios import ratio_summary
from scripts.benchmarks.report_lines import LineWriter, say
from scripts.benchmarks.sample_pictures import make_pictures

__all__ = ["measure", "take_rounds"]

_ROOT = Path(__file__).resolve().parents[2]
_CACHE = _ROOT / ".bench"
_PHOTOS = _ROOT.parent / "shared" / "data" / "landmark_mini"
_NUM_CORES = 2  # tasks at once, each with one thread of the network; the bare loop has as many threads
_BATCH_SIZE = 32
_FREE_BATCH_SIZE = 128
_NUM_FREE_WARM_UPS = 3  # until the JVM has compiled what it runs
_FREE_TIMES = 16  # as many images more in a run of the stand-in, which takes no time for them


def measure(write: LineWriter, *, num_images: int, num_pairs: int, quick: bool) -> None:
    """Run every side num_pairs times, and write a line for each run and the ratios. Raises BenchmarkError."""
    write_machine(write, "inference")
    _CACHE.mkdir(exist_ok=True)
    image_size = 32 if quick else 128
    pictures, _ = make_pictures(_CACHE / "pictures", _PHOTOS)
    jpegs = [_small(data, image_size) for data in pictures]
    spark = open_session(SparkSettings(master=f"local[{_NUM_CORES}]"), num_shards=_NUM_CORES)
    folder = Path(tempfile.mkdtemp(prefix="inference-", dir=_CACHE))
    try:
        setting = _Setting(write, folder, spark, jpegs, image_size, num_pairs)
        ratios = _measure_network(setting, num_images, None if quick else find_weights())
        ratios |= _measure_free(setting, num_images if quick else num_images * _FREE_TIMES)
        write("inference", "summary", **ratios)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def take_rounds(sides: Mapping[str, Callable[[], Any]], num_rounds: int) -> dict[str, list[Any]]:
    """Run every side once a round; who begins moves on from round to round."""
    names = list(sides)
    results: dict[str, list[Any]] = {name: [] for name in names}
    for number in range(num_rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            results[name].append(sides[name]())
    return results


@dataclasses.dataclass(frozen=True)
class _Setting:
    """What the parts share."""

    write: LineWriter
    folder: Path
    spark: Any
    jpegs: list[bytes]
    image_size: int
    num_pairs: int

    def images(self, name: str, num_images: int) -> Any:
        folder = self.folder / name
        folder.mkdir()
        return read_images(self.spark, write_images(folder, self.jpegs, num_images=num_images, num_files=_NUM_CORES))

    def stamps(self, name: str) -> Path:
        folder = self.folder / f"stamps-{name}"
        folder.mkdir()
        return folder


def _measure_network(setting: _Setting, num_images: int, weights: Path | None) -> dict[str, Any]:
    """Compare the sides with VGG16."""
    plan = NetworkPlan(weights=weights, image_size=setting.image_size)
    settings = BackboneSettings(weights=str(weights) if weights else "random", batch_size=_BATCH_SIZE)
    store, name = (str(weights.parent), weights.name) if weights else (str(setting.folder), "")
    task = BackboneTask(settings, setting.image_size, store, name)
    images = setting.images("network", num_images)
    ours, batches, lists = (setting.stamps(f"network-{name}") for name in ("ours", "batches", "lists"))
    with BareLoop(
        {"weights": str(weights) if weights else None, "image_size": setting.image_size},
        batch_size=_BATCH_SIZE,
        num_threads=_NUM_CORES,
    ) as bare:
        num_batches = -(-num_images // _BATCH_SIZE)
        frames = {
            "landmark_spark": (frame_of_ours(images, task, ours), ours),
            "predict_batch_udf": (
                frame_of_predict_batch_udf(images, PlainModel(plan, str(batches)), batch_size=_BATCH_SIZE),
                batches,
            ),
            "two_udfs": (
                frame_of_two_udfs(
                    images, PlainModel(plan, str(lists)), image_size=setting.image_size, batch_size=_BATCH_SIZE
                ),
                lists,
            ),
        }
        rates = _compare(
            setting,
            "inference.network",
            frames,
            num_images,
            {"bare_loop": lambda: num_batches * _BATCH_SIZE / bare.seconds(num_batches)},
            num_warm_ups=1,
        )
    mine = rates["landmark_spark"]
    return (
        ratio_summary("ratio_to_bare_loop", mine, rates["bare_loop"])
        | ratio_summary("ratio_to_predict_batch_udf", mine, rates["predict_batch_udf"])
        | ratio_summary("ratio_to_two_udfs", mine, rates["two_udfs"])
    )


def _measure_free(setting: _Setting, num_images: int) -> dict[str, Any]:
    """Compare the sides with a stand-in that costs nothing, as a fast GPU does: what is left is the way to it."""
    images = setting.images("free", num_images)
    ours, batches = setting.stamps("free-ours"), setting.stamps("free-batches")
    frames = {
        "landmark_spark": (frame_of_ours(images, FreeTask(setting.image_size, _FREE_BATCH_SIZE), ours), ours),
        "predict_batch_udf": (
            frame_of_predict_batch_udf(images, PlainModel(None, str(batches)), batch_size=_FREE_BATCH_SIZE),
            batches,
        ),
    }
    rates = _compare(
        setting,
        "inference.zero_cost",
        frames,
        num_images,
        {},
        num_warm_ups=1 if setting.num_pairs == 1 else _NUM_FREE_WARM_UPS,
    )
    return ratio_summary("ratio_to_predict_batch_udf_zero_cost", rates["landmark_spark"], rates["predict_batch_udf"])


def _compare(
    setting: _Setting,
    benchmark: str,
    frames: Mapping[str, tuple[Any, Path]],
    num_images: int,
    others: Mapping[str, Callable[[], float]],
    *,
    num_warm_ups: int,
) -> dict[str, list[float]]:
    """Warm every side up, then run them in turns; return their images a second."""

    def spark_side(name: str) -> Callable[[], float]:
        def run() -> float:
            found = run_frame(*frames[name], num_images)
            _write_run(setting.write, benchmark, name, found)
            return found.rate

        return run

    sides = {name: spark_side(name) for name in frames} | {
        name: _written(setting.write, benchmark, name, run) for name, run in others.items()
    }
    for name in frames:
        say(f"{benchmark}: warming up {name}")
        for _ in range(num_warm_ups):
            run_frame(*frames[name], num_images)
    return take_rounds(sides, setting.num_pairs)


def _write_run(write: LineWriter, benchmark: str, side: str, run: SparkRun) -> None:
    write(
        benchmark,
        "run",
        side=side,
        num_images=run.num_images,
        seconds=run.seconds,
        wall_seconds=run.wall_seconds,
        images_per_second=run.rate,
        wall_images_per_second=run.num_images / run.wall_seconds,
    )


def _written(write: LineWriter, benchmark: str, side: str, run: Callable[[], float]) -> Callable[[], float]:
    def measured() -> float:
        rate = run()
        write(benchmark, "run", side=side, images_per_second=rate)
        return rate

    return measured


def _small(data: bytes, side: int) -> bytes:
    """Return a picture as the download stage would store it."""
    image = decode_image(data, max_pixels=10**8)
    return encode_jpeg(resize_image(image, side, mode="stretch"), 95)
