"""What runs inside Spark's Python workers when inference is measured: the network, or a stand-in that costs nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from landmark_spark.core.backbone import NetworkPlan, build_network
from landmark_spark.core.images import decode_jpegs
from landmark_spark.core.jpeg_batches import JpegDecoder
from landmark_spark.core.model_runner import CompiledModel, ModelRunner, compile_model
from landmark_spark.gpu import claim_device, limit_native_threads
from landmark_spark.stages.extract_bottlenecks import BackboneTask, extract_rows

__all__ = ["FreeTask", "PlainModel", "StampedTask", "free_features", "read_stamps"]

_NUM_FREE = 8192  # values of VGG16's last feature map at 128 pixels: 4 x 4 x 512

Images = npt.NDArray[np.uint8]


def free_features(images: Images) -> npt.NDArray[np.uint8]:
    """Return (B, 8192) values of (B, H, W, 3) images without computing: pixels, repeated where there are too few."""
    pixels = images.reshape(len(images), -1)
    repeats = -(-_NUM_FREE // pixels.shape[1])
    return (pixels if repeats == 1 else np.tile(pixels, (1, repeats)))[:, :_NUM_FREE]


@dataclass(frozen=True)
class FreeTask:
    """The stage's task, with the stand-in in place of the network."""

    image_size: int
    batch_size: int

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Turn the rows of images into those of bottlenecks."""
        limit_native_threads()
        model = CompiledModel(
            lambda images: free_features(images).astype(np.float16), (_NUM_FREE,), "float16", fixed_size=False
        )
        runner = ModelRunner(model, batch_size=self.batch_size, tell=print)
        with JpegDecoder(self.image_size, num_threads=1) as decoder:
            yield from extract_rows(batches, decoder, runner, num_rows=self.batch_size)


@dataclass(frozen=True)
class StampedTask:
    """A task that notes when its first rows came in and when each of its rows went out."""

    task: BackboneTask | FreeTask
    folder: str

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Yield the task's own batches."""
        for made in self.task(self._noted(batches)):
            yield made
            _stamp(self.folder, time.time(), made.num_rows)

    def _noted(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for number, batch in enumerate(batches):
            if number == 0:
                _stamp(self.folder, time.time(), 0)
            yield batch


@dataclass(frozen=True)
class PlainModel:
    """The model as a user of ``predict_batch_udf`` or of a pandas UDF would call it: images in, float32 rows out.

    plan: None is the stand-in. Both calls note their time in ``folder``.
    """

    plan: NetworkPlan | None
    folder: str

    def predict(self) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
        """Return the function from (B,) JPEGs to (B, D) features that ``predict_batch_udf`` takes."""
        run = _load_plain(self.plan)

        def predict(jpegs: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
            started = time.time()
            features = run(decode_jpegs(list(jpegs)))
            _stamp(self.folder, started, 0)
            _stamp(self.folder, time.time(), len(jpegs))
            return features

        return predict

    def predict_pixels(self, images: Images) -> npt.NDArray[np.float32]:
        """Return (B, D) features of (B, H, W, 3) images."""
        started = time.time()
        features = _load_plain(self.plan)(images)
        _stamp(self.folder, started, 0)
        _stamp(self.folder, time.time(), len(images))
        return features


@lru_cache(maxsize=1)
def _load_plain(plan: NetworkPlan | None) -> Callable[[Images], npt.NDArray[np.float32]]:
    limit_native_threads()
    if plan is None:
        return lambda images: free_features(images).astype(np.float32)
    claim_device(num_threads=1)
    call = compile_model(build_network(plan)).call
    return lambda images: np.asarray(call(images)).reshape(len(images), -1)


def _stamp(folder: str, when: float, num_rows: int) -> None:
    with (Path(folder) / str(os.getpid())).open("a") as file:
        file.write(f"{when!r} {num_rows}\n")


def read_stamps(folder: Path) -> tuple[float, int]:
    """Return the seconds from the first stamp of all workers to the last, and the rows they made; forget them."""
    stamps = [line.split() for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]
    for path in folder.iterdir():
        path.unlink()
    times = [float(when) for when, _ in stamps]
    return (max(times) - min(times) if times else 0.0), sum(int(number) for _, number in stamps)
