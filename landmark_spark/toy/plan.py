"""Decides what a toy world holds: which photos, of what, under which ids."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np

from landmark_spark.toy.scenes import SCENES

__all__ = ["Arguments", "Photo", "landmark_ids", "landmark_names", "plan_non_landmark", "plan_test", "plan_train"]

_VERSION = 1  # of the drawing: raise it when other pixels or rows come of the same arguments
_PLACES = (
    "Harbour",
    "Market",
    "Old",
    "River",
    "Castle",
    "Garden",
    "Bridge",
    "North",
    "Lime",
    "Mill",
    "Abbey",
    "Station",
)
_KINDS = ("Hall", "House", "Exchange", "Palace", "Library", "Court", "Museum", "Arcade", "College", "Theatre", "Baths")


@dataclass(frozen=True)
class Arguments:
    """What a world is made of; two worlds with the same are the same byte for byte."""

    num_landmarks: int
    photos_per_landmark: int
    num_test: int
    landmark_fraction: float
    seed: int
    version: int = _VERSION

    def check(self) -> None:
        """Raise ValueError for a value out of range."""
        for name, least in (("num_landmarks", 2), ("photos_per_landmark", 2), ("num_test", 1), ("seed", 0)):
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} should be at least {least}. Received: {value}")
        if not 0 <= self.landmark_fraction <= 1:
            raise ValueError(f"landmark_fraction should be within 0 and 1. Received: {self.landmark_fraction}")


@dataclass(frozen=True)
class Photo:
    """A photo to take: of landmarks (by index), else of an unknown building (``stranger``), else of a scene."""

    id: str
    landmarks: tuple[int, ...] = ()
    stranger: int | None = None
    scene: str = ""
    is_dead: bool = False

    @property
    def url(self) -> str:
        """Relative, as it stands in the csv files; a dead one names a file that is not there."""
        return f"{'missing' if self.is_dead else 'images'}/{self.id}.jpg"


def _digest(*parts: object) -> str:
    """Return 16 hexadecimal digits: an id as the challenge has them, or a number by chance."""
    return hashlib.sha256(":".join(str(part) for part in parts).encode()).hexdigest()[:16]


def plan_train(arguments: Arguments) -> list[Photo]:
    """Plan the training photos: the same number of every landmark, in the order of their ids."""
    count = arguments.photos_per_landmark
    photos = [
        # One dead URL, of a landmark that keeps enough photos without it.
        Photo(_digest(arguments.seed, "train", index, view), (index,), is_dead=count > 2 and index == view == 1)
        for index in range(arguments.num_landmarks)
        for view in range(count)
    ]
    return sorted(photos, key=lambda photo: photo.id)


def plan_test(arguments: Arguments) -> list[Photo]:
    """Plan the test photos, in the order of their ids, which is no order of kinds."""
    num_shown = round(arguments.num_test * arguments.landmark_fraction)
    num_double = (num_shown + 15) // 25
    photos = []
    for index in range(arguments.num_test):
        photo_id = _digest(arguments.seed, "test", index)
        if index < num_shown:
            first = index % arguments.num_landmarks
            second = (first + arguments.num_landmarks // 2) % arguments.num_landmarks
            photos.append(Photo(photo_id, (first, second) if index < num_double else (first,)))
        else:
            photos.append(_stranger_or_scene(photo_id, index - num_shown))
    # Dead URLs among all kinds, but the few photos of two landmarks.
    candidates = sorted(photos[num_double:], key=lambda photo: _digest("dead", photo.id))
    dead = {photo.id for photo in candidates[: min(3, arguments.num_test // 8)]}
    photos = [replace(photo, is_dead=photo.id in dead) for photo in photos]
    return sorted(photos, key=lambda photo: photo.id)


def plan_non_landmark(arguments: Arguments) -> list[Photo]:
    """Plan the photos known to show no landmark: one for every five test photos, four at least."""
    count = max(4, arguments.num_test // 5)
    # Numbered after the test photos': a stranger seen in both would make the test easier than it looks.
    ids = [_digest(arguments.seed, "non_landmark", index) for index in range(count)]
    photos = [_stranger_or_scene(each, arguments.num_test + index) for index, each in enumerate(ids)]
    return sorted(photos, key=lambda photo: photo.id)


def _stranger_or_scene(photo_id: str, index: int) -> Photo:
    """Plan a photo without landmark: unknown buildings and the kinds of scenes by turns."""
    if index % 2:
        return Photo(photo_id, stranger=index)
    return Photo(photo_id, scene=SCENES[index // 2 % len(SCENES)])


def landmark_ids(arguments: Arguments) -> list[int]:
    """Return the landmarks' ids: distinct and with gaps, below 15,000 as in the challenge while they are few."""
    limit = max(15_000, 20 * arguments.num_landmarks)
    ids: dict[int, None] = {}
    for index in range(arguments.num_landmarks):
        landmark_id = int(_digest(arguments.seed, "landmark", index), 16) % limit
        while landmark_id in ids:
            landmark_id = (landmark_id + 1) % limit
        ids[landmark_id] = None
    return list(ids)


def landmark_names(arguments: Arguments) -> list[str]:
    """Return a name for every landmark, no two alike."""
    pairs = [f"{place} {kind}" for place in _PLACES for kind in _KINDS]
    order = np.random.default_rng(arguments.seed).permutation(len(pairs))
    names = []
    for index in range(arguments.num_landmarks):
        lap, place = divmod(index, len(pairs))
        names.append(pairs[order[place]] + (f" {lap + 1}" if lap else ""))
    return names
