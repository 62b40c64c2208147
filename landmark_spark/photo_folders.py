"""Finds the photos of a folder, and accounts for every other entry: what is left out, and why."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

__all__ = ["EXTENSIONS", "REASONS", "LeftOut", "Photo", "PhotoFolder", "digest_photos", "read_folder"]

EXTENSIONS = frozenset(
    f".{each}"
    for each in (
        *("jpg", "jpeg", "jpe", "jfif", "png", "webp", "gif", "bmp", "dib"),
        *("tif", "tiff", "ppm", "pgm", "pbm", "jp2", "j2k", "avif"),
    )
)
"""Of the formats that core.images decodes."""

REASONS = {
    "hidden": "hidden: the name begins with a dot",
    "no_picture": "no picture by the end of its name",
    "not_in_a_landmark": "beside the landmarks' folders, in none of them",
    "no_photos": "a landmark's folder without a photo",
    "linked_folder": "a symbolic link to a folder: links to folders are not followed",
    "link_outside": "a symbolic link that leads nowhere, or out of the folder that is served",
    "not_readable": "cannot be read",
    "no_file": "neither a file nor a folder",
    "same_photo": "the same bytes as another photo that was taken for the same",
    "also_a_landmark": "the same bytes as a landmark's photo, among those that should show none",
    "name_too_long": "its path, as a URL, has more than 4,096 characters",
}
"""Why an entry of a folder is left out."""


@dataclass(frozen=True)
class Photo:
    """A photo: its path relative to the folder it was found in, with / between; bytes that are no UTF-8 as surrogates.

    landmark: name of the folder of the first level that holds it; empty where folders mean no landmarks.
    digest: SHA-256 of its bytes; empty where no other photo has as many, so that it is like none.
    """

    path: str
    landmark: str = ""
    num_bytes: int = 0
    is_linked: bool = False
    digest: bytes = b""

    @property
    def is_nested(self) -> bool:
        """Whether it lies in a folder within its landmark's."""
        return self.path.count("/") > 1


@dataclass(frozen=True)
class LeftOut:
    """An entry that gives no row: its path, as a photo has it, and a word of REASONS."""

    path: str
    reason: str


@dataclass(frozen=True)
class PhotoFolder:
    """What a folder holds: each of its entries stands in one of the two lists, those of a folder within it too."""

    root: Path
    photos: list[Photo] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def read_folder(root: Path, *, served: Path, with_landmarks: bool) -> PhotoFolder:
    """Find the photos below a folder, in the order of their paths' bytes.

    Args:
        root: the folder, without symbolic links in its path.
        served: the folder within which a link may lead: ``root`` or one that holds it.
        with_landmarks: the folders of the first level are landmarks, and photos beside them are left out.

    Raises:
        OSError: ``root`` itself cannot be read.
    """
    found = PhotoFolder(root)
    with os.scandir(root):
        pass  # what is below may fail entry by entry
    for entry in _entries(root, "", found):
        landmark = entry.name if with_landmarks and entry.is_dir(follow_symlinks=False) else ""
        before = len(found.photos)
        _take(entry, entry.name, found, served, landmark)
        is_told = bool(found.left_out) and found.left_out[-1].path == entry.name  # hidden, or not to be read
        if landmark and len(found.photos) == before and not is_told:
            found.left_out.append(LeftOut(entry.name, "no_photos"))
    if with_landmarks:
        beside = [each for each in found.photos if not each.landmark]
        found.left_out.extend(LeftOut(each.path, "not_in_a_landmark") for each in beside)
        found.photos[:] = [each for each in found.photos if each.landmark]
    return found


def _entries(folder: Path | str, path: str, found: PhotoFolder) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    except OSError:
        found.left_out.append(LeftOut(path, "not_readable"))
        return
    yield from listed


def _take(entry: os.DirEntry[str], path: str, found: PhotoFolder, served: Path, landmark: str) -> None:
    """Put an entry, and what is below it, into the lists."""
    if entry.name.startswith("."):
        found.left_out.append(LeftOut(path, "hidden"))
    elif entry.is_dir(follow_symlinks=False):
        for each in _entries(entry.path, path, found):
            _take(each, f"{path}/{each.name}", found, served, landmark)
    else:
        _take_file(entry, path, found, served, landmark)


def _take_file(entry: os.DirEntry[str], path: str, found: PhotoFolder, served: Path, landmark: str) -> None:
    reason, num_bytes = "", 0
    try:
        if entry.is_symlink():
            reason = _fault_of_link(Path(entry.path), served)
        if not reason and not entry.is_file():
            reason = "no_file"
        elif not reason and os.path.splitext(entry.name)[1].lower() not in EXTENSIONS:  # noqa: PTH122
            reason = "no_picture"
        elif not reason:
            num_bytes = entry.stat().st_size
            reason = "" if os.access(entry.path, os.R_OK) else "not_readable"
    except OSError:
        reason = "not_readable"
    if reason:
        found.left_out.append(LeftOut(path, reason))
    else:
        found.photos.append(Photo(path, landmark, num_bytes, entry.is_symlink()))


def _fault_of_link(link: Path, served: Path) -> str:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # leads nowhere, or in a circle
        return "link_outside"
    if target.is_dir():
        return "linked_folder"
    return "" if target.is_relative_to(served) else "link_outside"


def digest_photos(folders: Sequence[PhotoFolder]) -> None:
    """Read the photos that have their length in common with another of these folders, and give them their digests.

    What cannot be read is moved to what is left out.
    """
    sizes = Counter(photo.num_bytes for folder in folders for photo in folder.photos)
    for folder in folders:
        photos = list(folder.photos)
        folder.photos.clear()
        for photo in photos:
            try:
                shared = sizes[photo.num_bytes] > 1
                digest = _digest(folder.root / photo.path) if shared else b""
                folder.photos.append(replace(photo, digest=digest))
            except OSError:
                folder.left_out.append(LeftOut(photo.path, "not_readable"))


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
