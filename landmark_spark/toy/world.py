"""Writes a small synthetic world in the challenge's own form: csv files, answers and photos."""

from __future__ import annotations

import csv
import functools
import json
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from landmark_spark.toy.facades import Facade, draw_facade, make_style
from landmark_spark.toy.plan import (
    Arguments,
    Photo,
    landmark_ids,
    landmark_names,
    plan_non_landmark,
    plan_test,
    plan_train,
)
from landmark_spark.toy.views import photograph, photograph_scene

__all__ = ["holds_world", "make_world", "write_tables"]


def make_world(
    folder: Path,
    *,
    num_landmarks: int = 12,
    photos_per_landmark: int = 12,
    num_test: int = 120,
    landmark_fraction: float = 0.5,
    seed: int = 7,
) -> None:
    """Write train.csv, test.csv, non_landmark.csv, landmarks.csv, solution.csv and images/ into ``folder``.

    The landmarks are drawn facades; of every three, two share a style. ``landmark_fraction`` of the test photos show a
    landmark (of 25 such, one shows two); the others show scenes and unknown buildings of the same styles. One training
    URL and up to three test URLs lead nowhere. The folder appears whole; one that holds the same world is left alone,
    another world is replaced. About 30 ms a photo.

    Raises ValueError for an argument out of range, and for a folder that holds something else than a world.
    """
    arguments = Arguments(num_landmarks, photos_per_landmark, num_test, landmark_fraction, seed)
    arguments.check()
    if _held(folder) == asdict(arguments):
        return
    if folder.exists() and _held(folder) is None and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"folder should be new, empty, or hold a toy world. Received: {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.", ignore_cleanup_errors=True) as name:
        made = Path(name) / "new"
        _write_world(made, arguments)
        _put_in_place(made, folder, Path(name) / "old")


def holds_world(
    folder: Path, *, num_landmarks: int, photos_per_landmark: int, num_test: int, landmark_fraction: float, seed: int
) -> bool:
    """Whether a folder holds the world of these arguments, those of ``make_world``, as this release draws it."""
    return _held(folder) == asdict(Arguments(num_landmarks, photos_per_landmark, num_test, landmark_fraction, seed))


def write_tables(
    folder: Path, *, num_landmarks: int, photos_per_landmark: int, num_test: int, landmark_fraction: float, seed: int
) -> None:
    """Write a world's csv files and answers without its photos; arguments and errors are those of ``make_world``."""
    arguments = Arguments(num_landmarks, photos_per_landmark, num_test, landmark_fraction, seed)
    arguments.check()
    folder.mkdir(parents=True, exist_ok=True)
    _write_tables(folder, arguments)


def _held(folder: Path) -> dict[str, object] | None:
    """Return the arguments of the world in a folder; None where it holds none."""
    try:
        held: dict[str, object] = json.loads((folder / "world.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return held


def _put_in_place(made: Path, folder: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
    try:
        made.rename(folder)
    except OSError:
        if _held(folder) != _held(made):  # else another process has just made the same world
            raise
    shutil.rmtree(old, ignore_errors=True)


def _write_world(folder: Path, arguments: Arguments) -> None:
    (folder / "images").mkdir(parents=True)
    for photo in (*plan_train(arguments), *plan_test(arguments), *plan_non_landmark(arguments)):
        if not photo.is_dead:
            (folder / photo.url).write_bytes(_take(photo, arguments))
    _write_tables(folder, arguments)


def _write_tables(folder: Path, arguments: Arguments) -> None:
    train, test, others = plan_train(arguments), plan_test(arguments), plan_non_landmark(arguments)
    ids = landmark_ids(arguments)
    _write_csv(folder / "train.csv", "id,url,landmark_id", ((p.id, p.url, ids[p.landmarks[0]]) for p in train))
    _write_csv(folder / "test.csv", "id,url", ((p.id, p.url) for p in test))
    _write_csv(folder / "non_landmark.csv", "id,url", ((p.id, p.url) for p in others))
    _write_csv(folder / "landmarks.csv", "landmark_id,name", zip(ids, landmark_names(arguments), strict=True))
    answers = ((p.id, " ".join(str(ids[index]) for index in p.landmarks)) for p in test)
    _write_csv(folder / "solution.csv", "id,landmarks", answers)
    (folder / "world.json").write_text(json.dumps(asdict(arguments), indent=2) + "\n", encoding="utf-8")


def _write_csv(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)


def _take(photo: Photo, arguments: Arguments) -> bytes:
    seed = (arguments.seed, int(photo.id, 16))
    if photo.scene:
        return photograph_scene(photo.scene, seed)
    if photo.stranger is not None:
        style = make_style(_style_of(photo.stranger % arguments.num_landmarks), arguments.seed)
        return photograph([draw_facade(style, (arguments.seed, 1, photo.stranger))], seed)
    return photograph([_landmark(index, arguments.seed) for index in photo.landmarks], seed)


def _style_of(index: int) -> int:
    """Return the number of a landmark's style: of every three landmarks the second looks like the first."""
    return index - (index % 3 == 1)


@functools.lru_cache(maxsize=64)
def _landmark(index: int, seed: int) -> Facade:
    return draw_facade(make_style(_style_of(index), seed), (seed, 0, index))
