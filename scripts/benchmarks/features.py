"""The features benchmark: which kind of local features tells landmarks apart best, on real photos.

Pairs of photos of one landmark should be accepted; pairs of different landmarks, and pairs of a photo of no landmark
with one of a landmark, should not. All kinds see the same pairs, and the pipeline's own pictures, features and verdict.
"""

from __future__ import annotations

import collections
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from landmark_spark.core.calibration import false_pairs, rate_above, threshold_for, true_pairs
from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.local_features import Extractor, LocalFeatures, load_extractor
from landmark_spark.core.pictures import PicturePlan, make_pictures
from landmark_spark.core.records import Row, parse_rows
from landmark_spark.core.verification import VerificationSettings, match_pair
from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

__all__ = ["RATES", "Pairs", "Photos", "Variant", "accepted_at", "draw_pairs", "extractor_of", "measure", "read_photos"]

PHOTOS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "landmark_mini"
RATES = (0.01, 0.001)
_NO_LANDMARK = -1
_SEED = 0
_QUICK_PHOTOS = 24  # of landmarks; and as many of none


@dataclass(frozen=True)
class Variant:
    """One row of the comparison: how features are found and matched; the defaults are the pipeline's."""

    kind: str
    large_side: int = 512
    max_keypoints: int = 1000
    max_distance: float = 0.8


@dataclass(frozen=True)
class Photos:
    """Where each photo lies, by id, and which landmark it shows: -1 = none."""

    paths: Mapping[str, Path]
    landmarks: Mapping[str, int]


@dataclass(frozen=True)
class Pairs:
    """Pairs of ids. true: of one landmark; false: of different ones, and of none with one."""

    true: tuple[tuple[str, str], ...]
    false: tuple[tuple[str, str], ...]


def measure(
    write: LineWriter, *, kinds: Sequence[str], sizes: tuple[int, int], sweep: bool, quick: bool, folder: Path = PHOTOS
) -> None:
    """Write a line for each kind, and with ``sweep`` for each other setting of it. sizes: true and false pairs wanted.

    Raises BenchmarkError where the photos are not there or give too few pairs.
    """
    write_machine(write, "features")
    photos = read_photos(folder, quick=quick)
    pairs = draw_pairs(photos, num_true=sizes[0], num_false=sizes[1])
    write("features", "pairs", num_photos=len(photos.paths), num_true=len(pairs.true), num_false=len(pairs.false))
    first: dict[float, Any] = {}
    find = _Finder(photos, pairs)
    for kind in kinds:
        for variant in _variants(kind, sweep=sweep):
            true, false = _measure_variant(write, variant, find, pairs)
            if variant == Variant(kind):
                accepted = {rate: np.asarray(true) > (threshold_for(false, rate) or 0) for rate in RATES}
                for rate in RATES if first else ():
                    both = _overlap(accepted[rate], first[rate])
                    write("features", "difference", kind=kind, to=kinds[0], rate=rate, **both)
                first = first or accepted


def read_photos(folder: Path, *, quick: bool = False) -> Photos:
    """Read train.csv and non_landmark.csv of a folder in the challenge's form. Raises BenchmarkError."""
    paths: dict[str, Path] = {}
    landmarks: dict[str, int] = {}
    for name, with_landmark in (("train.csv", True), ("non_landmark.csv", False)):
        if not (folder / name).is_file():
            raise BenchmarkError(f"the real photos should be in {folder}, with train.csv and non_landmark.csv")
        with (folder / name).open("rb") as file:
            found = parse_rows(file, with_landmark=with_landmark, allow_relative=True)
            rows = [each for each in found if isinstance(each, Row)]
        for row in rows[:_QUICK_PHOTOS] if quick else rows:
            paths[row.id] = folder / row.url
            landmarks[row.id] = _NO_LANDMARK if row.landmark_id is None else row.landmark_id
    return Photos(paths, landmarks)


