"""Makes the challenge's csv files and a configuration of folders of photos, so that a run can begin at once."""

from __future__ import annotations

import csv
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from landmark_spark.core.counted import counted
from landmark_spark.core.printable import printable
from landmark_spark.ingestion_config import describe_run
from landmark_spark.photo_collection import (
    CollectionError,
    check_ids,
    choose_held_out,
    image_id,
    landmark_ids,
    photo_url,
    sort_out_copies,
)
from landmark_spark.photo_folders import LeftOut, Photo, PhotoFolder, digest_photos, read_folder
from landmark_spark.photo_places import Places, checked_places
from landmark_spark.settings import ConfigError

__all__ = ["CONFIG_FILE", "Ingested", "Request", "ingest"]

CONFIG_FILE = "own.yaml"
_FILES = ("train.csv", "test.csv", "non_landmark.csv", "landmarks.csv", "solution.csv", "left_out.csv", CONFIG_FILE)
_MAX_URL_CHARACTERS = 4_096


@dataclass(frozen=True)
class Request:
    """What is asked for: folders, the share of photos held out as test photos, whether files may be replaced."""

    landmarks: Path
    output: Path
    test: Path | None = None
    non_landmark: Path | None = None
    test_share: float = 0.0
    seed: int = 0
    force: bool = False


@dataclass(frozen=True)
class Ingested:
    """What was made of it: counts of rows, notes in words, and by folder what was left out."""

    output: Path
    served: Path
    num_landmarks: int
    num_train: int
    num_test: int
    num_held_out: int
    num_non_landmark: int
    notes: list[str]
    left_out: list[tuple[Path, LeftOut]]

    @property
    def left_out_counts(self) -> dict[str, int]:
        """How many entries were left out for which reason."""
        return dict(Counter(each.reason for _, each in self.left_out).most_common())


@dataclass(frozen=True)
class _Row:
    """A row of a csv file. truth: landmark id of a photo that is held out; empty where it shows none."""

    id: str
    url: str
    landmark: str = ""


@dataclass
class _Rows:
    train: list[_Row] = field(default_factory=list)
    test: list[_Row] = field(default_factory=list)
    non_landmark: list[_Row] = field(default_factory=list)
    held_out: list[_Row] = field(default_factory=list)


def ingest(request: Request) -> Ingested:
    """Write the csv files, the list of what is left out, and own.yaml into the output folder.

    Raises ConfigError where a folder is not there or they lie within one another, files are there already, or there is
    nothing to train on or to hold out; OSError where the output cannot be written.
    """
    if not 0.0 <= request.test_share < 1.0:
        raise ConfigError(f"--test-share should be from 0 to below 1. Received: {request.test_share}")
    places = checked_places(request.landmarks, request.test, request.non_landmark, request.output)
    _check_output(places.output, force=request.force)
    folders = _read(places)
    found = sort_out_copies(folders["landmark"].photos, folders["non_landmark"].photos, folders["test"].photos)
    folders["landmark"].left_out.extend(found.left_out)
    folders["non_landmark"].left_out.extend(found.non_landmark_left_out)
    kept = {
        "landmark": found.landmark_photos,
        "non_landmark": found.non_landmark_photos,
        "test": folders["test"].photos,
    }
    if not kept["landmark"]:
        beside = sum(each.reason == "not_in_a_landmark" for each in folders["landmark"].left_out)
        received = f"photos in no such folder: {beside}" if beside else "no photo"
        raise ConfigError(f"{places.landmarks} should hold a folder of photos for each landmark. Received: {received}")
    try:
        ids = landmark_ids({photo.landmark for photo in kept["landmark"]})
        rows = _rows(kept, places, request, found.shared)
    except CollectionError as error:
        raise ConfigError(str(error)) from error
    left_out = [(folder.root, each) for folder in folders.values() for each in folder.left_out]
    _write(places, rows, ids, left_out)
    return Ingested(
        output=places.output,
        served=places.served,
        num_landmarks=len(ids),
        num_train=len(rows.train),
        num_test=len(rows.test),
        num_held_out=len(rows.held_out),
        num_non_landmark=len(rows.non_landmark),
        notes=_notes(kept, rows, len(found.shared), found.num_known_tests),
        left_out=left_out,
    )


def _check_output(output: Path, *, force: bool) -> None:
    there = [name for name in _FILES if os.path.lexists(output / name)]
    if there and not force:
        raise ConfigError(
            f"--output should be a folder without {', '.join(there)}; --force replaces them. Received: {output}"
        )


def _read(places: Places) -> dict[str, PhotoFolder]:
    wanted = {"landmark": places.landmarks, "non_landmark": places.non_landmark, "test": places.test}
    folders = {}
    for role, root in wanted.items():
        try:
            folders[role] = (
                PhotoFolder(Path())
                if root is None
                else read_folder(root, served=places.served, with_landmarks=role == "landmark")
            )
        except OSError as error:
            raise ConfigError(f"{root} should be a readable folder. Received: {error}") from error
        too_long = [each for each in folders[role].photos if len(_url(places, root, each)) > _MAX_URL_CHARACTERS]
        folders[role].left_out.extend(LeftOut(each.path, "name_too_long") for each in too_long)
        folders[role].photos[:] = [each for each in folders[role].photos if each not in too_long]
    digest_photos(list(folders.values()))
    return folders


