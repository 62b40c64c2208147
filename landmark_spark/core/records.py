"""Reads the challenge's csv files: every line ends as a row or as a reject with its reason.

One physical line is one row. An id or a URL holds no newline, so a quote that is never closed damages its own line and
not the rest of the file, as it would with a csv reader that follows quotes over lines (RFC 4180).
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit, urlunsplit

from landmark_spark.core.printable import printable

__all__ = [
    "REASONS",
    "HeaderError",
    "Reject",
    "Row",
    "hash_fraction",
    "parse_names",
    "parse_rows",
    "resolve_url",
    "shard_of",
]

REASONS: dict[str, str] = {
    "missing_id": "the id is empty",
    "bad_id": "the id has whitespace or unprintable characters, or more than 200 characters",
    "empty_url": "the URL is empty, or the word None",
    "bad_url": "the URL is not http or https, has no valid host, has whitespace or unprintable characters, "
    "or more than 4,096 characters",
    "relative_url": "the URL is relative and there is no base_url to resolve it against",
    "bad_landmark_id": "the landmark id is not an integer from 0 to 2**63 - 1 in ASCII digits",
    "wrong_number_of_fields": "the line has more or fewer fields than the header",
    "bad_quoting": "a quote is not closed, or stands inside a field without being doubled",
    "not_utf8": "the line is not UTF-8",
    "too_long": "the line is longer than 10,000 bytes",
    "duplicate_id": "an earlier line has the same id",
}
"""Why a line was refused. All but duplicate_id are found line by line; that one needs all files together."""

_MAX_LINE_BYTES = 10_000
_MAX_KEPT_CHARACTERS = 1_000
_MAX_ID_CHARACTERS = 200
_MAX_URL_CHARACTERS = 4_096
_MAX_INT64 = 2**63 - 1
_FIELD = re.compile(r'(?:"([^"]*(?:""[^"]*)*)"|([^",]*))(,|\Z)')
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*(?:/[!-~]*)?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
# Joiners, which some scripts spell with, are none of these.
_UNSAFE_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class HeaderError(ValueError):
    """The file's first line is not the header it should be; the message says which columns were wanted."""


@dataclass(frozen=True, slots=True)
class Row:
    """A valid row: line_number counts from 1 (the header); landmark_id is None where none was asked for."""

    line_number: int
    id: str
    url: str
    landmark_id: int | None


@dataclass(frozen=True, slots=True)
class Reject:
    """A refused line: the id where a valid one could be read, a word of REASONS, at most 1,000 characters of it."""

    line_number: int
    id: str | None
    reason: str
    line: str


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the wanted columns stand."""

    num_fields: int
    positions: tuple[int, ...]


def parse_rows(
    lines: Iterable[bytes], *, with_landmark: bool, allow_relative: bool, source: str = "the csv file"
) -> Iterator[Row | Reject]:
    """Parse the lines of train.csv (id, url, landmark_id) or test.csv (id, url), lazily and in order.

    Quotes, a UTF-8 byte order mark, CRLF, any order of columns and further columns are all accepted. Lines of nothing
    but whitespace are skipped. The header is checked at the call, the rows as they are asked for.

    Args:
        lines: the file's lines as a file opened with "rb" gives them.
        with_landmark: whether the column landmark_id is wanted.
        allow_relative: whether there is a base against which relative URLs will be resolved.
        source: name of the file, for messages.

    Raises:
        HeaderError: the file is empty or lacks a column. No line after the header raises anything.
    """
    wanted = ("id", "url", "landmark_id") if with_landmark else ("id", "url")
    iterator = iter(lines)
    layout = _read_header(iterator, wanted, source)
    return _parse_body(iterator, layout, allow_relative)


def parse_names(lines: Iterable[bytes], *, source: str = "landmarks.csv") -> tuple[dict[int, str], int]:
    """Parse the lines of landmarks.csv (landmark_id, name): the names, and the number of malformed lines left out.

    Of a landmark that is named twice the first name counts, and the second line as malformed. Control characters and
    those that turn the direction of writing, which a terminal obeys, are replaced (U+FFFD). Raises HeaderError.
    """
    iterator = iter(lines)
    layout = _read_header(iterator, ("landmark_id", "name"), source)
    names: dict[int, str] = {}
    num_malformed = 0
    for line in iterator:
        if not line.strip():
            continue
        reason, fields = _fields_of(line, layout)
        landmark_id = _landmark_id(fields[0]) if not reason else None
        if landmark_id is None or landmark_id in names:
            num_malformed += 1
        else:
            names[landmark_id] = _UNSAFE_IN_A_NAME.sub("\N{REPLACEMENT CHARACTER}", fields[1])
    return names, num_malformed


def shard_of(image_id: str, num_shards: int) -> int:
    """Return the shard of an image: CRC-32 (as in zlib and gzip) of the id's UTF-8 bytes, modulo num_shards."""
    if num_shards < 1:
        raise ValueError(f"num_shards should be at least 1. Received: {num_shards}")
    return zlib.crc32(image_id.encode()) % num_shards