def draw_pairs(photos: Photos, *, num_true: int, num_false: int) -> Pairs:
    """Draw pairs by hash; of the false ones one half has a photo of another landmark, one a photo of none."""
    shown = {name: landmark for name, landmark in photos.landmarks.items() if landmark != _NO_LANDMARK}
    empty = {name: _NO_LANDMARK for name in photos.landmarks if name not in shown}
    groups: dict[int, list[str]] = {}
    for name in sorted(shown):
        groups.setdefault(shown[name], []).append(name)
    true = true_pairs(groups, num_true, seed=_SEED)
    others = false_pairs(shown, shown, num_false - num_false // 2, seed=_SEED)
    others += false_pairs(empty, shown, num_false // 2, seed=_SEED) if empty else []
    if not true or not others:
        raise BenchmarkError("the photos should show two landmarks, and one of them twice")
    return Pairs(tuple(true), tuple(others))


def extractor_of(variant: Variant) -> Extractor:
    """Return the function that finds the features in an image, (H, W, 3) uint8 RGB; no other place knows how."""
    return load_extractor(variant.kind, max_keypoints=variant.max_keypoints)


def accepted_at(true: Sequence[int], false: Sequence[int], rate: float) -> dict[str, Any]:
    """Return the largest share of true pairs that is accepted while at most ``rate`` of the false ones are.

    The threshold is a whole number of inliers: the false-accept rate that it has, below the one asked for, is told.
    """
    threshold = threshold_for(false, rate)
    if threshold is None:  # no share is below that of the largest threshold, which is none
        raise BenchmarkError(f"rate should be above 0. Received: {rate}")
    of_true, of_false = rate_above(true, threshold), rate_above(false, threshold)
    return {
        "rate": rate,
        "min_inliers": threshold,
        "share": of_true.share,
        "low": of_true.low,
        "high": of_true.high,
        "false_accept_rate": of_false.share,
        "false_low": of_false.low,
        "false_high": of_false.high,
    }


def _variants(kind: str, *, sweep: bool) -> list[Variant]:
    others = [
        Variant(kind, max_distance=0.4),  # 0.8 leaves out no mutual match of RootSIFT, 0.5 a third
        Variant(kind, max_distance=0.5),
        Variant(kind, max_keypoints=500),
        Variant(kind, large_side=640),
    ]
    return [Variant(kind), *(others if sweep else [])]


class _Finder:
    """Finds the features of all photos of the pairs; keeps them for the next variant that has the same."""

    def __init__(self, photos: Photos, pairs: Pairs) -> None:
        self._paths = photos.paths
        self._used = sorted({name for pair in (*pairs.true, *pairs.false) for name in pair})
        self._found: dict[Variant, tuple[dict[str, LocalFeatures], float]] = {}

    def __call__(self, variant: Variant) -> tuple[dict[str, LocalFeatures], float]:
        """Return the features by id, and the milliseconds that a photo took, its decoding and resizing included."""
        key = replace(variant, max_distance=0.0)
        if key not in self._found:
            self._found.clear()
            extract = extractor_of(variant)
            started = time.perf_counter()
            features = {name: extract(_picture(self._paths[name], variant.large_side)) for name in self._used}
            self._found[key] = features, 1000 * (time.perf_counter() - started) / len(self._used)
        return self._found[key]


def _measure_variant(write: LineWriter, variant: Variant, find: _Finder, pairs: Pairs) -> tuple[list[int], list[int]]:
    say(f"features: {variant}")
    features, extract_ms = find(variant)
    started = time.perf_counter()
    settings = VerificationSettings(max_distance=variant.max_distance)
    true, false = (_count(features, each, settings) for each in (pairs.true, pairs.false))
    matched = time.perf_counter()
    write(
        "features",
        "kind",
        **asdict(variant),
        num_true=len(true),
        num_false=len(false),
        at=[accepted_at(true, false, rate) for rate in RATES],
        median_inliers_true=statistics.median(true),
        median_inliers_false=statistics.median(false),
        accepted_at_35=rate_above(true, 35).share,
        falsely_accepted_at_35=rate_above(false, 35).share,
        mean_keypoints=statistics.fmean(len(each.keypoints) for each in features.values()),
        extract_ms=extract_ms,
        compare_ms=1000 * (matched - started) / (len(true) + len(false)),
    )
    return true, false


def _picture(path: Path, large_side: int) -> Any:
    plan = PicturePlan(128, "stretch", 95, large_side, 90, 100_000_000)
    large = make_pictures(path.read_bytes(), plan, with_large=True).large_image
    return decode_jpeg(large or b"")


def _count(
    features: Mapping[str, LocalFeatures], pairs: Sequence[tuple[str, str]], settings: VerificationSettings
) -> list[int]:
    compare = partial(match_pair, settings=settings)
    return [int(np.count_nonzero(compare(features[one], features[other])[2])) for one, other in pairs]


def _overlap(ours: Any, theirs: Any) -> dict[str, int]:
    """Count the true pairs by who accepts them: what two kinds on the same pairs should be compared by."""
    counts = collections.Counter(zip(ours.tolist(), theirs.tolist(), strict=True))
    return {
        "both": counts[True, True],
        "only_this": counts[True, False],
        "only_the_other": counts[False, True],
        "neither": counts[False, False],
    }