def _url(places: Places, root: Path | None, photo: Photo) -> str:
    return photo_url(str(((root or places.served) / photo.path).relative_to(places.served)))


def _rows(kept: dict[str, list[Photo]], places: Places, request: Request, shared: frozenset[bytes]) -> _Rows:
    roots = {"landmark": places.landmarks, "non_landmark": places.non_landmark, "test": places.test}
    made = {
        role: [_Row(image_id(role, each.path), _url(places, roots[role], each), each.landmark) for each in photos]
        for role, photos in kept.items()
    }
    check_ids(row.id for each in made.values() for row in each)
    # A photo that lies under two landmarks plays no test photo: its copy would be trained on.
    can_play = [
        row for row, photo in zip(made["landmark"], kept["landmark"], strict=True) if photo.digest not in shared
    ]
    candidates = [*can_play, *made["non_landmark"]]
    drawn = choose_held_out(
        [row.id for row in candidates], [row.landmark for row in candidates], request.test_share, seed=request.seed
    )
    if request.test_share and not any(row.id in drawn for row in can_play):
        raise ConfigError(
            "--test-share should hold out a photo of one landmark at least, and leaves each one to learn from. "
            f"Received: {request.test_share}"
        )
    held_out = [row for row in candidates if row.id in drawn]
    return _Rows(
        train=[row for row in made["landmark"] if row.id not in drawn],
        test=sorted([*made["test"], *held_out], key=lambda row: row.id),
        non_landmark=[row for row in made["non_landmark"] if row.id not in drawn],
        held_out=sorted(held_out, key=lambda row: row.id),
    )


def _notes(kept: dict[str, list[Photo]], rows: _Rows, num_shared: int, num_known_tests: int) -> list[str]:
    photos = [each for group in kept.values() for each in group]
    odd_names = [each for each in photos if "\N{REPLACEMENT CHARACTER}" in shown_path(each.path)]
    sizes = Counter(row.landmark for row in rows.train)
    counts = [
        (sum(each.is_nested for each in kept["landmark"]), "photo", "in folders within a landmark's: taken for it"),
        (sum(each.is_linked for each in photos), "symbolic link", "to photos: followed"),
        (
            len(odd_names),
            "name",
            "with bytes that are no UTF-8, or control characters: taken, and shown with \N{REPLACEMENT CHARACTER}",
        ),
        (num_shared, "photo", "whose bytes lie under several landmarks: taken for each, and never held out"),
        (num_known_tests, "test photo", "with the bytes of a landmark's photo: no test of anything"),
        (sum(count == 1 for count in sizes.values()), "landmark", "with a single training photo"),
    ]
    notes = [f"{counted(count, thing)} {words}" for count, thing, words in counts if count]
    if len(sizes) == 1:
        notes.append(
            "a single landmark: there is no other to tell it from, so that scores say little; inliers say more"
        )
    if not rows.test:
        notes.append("no test photo (--test, --test-share): the submission will have no row")
    return notes


def shown_path(path: str) -> str:
    """Return a path as it can be printed: a replacement character for what cannot."""
    return printable(os.fsencode(path).decode("utf-8", errors="replace"))


def _write(places: Places, rows: _Rows, ids: dict[str, int], left_out: Sequence[tuple[Path, LeftOut]]) -> None:
    try:
        places.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--output should be a folder that can be made. Received: {error}") from error
    with tempfile.TemporaryDirectory(dir=places.output, prefix=".ingest-") as name:
        made = Path(name)
        _write_csv(made / "train.csv", "id,url,landmark_id", ((r.id, r.url, ids[r.landmark]) for r in rows.train))
        _write_csv(made / "test.csv", "id,url", ((r.id, r.url) for r in rows.test))
        _write_csv(made / "landmarks.csv", "landmark_id,name", ((ids[name], shown_path(name)) for name in ids))
        if rows.non_landmark:
            _write_csv(made / "non_landmark.csv", "id,url", ((r.id, r.url) for r in rows.non_landmark))
        if rows.held_out:
            answers = ((r.id, ids[r.landmark] if r.landmark else "") for r in rows.held_out)
            _write_csv(made / "solution.csv", "id,landmarks", answers)
        lines = ((shown_path(str(root)), shown_path(each.path), each.reason) for root, each in left_out)
        _write_csv(made / "left_out.csv", "folder,path,reason", lines)
        names = sorted(each.name for each in made.iterdir())
        counts = (len(ids), len(rows.train), len(rows.non_landmark), len(rows.test))
        text = describe_run(places, counts, names)
        (made / CONFIG_FILE).write_text(text, encoding="utf-8")
        for each in _FILES:
            if (made / each).exists():
                (made / each).replace(places.output / each)
            else:  # of an earlier call, which asked for more
                (places.output / each).unlink(missing_ok=True)


def _write_csv(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)