def hash_fraction(image_id: str, *, seed: int, purpose: str) -> float:
    """Return a fixed draw from [0, 1) for an image: the same id, seed and purpose give the same number anywhere.

    The top 24 bits of SHA-256 of the UTF-8 text ``purpose:seed:id``, over 2**24: float32 holds every such number
    exactly, so that a draw stored as float32 is still below 1 and compares as it did before.
    """
    digest = hashlib.sha256(f"{purpose}:{seed}:{image_id}".encode()).digest()
    return int.from_bytes(digest[:3], "big") / 2**24


def resolve_url(url: str, base_url: str) -> str:
    """Resolve a relative URL against a base taken as a folder, with or without its last slash (RFC 3986, 5.2).

    An absolute URL, or any URL where the base is empty, is returned unchanged.
    """
    if not base_url or _SCHEME.match(url):
        return url
    scheme, host, path, _, _ = urlsplit(base_url)
    return urljoin(urlunsplit((scheme, host, path.rstrip("/") + "/", "", "")), url)


def _read_header(lines: Iterator[bytes], wanted: tuple[str, ...], source: str) -> _Layout:
    line = next(lines, b"").removeprefix(b"\xef\xbb\xbf")
    columns, is_sound = _split(_trimmed(line)[:_MAX_LINE_BYTES].decode(errors="replace"))
    is_sound = is_sound and len(_trimmed(line)) <= _MAX_LINE_BYTES
    columns = [column.strip() for column in columns]
    if not is_sound or any(columns.count(name) != 1 for name in wanted):
        received = printable(_readable(line)[:200]) if line else "an empty file"
        raise HeaderError(f"{source} should have the columns {', '.join(wanted)}. Received: {received}")
    return _Layout(len(columns), tuple(columns.index(name) for name in wanted))


def _parse_body(lines: Iterator[bytes], layout: _Layout, allow_relative: bool) -> Iterator[Row | Reject]:
    for line_number, line in enumerate(lines, start=2):
        if not line.strip():
            continue
        reason, fields = _fields_of(line, layout)
        image_id = fields[0]
        reason = reason or _id_fault(image_id) or _url_fault(fields[1], allow_relative)
        landmark_id = None
        if len(layout.positions) == 3 and not reason:
            landmark_id = _landmark_id(fields[2])
            reason = "bad_landmark_id" if landmark_id is None else ""
        if reason:
            kept_id = None if _id_fault(image_id) else image_id
            yield Reject(line_number, kept_id, reason, _readable(line)[:_MAX_KEPT_CHARACTERS])
        else:
            yield Row(line_number, image_id, fields[1], landmark_id)


def _fields_of(line: bytes, layout: _Layout) -> tuple[str, list[str]]:
    """Return a reason ("" where the line is sound) and the wanted fields, "" for those that could not be read."""
    line = _trimmed(line)
    reason = "too_long" if len(line) > _MAX_LINE_BYTES else ""
    try:
        text = line[:_MAX_LINE_BYTES].decode()
    except UnicodeDecodeError:
        reason = reason or "not_utf8"
        text = line[:_MAX_LINE_BYTES].decode(errors="surrogateescape")  # unprintable, so no such id or URL passes
    fields, is_closed = _split(text)
    if reason == "too_long":
        if is_closed:
            fields.pop()  # cut in the middle; one that was cut within its quotes is not there
    elif not is_closed:
        reason = reason or "bad_quoting"
    elif len(fields) != layout.num_fields:
        reason = reason or "wrong_number_of_fields"
        del fields[1:]  # where a field is lost or gained, only the first is known to be in its place
    if reason:
        fields += [""] * (layout.num_fields - len(fields))
    return reason, [fields[position] for position in layout.positions]


def _trimmed(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def _readable(line: bytes) -> str:
    return _trimmed(line[:_MAX_LINE_BYTES]).decode(errors="replace")


def _split(text: str) -> tuple[list[str], bool]:
    """Split a line at its commas: the fields up to the first quoting error, and whether there was none."""
    if '"' not in text:
        return text.split(","), True
    fields: list[str] = []
    position = 0
    while match := _FIELD.match(text, position):
        quoted, plain, separator = match.groups()
        fields.append(plain if quoted is None else quoted.replace('""', '"'))
        if not separator:
            return fields, True
        position = match.end()
    return fields, False


def _id_fault(image_id: str) -> str:
    if not image_id:
        return "missing_id"
    if len(image_id) > _MAX_ID_CHARACTERS or not _is_solid(image_id):
        return "bad_id"
    return ""


def _is_solid(text: str) -> bool:
    return text.isprintable() and " " not in text  # every other whitespace counts as unprintable


def _url_fault(url: str, allow_relative: bool) -> str:
    if not url or url == "None":  # the challenge's own files say None where a photo was withdrawn
        return "empty_url"
    if len(url) > _MAX_URL_CHARACTERS:
        return "bad_url"
    if _PLAIN_URL.fullmatch(url):
        return ""
    if not _is_solid(url) or not _has_valid_host(url):
        return "bad_url"
    return "" if allow_relative or _SCHEME.match(url) else "relative_url"


def _has_valid_host(url: str) -> bool:
    """Tell whether an absolute URL is http(s) with a host and a port that can be; a relative one need have none."""
    try:
        parts = urlsplit(url)
        if _SCHEME.match(url):
            return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        return not url.startswith("//") or bool(parts.hostname)
    except ValueError:  # an IPv6 address without its bracket, a port above 65535
        return False


def _landmark_id(text: str) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        return None
    number = int(text)
    return number if number <= _MAX_INT64 else None
