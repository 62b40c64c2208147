"""Decides what becomes of the photos of folders: ids, landmarks, copies of one photo, and what is held out."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from landmark_spark.core.records import hash_fraction
from landmark_spark.photo_folders import LeftOut, Photo

__all__ = [
    "CollectionError",
    "Sorted",
    "check_ids",
    "choose_held_out",
    "image_id",
    "landmark_ids",
    "photo_url",
    "sort_out_copies",
]

_MAX_NUMBER = 2**63 - 1


class CollectionError(ValueError):
    """Photos that cannot be told apart by their ids; the message names them."""


def image_id(role: str, path: str) -> str:
    """Return 16 hexadecimal digits for a photo: of the SHA-256 of its folder's role and its path within the folder.

    The same wherever the folder lies, and whatever else is in it.
    """
    return hashlib.sha256(role.encode() + b"/" + os.fsencode(path)).hexdigest()[:16]


def landmark_ids(names: Iterable[str]) -> dict[str, int]:
    """Return the id of each landmark by its folder's name, ids ascending.

    A name that is a number as it is written is its own id; any other gives 40 bits of its SHA-256, which stay when
    landmarks come and go. Raises CollectionError where two have the same.
    """
    found: dict[int, str] = {}
    for name in sorted(names):
        number = _own_number(name)
        if number is None:
            number = int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:5], "big")
        if number in found:
            raise CollectionError(f"landmarks should have ids of their own: rename {found[number]!r} or {name!r}")
        found[number] = name
    return {name: number for number, name in sorted(found.items())}


def _own_number(name: str) -> int | None:
    is_number = name.isascii() and name.isdigit() and len(name) <= 19
    return int(name) if is_number and str(int(name)) == name and int(name) <= _MAX_NUMBER else None


def photo_url(path: str) -> str:
    """Return a path below the served folder as a relative URL: all that is no letter, digit or _.-~/ as %XX."""
    return quote(os.fsencode(path), safe="/")


@dataclass(frozen=True)
class Sorted:
    """Landmark and non-landmark photos without those that are left out, which stand beside them.

    shared: digests of photos that lie under several landmarks; they are kept under each.
    num_known_tests: test photos that have the bytes of a landmark's photo.
    """

    landmark_photos: list[Photo]
    non_landmark_photos: list[Photo]
    left_out: list[LeftOut]
    non_landmark_left_out: list[LeftOut]
    shared: frozenset[bytes]
    num_known_tests: int


def sort_out_copies(landmark_photos: Sequence[Photo], others: Sequence[Photo], tests: Sequence[Photo]) -> Sorted:
    """Leave out a second photo of the same bytes under the same landmark, or among the photos of none (others).

    Photos of no landmark that are a landmark's too are left out; test photos all stay, for each is to be answered.
    """
    kept, left_out = _first_of_each(landmark_photos, {})
    known = {photo.digest: "also_a_landmark" for photo in kept if photo.digest}
    kept_others, others_left_out = _first_of_each(others, known)
    landmarks = Counter(photo.digest for photo in kept if photo.digest)
    return Sorted(
        kept,
        kept_others,
        left_out,
        others_left_out,
        frozenset(digest for digest, count in landmarks.items() if count > 1),
        sum(photo.digest in known for photo in tests),
    )


def _first_of_each(photos: Sequence[Photo], refused: Mapping[bytes, str]) -> tuple[list[Photo], list[LeftOut]]:
    """Return the first photo of each landmark and digest, and the others; refused: reasons by digest."""
    kept, left_out, seen = [], [], set()
    for photo in photos:
        key = (photo.landmark, photo.digest)
        reason = refused.get(photo.digest, "same_photo" if photo.digest and key in seen else "")
        if reason:
            left_out.append(LeftOut(photo.path, reason))
        else:
            kept.append(photo)
            seen.add(key)
    return kept, left_out


def choose_held_out(ids: Sequence[str], classes: Sequence[str], share: float, *, seed: int) -> frozenset[str]:
    """Return the ids of the photos that play test photos: ``share`` of each class, rounded, but never all of one.

    By hash of the id: photos that come and go change little. classes: of each photo, its landmark.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for name, label in zip(ids, classes, strict=True):
        members[label].append(name)
    held_out: set[str] = set()
    for names in members.values():
        count = min(int(len(names) * share + 0.5), len(names) - 1)
        drawn = sorted(names, key=lambda name: (hash_fraction(name, seed=seed, purpose="held out"), name))
        held_out.update(drawn[:count])
    return frozenset(held_out)


def check_ids(ids: Iterable[str]) -> None:
    """Raise CollectionError where two photos have one id."""
    repeated = [name for name, count in Counter(ids).items() if count > 1]
    if repeated:
        raise CollectionError(f"photos should have ids of their own. Received: {repeated[0]} twice: rename one of them")
