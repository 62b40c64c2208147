"""The features benchmark: which kind of local features tells landmarks apart best, on real photos.

Pairs of photos of one landmark should be accepted; pairs of different landmarks, and pairs of a photo of no landmark
with one of a landmark, should not. All kinds see the same pairs, and the pipeline's own pictures, features and verdict.
What is trained is judged on landmarks that it was not trained on: they are in two halves, with a model for each.
"""

from __future__ import annotations

import collections
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from landmark_spark.core.calibration import rate_above, threshold_for
from landmark_spark.core.images import decode_jpeg
from landmark_spark.core.local_features import KINDS, ExtractMany, LocalFeatures, load_extractor, one_by_one
from landmark_spark.core.pictures import PicturePlan, make_pictures
from landmark_spark.core.verification import VerificationSettings, match_pair
from scripts.benchmarks.feature_pairs import Pair, Pairs, Photos, draw_pairs, halves_of, read_photos
from scripts.benchmarks.landmark_bootstrap import bootstrap_difference, bootstrap_share
from scripts.benchmarks.machine import write_machine
from scripts.benchmarks.own_delf import HalfModels
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, say

__all__ = ["RATES", "TRAINED", "Sizes", "Variant", "accepted_at", "extractor_of", "markdown_table", "measure"]

PHOTOS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "landmark_mini"
RATES = (0.01, 0.001)
TRAINED = "delf_vgg16"
_QUICK_PHOTOS = 24  # of landmarks; and as many of none
_IMAGES_AT_ONCE = 8
_SWEPT = ("large_side", "max_keypoints", "max_distance")


@dataclass(frozen=True)
class Variant:
    """One row of the comparison: how features are found and matched; the defaults are the pipeline's."""

    kind: str
    large_side: int = 512
    max_keypoints: int = 1000
    max_distance: float = 0.8


@dataclass(frozen=True)
class Sizes:
    """How much is compared. true, false: pairs wanted. per_landmark, of_none: photos used; None = all."""

    true: int
    false: int
    per_landmark: int | None = None
    of_none: int | None = None


def measure(
    write: LineWriter, *, kinds: Sequence[str], sizes: Sizes, sweep: bool, quick: bool, folder: Path = PHOTOS
) -> None:
    """Write a line for each kind, and with ``sweep`` for each other setting of it; then a table for people.

    Raises BenchmarkError where the photos are not there or give too few pairs, or a kind's weights are not there.
    """
    write_machine(write, "features")
    cut = _QUICK_PHOTOS if quick else None
    photos = read_photos(folder, per_landmark=sizes.per_landmark, of_none=sizes.of_none, quick=cut)
    pairs = draw_pairs(photos, num_true=sizes.true, num_false=sizes.false)
    write("features", "pairs", num_photos=len(photos.paths), num_true=len(pairs.true), num_false=len(pairs.false))
    groups = [photos.landmarks[one] for one, _ in pairs.true]
    first: dict[float, Any] = {}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as models:
        own = HalfModels(photos, Path(models), _large_copy, write, quick=quick) if TRAINED in kinds else None
        find = _Finder(photos, pairs, own)
        for variant in (each for kind in kinds for each in _variants(kind, sweep=sweep)):
            row, accepted = _measure_variant(variant, find, pairs, groups)
            write("features", "kind", **row)
            rows.append(row)
            if variant == Variant(variant.kind):
                for rate in RATES if first else ():
                    values = _difference(accepted[rate], first[rate], groups)
                    write("features", "difference", kind=variant.kind, to=kinds[0], rate=rate, **values)
                first = first or accepted
    say("\n\n" + markdown_table(rows) + "\n")


def extractor_of(variant: Variant, half: int, own: HalfModels | None) -> ExtractMany:
    """Return the function that finds the features in images, (H, W, 3) uint8 RGB; no other place knows how.

    half: that the images are judged in; only a kind that is trained differs between the two. own: its models.
    """
    if variant.kind == TRAINED and own is not None:
        return own.extractor(half, large_side=variant.large_side, max_keypoints=variant.max_keypoints)
    if variant.kind not in KINDS:
        raise BenchmarkError(f"kinds should be some of {', '.join(KINDS)}, {TRAINED}. Received: {variant.kind}")
    return one_by_one(load_extractor(variant.kind, max_keypoints=variant.max_keypoints))


