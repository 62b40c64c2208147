"""The photos and the pairs of the features benchmark: landmarks in two halves, no pair across them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from landmark_spark.core.calibration import choose, false_pairs, true_pairs
from landmark_spark.core.records import Row, parse_rows
from scripts.benchmarks.report_lines import BenchmarkError

__all__ = ["NO_LANDMARK", "Pair", "Pairs", "Photos", "draw_pairs", "halves_of", "read_photos"]

NO_LANDMARK = -1
_SEED = 0
_DRAWN = 8  # times as many false pairs as are wanted: about half of them lie across the halves, and are left out

Pair = tuple[str, str]


@dataclass(frozen=True)
class Photos:
    """Where each photo lies, by id, and which landmark it shows: -1 = none."""

    paths: Mapping[str, Path]
    landmarks: Mapping[str, int]

    def by_landmark(self) -> dict[int, list[str]]:
        """Return the ids of each landmark's photos, in order; those of none are left out."""
        groups: dict[int, list[str]] = {}
        for name in sorted(self.landmarks):
            if self.landmarks[name] != NO_LANDMARK:
                groups.setdefault(self.landmarks[name], []).append(name)
        return groups


@dataclass(frozen=True)
class Pairs:
    """Pairs of ids. true: of one landmark; false: of two landmarks of one half, and of none with one.

    The second photo of a pair always shows a landmark.
    """

    true: tuple[Pair, ...]
    false: tuple[Pair, ...]

    def photos(self, landmarks: Mapping[str, int]) -> list[tuple[str, int]]:
        """Return each photo with each half that it is judged in, in order: a photo of no landmark may be in both."""
        halves = halves_of(landmarks.values())
        return sorted({(name, halves[landmarks[pair[1]]]) for pair in (*self.true, *self.false) for name in pair})


def halves_of(landmarks: Iterable[int]) -> dict[int, int]:
    """Return the half, 0 or 1, of each landmark, by hash; the first is the smaller where their number is odd."""
    known = {each for each in landmarks if each != NO_LANDMARK}
    first = set(choose(known, len(known) // 2, seed=_SEED, purpose="half")) if len(known) > 1 else set()
    return {each: int(each not in first) for each in known}


def read_photos(
    folder: Path, *, per_landmark: int | None = None, of_none: int | None = None, quick: int | None = None
) -> Photos:
    """Read train.csv and non_landmark.csv of a folder in the challenge's form.

    per_landmark, of_none: how many photos are drawn, by hash, of each landmark and of none. quick: rows read of each
    file. None: all. Raises BenchmarkError where a file is not there.
    """
    paths: dict[str, Path] = {}
    landmarks: dict[str, int] = {}
    for name, with_landmark in (("train.csv", True), ("non_landmark.csv", False)):
        if not (folder / name).is_file():
            raise BenchmarkError(f"the real photos should be in {folder}, with train.csv and non_landmark.csv")
        with (folder / name).open("rb") as file:
            found = parse_rows(file, with_landmark=with_landmark, allow_relative=True)
            rows = [each for each in found if isinstance(each, Row)][:quick]
        for row in rows:
            paths[row.id] = folder / row.url
            landmarks[row.id] = NO_LANDMARK if row.landmark_id is None else row.landmark_id
    kept = _drawn(Photos(paths, landmarks), per_landmark, of_none)
    return Photos({name: paths[name] for name in kept}, {name: landmarks[name] for name in kept})


def draw_pairs(photos: Photos, *, num_true: int, num_false: int) -> Pairs:
    """Draw pairs by hash; of the false ones one half has a photo of another landmark, one a photo of none."""
    groups = photos.by_landmark()
    halves = halves_of(groups)
    shown = {name: landmark for landmark, names in groups.items() for name in names}
    empty = {name: NO_LANDMARK for name in photos.landmarks if name not in shown}
    true = true_pairs(groups, num_true, seed=_SEED)
    wanted = num_false - num_false // 2
    drawn = false_pairs(shown, shown, _DRAWN * wanted, seed=_SEED)
    within = {frozenset(pair): pair for pair in drawn if len({halves[shown[name]] for name in pair}) == 1}
    others = list(within.values())[:wanted]  # each once, whichever of its photos comes first
    others += false_pairs(empty, shown, num_false // 2, seed=_SEED) if empty else []
    if not true or not others:
        raise BenchmarkError("the photos should show two landmarks, and one of them twice")
    return Pairs(tuple(true), tuple(others))


def _drawn(photos: Photos, per_landmark: int | None, of_none: int | None) -> list[str]:
    none = [name for name in photos.landmarks if photos.landmarks[name] == NO_LANDMARK]
    groups = [(names, per_landmark) for names in photos.by_landmark().values()] + [(none, of_none)]
    return [
        name
        for names, count in groups
        for name in (names if count is None else choose(names, count, seed=_SEED, purpose="photo"))
    ]
