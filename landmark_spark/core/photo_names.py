"""What photos are called: of a URL the file's name, decoded, short enough and harmless wherever it is shown."""

from __future__ import annotations

from urllib.parse import unquote

from landmark_spark.core.printable import printable

__all__ = ["called", "file_name", "photo_name", "shortened", "telling_name", "without_password"]

_MAX_CHARACTERS = 40
_END = 12  # of a shortened name: its number, often, and its kind
_MAX_BYTES = 150  # of a file's name, so that it can be longer by a word: file systems allow 255
_NOT_IN_NAMES = frozenset('/\\:*?"<>|')
"""What some file system does not allow in a file's name, or a shell takes for something else."""


def called(url: str, *, is_served: bool) -> str:
    """Return what people know a photo by: its URL without password; of a served folder its path there, decoded."""
    return printable(unquote(url) if is_served and "://" not in url else without_password(url))


def photo_name(url: str) -> str:
    """Return the last part of a URL's path, decoded and printable, in 40 characters at most; empty where it has none.

    The URL may be relative. Bytes that are no UTF-8 become replacement characters.
    """
    return shortened(printable(_last_part(url)))


def telling_name(url: str, image_id: str) -> str:
    """Return the photo's name where it says more than the id; else an empty text."""
    name = photo_name(url)
    return "" if image_id in (name, name.rpartition(".")[0]) else name


def file_name(url: str) -> str:
    """Return the last part of a URL's path as a name that any file system takes, its kind (.jpg) included.

    Empty where nothing is left. It does not begin with a dot, so that no file is hidden and no path leads upwards.
    """
    name = "".join("_" if each in _NOT_IN_NAMES or not each.isprintable() else each for each in _last_part(url))
    return name.encode(errors="replace")[:_MAX_BYTES].decode(errors="ignore").lstrip(". ").rstrip()


def shortened(text: str, max_characters: int = _MAX_CHARACTERS) -> str:
    """Return a text without its middle where it is too long; its end stays."""
    if len(text) <= max_characters:
        return text
    return f"{text[: max_characters - _END - 1]}\N{HORIZONTAL ELLIPSIS}{text[-_END:]}"


def without_password(url: str) -> str:
    """Return a URL without user name and password; any other text as it is."""
    head, has_host, tail = url.partition("://")
    if not has_host:
        return url
    place, slash, path = tail.partition("/")
    return f"{head}://{place.rpartition('@')[2]}{slash}{path}"


def _last_part(url: str) -> str:
    _, has_host, tail = url.partition("://")
    path = tail.partition("/")[2] if has_host else url
    return unquote(path.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2])
