"""Measures verification in one thread, without Spark: part, --rounds, --pairs, --store, --quick; see verify.py."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from landmark_spark.core.verification import VerificationSettings, match_pair
from scripts.benchmarks.pair_ratios import ratio_summary, take_turns
from scripts.benchmarks.report_lines import LineWriter, say
from scripts.benchmarks.verify_order import measure_order
from scripts.benchmarks.verify_pairs import Pair, delf_pairs, drawn_pairs, photo_pairs
from scripts.benchmarks.verify_reference import (
    MIN_INLIERS,
    NUM_SEEDS,
    ReferenceCounts,
    count_reference_inliers,
    match_reference,
)

__all__ = ["count_ours", "measure_agreement", "measure_speed"]

_ROOT = Path(__file__).resolve().parents[2]
_SHARED = _ROOT.parent / "shared"
_CACHE = _ROOT / ".bench" / "verify_reference.jsonl"
_PAIRS_A_ROUND = 15  # that the reference takes some five seconds for
_OUR_REPEATS = 10  # of the same pairs: ours would be over before the clock says anything
_SETTINGS = VerificationSettings()


def main() -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["speed", "agreement", "order"])
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with LineWriter() as write:
        if options.part == "order":
            measure_order(write, options.store)
            return
        if options.part == "speed":
            for name, pairs in _sets(2 if options.quick else _PAIRS_A_ROUND, quick=options.quick).items():
                measure_speed(write, name, pairs[:_PAIRS_A_ROUND], num_rounds=options.rounds)
        else:
            sets = _sets(options.pairs, quick=options.quick)
            cache = None if options.quick else _CACHE
            measure_agreement(write, [pair for pairs in sets.values() for pair in pairs], cache)


def _sets(num_pairs: int, *, quick: bool) -> dict[str, list[Pair]]:
    """Return the pairs by the kind of their features; drawn ones where the real ones are not there."""
    if quick:
        return {"drawn": drawn_pairs(num_pairs)}
    photos, fixtures = _SHARED / "data" / "landmark_mini", _SHARED / "fixtures" / "delf" / "features"
    found = {"delf": delf_pairs(fixtures)} if fixtures.is_dir() else {}
    if photos.is_dir():
        say(f"SIFT features of photos for {num_pairs} pairs")
        found["sift"] = photo_pairs(photos, max_pairs=num_pairs)
    return found or {"drawn": drawn_pairs(num_pairs)}


def measure_speed(write: LineWriter, features: str, pairs: Sequence[Pair], *, num_rounds: int) -> None:
    """Run both sides in turns on the same pairs; write pairs a second of processor time, and their ratio.

    Processor time of all threads, so that what else the machine does does not count. Our side begins each time with
    descriptors as they are stored: rounding them is part of it, once for an image and not for a pair.
    """

    def ours(_: int) -> float:
        started = time.process_time()
        for _ in range(_OUR_REPEATS):
            for pair in _afresh(pairs):
                match_pair(pair.query, pair.reference, _SETTINGS)
        return _OUR_REPEATS * len(pairs) / (time.process_time() - started)

    def theirs(round_number: int) -> float:
        started = time.process_time()
        for pair in pairs:
            count_reference_inliers(match_reference(pair.query, pair.reference), round_number)
        return len(pairs) / (time.process_time() - started)

    sides = {"landmark_spark": _written(write, features, "landmark_spark", ours)}
    sides["reference"] = _written(write, features, "reference", theirs)
    rates = take_turns(sides["landmark_spark"], sides["reference"], num_rounds)
    write("verify.speed", "summary", features=features, **ratio_summary("ratio_to_reference", *rates))


def _written(write: LineWriter, features: str, side: str, run: Callable[[int], float]) -> Callable[[int], float]:
    def measured(number: int) -> float:
        rate = run(number)
        write("verify.speed", "run", features=features, side=side, pairs_per_second=rate)
        return rate

    return measured


def _afresh(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs without what images remember; an image of several pairs stays one."""
    images = {id(each): each for pair in pairs for each in (pair.query, pair.reference)}
    copies = {key: dataclasses.replace(each) for key, each in images.items()}
    return [
        dataclasses.replace(pair, query=copies[id(pair.query)], reference=copies[id(pair.reference)]) for pair in pairs
    ]


def measure_agreement(write: LineWriter, pairs: Sequence[Pair], cache: Path | None) -> None:
    """Compare our verdicts with the reference's consensus, and our own over as many seeds; list what differs."""
    known = ReferenceCounts(cache)
    num_equal = num_above = num_steady = 0
    accepted = {"ours": 0, "reference": 0}
    for number, pair in enumerate(pairs):
        consensus = known.consensus(pair.query, pair.reference)
        counts = [count_ours(pair, seed) for seed in range(NUM_SEEDS)]
        num_steady += len({count > MIN_INLIERS for count in counts}) == 1
        is_equal = (counts[0] > MIN_INLIERS) == consensus["above"]
        num_equal += is_equal
        num_above += bool(consensus["above"])
        if pair.same is False:
            accepted["ours"] += counts[0] > MIN_INLIERS
            accepted["reference"] += bool(consensus["above"])
        if not is_equal:
            names = {"query": pair.query_id, "reference": pair.reference_id, "same_landmark": pair.same}
            num_matches = len(match_reference(pair.query, pair.reference)[0])
            theirs = {"reference_inliers": consensus["counts"], "reference_matches": num_matches}
            write("verify.agreement", "differs", **names, inliers=sorted(counts), **theirs)
        if number % 100 == 99:
            say(f"agreement: {number + 1} of {len(pairs)} pairs, {num_equal} equal")
    write(
        "verify.agreement",
        "summary",
        num_pairs=len(pairs),
        agreement=num_equal / len(pairs),
        num_above_by_reference=num_above,
        num_different_landmarks=sum(pair.same is False for pair in pairs),
        different_landmarks_accepted=accepted,
        same_verdict_for_every_seed=num_steady / len(pairs),
    )


def count_ours(pair: Pair, seed: int) -> int:
    """Return our inliers of a pair with a seed."""
    _, _, is_inlier = match_pair(pair.query, pair.reference, dataclasses.replace(_SETTINGS, seed=seed))
    return int(np.count_nonzero(is_inlier))


if __name__ == "__main__":
    main()