def accepted_at(
    true: Sequence[int], false: Sequence[int], rate: float, groups: Sequence[int] | None = None
) -> dict[str, Any]:
    """Return the largest share of true pairs that is accepted while at most ``rate`` of the false ones are.

    groups: the landmark of each true pair, for an interval that knows that they share landmarks; None: every pair is
    its own. The intervals take the threshold as given.

    The threshold is a whole number of inliers: the false-accept rate that it has, below the one asked for, is told.
    """
    threshold = threshold_for(false, rate)
    if threshold is None:  # no share is below that of the largest threshold, which is none
        raise BenchmarkError(f"rate should be above 0. Received: {rate}")
    by_landmark = bootstrap_share(np.asarray(true) > threshold, range(len(true)) if groups is None else groups)
    of_true, of_false = rate_above(true, threshold), rate_above(false, threshold)
    return {
        "rate": rate,
        "min_inliers": threshold,
        "share": of_true.share,
        "low": of_true.low,
        "high": of_true.high,
        "landmarks_low": by_landmark[0],
        "landmarks_high": by_landmark[1],
        "false_accept_rate": of_false.share,
        "false_low": of_false.low,
        "false_high": of_false.high,
    }


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the shares of true pairs, with their intervals over landmarks, and the times as a Markdown table."""
    titles = [f"true pairs at {100 * rate:g} % false (above)" for rate in RATES]
    titles += ["true above 35", "false above 35", "ms a photo", "ms a pair"]
    lines = ["| local features | " + " | ".join(titles) + " |", "|---" * (len(titles) + 1) + "|"]
    for row in rows:
        changed = [f", {name} {row[name]}" for name in _SWEPT if row[name] != getattr(Variant(row["kind"]), name)]
        shares = [
            f"{_percent(at['share'])} ({_percent(at['landmarks_low'])} to {_percent(at['landmarks_high'])}) "
            f"({at['min_inliers']})"
            for at in row["at"]
        ]
        counted = [_percent(row["accepted_at_35"]), f"{100 * row['falsely_accepted_at_35']:.2f} %"]
        times = [f"{row['extract_ms']:.0f}", f"{row['compare_ms']:.1f}"]
        lines.append(f"| `{row['kind']}`{''.join(changed)} | " + " | ".join([*shares, *counted, *times]) + " |")
    return "\n".join(lines)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


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

    def __init__(self, photos: Photos, pairs: Pairs, own: HalfModels | None) -> None:
        self._photos, self._own = photos, own
        self._halves = halves_of(photos.landmarks.values())
        self._used = pairs.photos(photos.landmarks)
        self._found: dict[Variant, tuple[dict[tuple[str, int], LocalFeatures], float]] = {}

    def __call__(self, variant: Variant) -> tuple[dict[tuple[str, int], LocalFeatures], float]:
        """Return the features by id and half, and the milliseconds of a photo, its decoding and resizing included."""
        key = replace(variant, max_distance=0.0)
        if key not in self._found:
            self._found.clear()
            self._found[key] = self._extract(variant)
        return self._found[key]

    def of_pair(self, pair: Pair, features: Mapping[tuple[str, int], LocalFeatures]) -> tuple[LocalFeatures, ...]:
        """Return the features of both photos: as the half of the second, which shows a landmark, has them."""
        half = self._halves[self._photos.landmarks[pair[1]]]
        return tuple(features[name, half] for name in pair)

    def _extract(self, variant: Variant) -> tuple[dict[tuple[str, int], LocalFeatures], float]:
        features: dict[tuple[str, int], LocalFeatures] = {}
        seconds, count = 0.0, 0
        for half in (0, 1):
            wanted = [name for name, its in self._used if its == half]
            if variant.kind != TRAINED:  # its features are the same in both halves
                features |= {(name, 1): features[name, 0] for name in wanted if (name, 0) in features}
                wanted = [name for name in wanted if (name, half) not in features]
            if not wanted:
                continue
            extract = extractor_of(variant, half, self._own)  # training and loading are no part of the time
            started = time.perf_counter()
            for start in range(0, len(wanted), _IMAGES_AT_ONCE):
                names = wanted[start : start + _IMAGES_AT_ONCE]
                images = [decode_jpeg(_large_copy(self._photos.paths[name], variant.large_side)) for name in names]
                features |= zip(((name, half) for name in names), extract(images), strict=True)
            seconds, count = seconds + time.perf_counter() - started, count + len(wanted)
        return features, 1000 * seconds / count


def _measure_variant(
    variant: Variant, find: _Finder, pairs: Pairs, groups: Sequence[int]
) -> tuple[dict[str, Any], dict[float, Any]]:
    """Return the values of a line, and of each rate which true pairs are accepted."""
    say(f"features: {variant}")
    features, extract_ms = find(variant)
    started = time.perf_counter()
    compare = partial(match_pair, settings=VerificationSettings(max_distance=variant.max_distance))
    true, false = (
        [int(np.count_nonzero(compare(*find.of_pair(pair, features))[2])) for pair in each]
        for each in (pairs.true, pairs.false)
    )
    matched = time.perf_counter()
    row = asdict(variant) | {
        "num_true": len(true),
        "num_false": len(false),
        "at": [accepted_at(true, false, rate, groups) for rate in RATES],
        "median_inliers_true": statistics.median(true),
        "median_inliers_false": statistics.median(false),
        "accepted_at_35": rate_above(true, 35).share,
        "falsely_accepted_at_35": rate_above(false, 35).share,
        "mean_keypoints": statistics.fmean(len(each.keypoints) for each in features.values()),
        "extract_ms": extract_ms,
        "compare_ms": 1000 * (matched - started) / (len(true) + len(false)),
    }
    return row, {at["rate"]: np.asarray(true) > at["min_inliers"] for at in row["at"]}


def _large_copy(path: Path, large_side: int) -> bytes:
    plan = PicturePlan(128, "stretch", 95, large_side, 90, 100_000_000)
    return make_pictures(path.read_bytes(), plan, with_large=True).large_image or b""


def _difference(ours: Any, theirs: Any, groups: Sequence[int]) -> dict[str, Any]:
    low, high = bootstrap_difference(ours, theirs, groups)
    change = float(np.mean(ours) - np.mean(theirs))
    return _overlap(ours, theirs) | {"difference": change, "low": low, "high": high}


def _overlap(ours: Any, theirs: Any) -> dict[str, int]:
    """Count the true pairs by who accepts them: what two kinds on the same pairs should be compared by."""
    counts = collections.Counter(zip(ours.tolist(), theirs.tolist(), strict=True))
    return {
        "both": counts[True, True],
        "only_this": counts[True, False],
        "only_the_other": counts[False, True],
        "neither": counts[False, False],
    }
