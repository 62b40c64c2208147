"""The pairs of images that verification is measured on: official DELF features, and SIFT features of real photos."""

from __future__ import annotations

import csv
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from landmark_spark.core.images import decode_image
from landmark_spark.core.local_features import LocalFeatures, load_extractor
from landmark_spark.core.records import hash_fraction
from landmark_spark.core.resizing import resize_to_fit

__all__ = ["Pair", "delf_pairs", "drawn_pairs", "parse_delf", "photo_pairs"]

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
    features = {path.stem: parse_delf(path.read_bytes()) for path in sorted(folder.glob("*.delf"))}
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


def parse_delf(data: bytes) -> LocalFeatures:
    """Read a file of DELF's tool, a message DelfFeatures of Protocol Buffers; the image ends where its keypoints do.

    DelfFeatures: feature = 1. DelfFeature: descriptor = 1, x = 2, y = 3. DatumProto: float_list = 2, packed in 1.
    """
    keypoints, descriptors = [], []
    for _, feature in _fields(data):
        values = dict(_fields(feature))
        keypoints.append([struct.unpack("<f", values[each])[0] for each in (2, 3)])
        descriptors.append(np.frombuffer(dict(_fields(dict(_fields(values[1]))[2]))[1], "<f4"))
    points = np.array(keypoints, np.float32)
    width, height = (max(1, int(np.ceil(side))) for side in points.max(axis=0))
    return LocalFeatures(points, np.stack(descriptors).astype(np.float16), width, height)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (field number, content) of a message whose fields are lengths (wire type 2) and 32 bits (5), or varints."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            _, end = _varint(data, place)
        elif kind == 2:
            length, place = _varint(data, place)
            end = place + length
        else:
            end = place + {1: 8, 5: 4}[kind]
        yield tag >> 3, data[place:end]
        place = end


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[place] & 127) << shift
        shift += 7
        place += 1
        if data[place - 1] < 128:
            return value, place


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
