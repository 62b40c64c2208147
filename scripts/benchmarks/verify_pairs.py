"""The pairs of images that verification is measured on: official DELF features, and SIFT features of real photos."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from landmark_spark.core.delf_files import decode_delf
from landmark_spark.core.images import decode_image
from landmark_spark.core.local_features import LocalFeatures, load_extractor
from landmark_spark.core.records import hash_fraction
from landmark_spark.core.resizing import resize_to_fit

__all__ = ["Pair", "delf_pairs", "drawn_pairs", "photo_pairs"]

_LARGE_SIDE = 512
_MAX_KEYPOINTS = 1000


@dataclass(frozen=True)
class Pair:
    """Two images; same: whether they show one landmark, None where nobody knows."""

    query_id: str
    reference_id: str
    query: LocalFeatures
    reference: LocalFeatures
    same: bool | None = None


def delf_pairs(folder: Path) -> list[Pair]:
    """Return every ordered pair of the ``.delf`` files of a folder."""
    features = {path.stem: _read_delf(path) for path in sorted(folder.glob("*.delf"))}
    return [Pair(one, two, features[one], features[two]) for one, two in itertools.permutations(features, 2)]


def photo_pairs(folder: Path, *, max_pairs: int) -> list[Pair]:
    """Return pairs of the training photos: each with another of its landmark and with one of another, by hash.

    Features are SIFT, at most 1,000, of photos of at most 512 pixels, as the pipeline stores them.
    """
    with (folder / "train.csv").open() as file:
        rows = [(row["id"], folder / row["url"], row["landmark_id"]) for row in csv.DictReader(file)]
    rows.sort(key=lambda row: hash_fraction(row[0], seed=0, purpose="bench_verify"))
    load = lru_cache(maxsize=None)(_load_photo)
    pairs = []
    for (query, query_path, landmark), (reference, reference_path, other) in itertools.islice(
        _partners(rows), max_pairs
    ):
        pairs.append(Pair(query, reference, load(query_path), load(reference_path), landmark == other))
    return pairs


def _partners(rows: list[tuple[str, Path, str]]) -> Iterator[tuple[tuple[str, Path, str], tuple[str, Path, str]]]:
    for place, row in enumerate(rows):
        following = rows[place + 1 :] + rows[:place]
        same = next((each for each in following if each[2] == row[2]), None)
        if same is not None:
            yield row, same
        yield row, next(each for each in following if each[2] != row[2])


def _load_photo(path: Path) -> LocalFeatures:
    image = resize_to_fit(decode_image(path.read_bytes(), max_pixels=10**8), _LARGE_SIDE)
    return load_extractor("sift", max_keypoints=_MAX_KEYPOINTS)(image)


def _read_delf(path: Path) -> LocalFeatures:
    """Read a file of DELF's tool, which does not say how large the image was: it ends where its keypoints do."""
    found = decode_delf(path.read_bytes())
    width, height = (max(1, math.ceil(side)) for side in found.keypoints.max(axis=0).tolist())
    return LocalFeatures(found.keypoints, found.descriptors.astype(np.float16), width, height)


def drawn_pairs(num_pairs: int) -> list[Pair]:
    """Return pairs of drawn features: every other with 100 of 150 places in common, the rest with none."""
    pairs = []
    for number in range(num_pairs):
        draw = np.random.default_rng(number)
        points = draw.uniform(0, 480, (2, 150, 2))
        descriptors = draw.normal(size=(2, 150, 32))
        if number % 2 == 0:
            points[1, :100] = points[0, :100] @ np.array([[0.9, 0.1], [-0.1, 0.9]]) + 20
            descriptors[1, :100] = descriptors[0, :100]
        descriptors /= np.linalg.norm(descriptors, axis=2, keepdims=True)
        query, reference = (
            LocalFeatures(points[side].astype(np.float32), descriptors[side].astype(np.float16), 512, 512)
            for side in (0, 1)
        )
        pairs.append(Pair(f"q{number}", f"r{number}", query, reference, number % 2 == 0))
    return pairs
