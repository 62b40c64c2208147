"""Decodes batches of JPEGs in a pool of threads, each image into its place of one array."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np

from landmark_spark.core.images import ImageError, RgbImage, decode_jpeg

__all__ = ["DamagedImageError", "JpegDecoder"]


class DamagedImageError(ValueError):
    """A stored picture that is no JPEG of the size it should have; the message names it."""


class JpegDecoder:
    """A pool of threads that decodes JPEGs of one size; a context manager. side: of the square images, pixels."""

    def __init__(self, side: int, *, num_threads: int) -> None:
        self._side = side
        self._num_threads = num_threads

    def __enter__(self) -> JpegDecoder:
        self._pool = ThreadPoolExecutor(self._num_threads, thread_name_prefix="decode")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, jpegs: Sequence[bytes], names: Sequence[str]) -> Callable[[], RgbImage]:
        """Start decoding; what is returned waits for (B, side, side, 3) uint8 RGB.

        names: of the images, for the error: waiting raises DamagedImageError for a picture that does not decode to
        its size.
        """
        batch = np.empty((len(jpegs), self._side, self._side, 3), np.uint8)
        bounds = np.linspace(0, len(jpegs), min(self._num_threads, len(jpegs)) + 1).astype(int)
        parts = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
        running = [self._pool.submit(_decode_into, batch[part], jpegs[part], names[part]) for part in parts]

        def wait() -> RgbImage:
            for each in running:
                each.result()
            return batch

        return wait


def _decode_into(batch: RgbImage, jpegs: Sequence[bytes], names: Sequence[str]) -> None:
    for place, data, name in zip(batch, jpegs, names, strict=True):
        try:
            image = decode_jpeg(data)
        except ImageError as error:
            raise DamagedImageError(f"the stored picture {name} should be a JPEG. Received: {error}") from error
        if image.shape != place.shape:
            raise DamagedImageError(
                f"the stored picture {name} should be of shape {place.shape}. Received: {image.shape}"
            )
        place[:] = image
