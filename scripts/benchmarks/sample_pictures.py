"""Makes the pictures that are downloaded: 1024x768 JPEGs of about 160 KB, as a web album's are; cached in a folder."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from scripts.benchmarks.report_lines import BenchmarkError, say

__all__ = ["NUM_PICTURES", "SIZE", "TARGET_BYTES", "encode_to_size", "make_pictures"]

SIZE = (1024, 768)
TARGET_BYTES = 160_000
TOLERANCE = 0.1  # of the target, either way
NUM_PICTURES = 48
_QUALITIES = range(30, 99)  # a JPEG grows with its quality


def make_pictures(folder: Path, photos: Path) -> tuple[list[bytes], str]:
    """Return the pictures and where they come from: the cached ones, else made of real photos, else drawn.

    Raises BenchmarkError where too few of them come near the size wanted.
    """
    source = "photos" if photos.is_dir() else "drawn textures"
    cached = folder / source.replace(" ", "_")
    if not cached.is_dir():
        say(f"making {NUM_PICTURES} pictures from {source}")
        unfinished = cached.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        images = _photos(photos) if photos.is_dir() else _textures()
        fitting = filter(None, map(encode_to_size, images))
        for number, data in zip(range(NUM_PICTURES), fitting, strict=False):
            (unfinished / f"{number:03d}.jpg").write_bytes(data)
        unfinished.rename(cached)  # an interrupted run must not look like a finished one
    pictures = [path.read_bytes() for path in sorted(cached.glob("*.jpg"))]
    if len(pictures) != NUM_PICTURES:
        raise BenchmarkError(f"{cached} should have {NUM_PICTURES} pictures: remove it. Received: {len(pictures)}")
    return pictures, source


def encode_to_size(image: Image.Image) -> bytes | None:
    """Return the picture as the JPEG that comes nearest to TARGET_BYTES; None where none is within the tolerance."""
    low, high = _QUALITIES.start, _QUALITIES.stop - 1
    found: list[bytes] = []
    while low <= high:
        quality = (low + high) // 2
        data = _encode(image, quality)
        found.append(data)
        if len(data) < TARGET_BYTES:
            low = quality + 1
        else:
            high = quality - 1
    nearest = min(found, key=lambda data: abs(len(data) - TARGET_BYTES))
    return nearest if abs(len(nearest) - TARGET_BYTES) <= TOLERANCE * TARGET_BYTES else None


def _encode(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _photos(folder: Path) -> Iterator[Image.Image]:
    """Yield real photos of 4:3, the largest first, enlarged or reduced to SIZE."""
    wanted = []
    for path in sorted(folder.glob("images/*.jpg")):
        with Image.open(path) as image:
            width, height = image.size
        if abs(width / height - SIZE[0] / SIZE[1]) < 0.01:
            wanted.append((-width, path))
    for _, path in sorted(wanted):
        with Image.open(path) as image:
            yield ImageOps.fit(image.convert("RGB"), SIZE, Image.Resampling.LANCZOS)


def _textures() -> Iterator[Image.Image]:
    """Yield pictures with detail at every scale, as photos have: noise in octaves, each half as strong as the last."""
    for seed in range(4 * NUM_PICTURES):
        random = np.random.default_rng(seed)
        total = np.full((SIZE[1], SIZE[0], 3), 128.0)
        for octave in range(8):
            small = random.normal(size=(3 * 2**octave, 4 * 2**octave, 3)) * 20 + 128
            layer = Image.fromarray(small.clip(0, 255).astype(np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
            total += (np.asarray(layer) - 128.0) * 3 * 0.7**octave
        yield Image.fromarray(total.clip(0, 255).astype(np.uint8))
