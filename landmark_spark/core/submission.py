"""Reads and writes submissions and solutions in the challenge's csv form: ``id,landmarks``.

A cell of a submission is empty or holds pairs ``landmark_id confidence``; a cell of a solution is empty or holds
landmark ids; all are separated by spaces. One physical line is one row, as in ``records``.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Iterator

from landmark_spark.core.lines import MAX_LINE_BYTES
from landmark_spark.core.metrics import Prediction

__all__ = ["FormatError", "format_cell", "format_rows", "parse_answers", "parse_solution", "parse_submission"]

_COLUMNS = ("id", "landmarks")
_MAX_INT64 = 2**63 - 1
_MAX_SHOWN = 100
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SPECIAL = re.compile(r'[,"\r\n]')


class FormatError(ValueError):
    """A file that is not in the challenge's form; the message names file, line, what was wanted and what was found."""


def parse_submission(lines: Iterable[bytes], *, source: str) -> list[Prediction]:
    """Parse a submission: its predictions in the order of the file; an image with an empty cell gives none.

    A UTF-8 byte order mark, CRLF, quotes, blank lines, any order of columns and further columns are accepted.

    Args:
        lines: the file's lines as a file opened with "rb" gives them; the first is the header.
        source: name of the file, for messages.

    Raises:
        FormatError: anything else is wrong with the file, a repeated id included.
    """
    predictions: list[Prediction] = []
    for place, image_id, cell in _parse_rows(lines, source):
        words = cell.split()
        if len(words) % 2:
            raise _fault(place, "landmarks should be pairs of landmark_id and confidence", cell)
        landmark_ids = _landmark_ids(place, words[::2], cell)
        scores = [_score(place, word) for word in words[1::2]]
        predictions += [Prediction(image_id, *pair) for pair in zip(landmark_ids, scores, strict=True)]
    return predictions


def parse_solution(lines: Iterable[bytes], *, source: str) -> dict[str, frozenset[int]]:
    """Parse a solution: the landmarks of each image in the order of the file, an empty set where it shows none.

    Accepts and raises as ``parse_submission`` does. The column Usage of the challenge's files is ignored as any other.
    """
    return {
        image_id: frozenset(_landmark_ids(place, cell.split(), cell))
        for place, image_id, cell in _parse_rows(lines, source)
    }


def parse_answers(lines: Iterable[bytes], *, source: str) -> Iterator[tuple[str, bool]]:
    """Yield each row of a submission, in the order of the file: the id, and whether its cell says anything.

    Raises FormatError as ``parse_submission`` does.
    """
    for place, image_id, cell in _parse_rows(lines, source):
        words = cell.split()
        if len(words) % 2:
            raise _fault(place, "landmarks should be pairs of landmark_id and confidence", cell)
        _landmark_ids(place, words[::2], cell)
        for word in words[1::2]:
            _score(place, word)
        yield image_id, bool(words)


def format_cell(landmark_id: int, score: float) -> str:
    """Return the cell ``landmark_id confidence`` of one prediction.

    The confidence is the shortest decimal that reads back as the same float64 (Python's ``repr``, up to 17 significant
    digits): neither the ranking nor a tie is changed by writing it.

    Raises:
        ValueError: the landmark is negative or beyond 64 bits, or the score is not finite.
    """
    if not 0 <= landmark_id <= _MAX_INT64:
        raise ValueError(f"landmark_id should be from 0 to 2**63 - 1. Received: {landmark_id}")
    if not math.isfinite(score):
        raise ValueError(f"score should be finite. Received: {score}")
    return f"{int(landmark_id)} {float(score)!r}"


def format_rows(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    r"""Yield the lines of the csv file, header first, each ending in ``\n``; fields are quoted where they need it."""
    yield ",".join(_COLUMNS) + "\n"
    for image_id, cell in rows:
        yield f"{_quoted(image_id)},{_quoted(cell)}\n"


def _quoted(field: str) -> str:
    if not _SPECIAL.search(field):
        return field
    return '"' + field.replace('"', '""') + '"'


def _parse_rows(lines: Iterable[bytes], source: str) -> Iterator[tuple[str, str, str]]:
    """Yield (place for messages, id, cell of landmarks) of every row."""
    iterator = iter(lines)
    num_fields, id_position, cell_position = _read_header(next(iterator, b""), f"{source}, line 1")
    first_lines: dict[str, int] = {}
    for line_number, line in enumerate(iterator, start=2):
        if not line.strip():
            continue
        place = f"{source}, line {line_number}"
        fields = _split(line, place)
        if len(fields) != num_fields:
            raise _fault(place, f"the line should have {num_fields} fields, not {len(fields)}", ",".join(fields))
        image_id = fields[id_position]
        if not image_id or image_id.split() != [image_id]:
            raise _fault(place, "id should be a word without spaces", image_id)
        if image_id in first_lines:
            raise _fault(place, f"id should be new; line {first_lines[image_id]} has it already", image_id)
        first_lines[image_id] = line_number
        yield place, image_id, fields[cell_position]


def _read_header(line: bytes, place: str) -> tuple[int, int, int]:
    """Return the number of fields and the positions of id and landmarks."""
    columns = [column.strip() for column in _split(line.removeprefix(b"\xef\xbb\xbf"), place)]
    if any(columns.count(name) != 1 for name in _COLUMNS):
        raise _fault(place, "the header should have the columns id and landmarks, once each", ",".join(columns))
    id_position, cell_position = map(columns.index, _COLUMNS)
    return len(columns), id_position, cell_position


def _split(line: bytes, place: str) -> list[str]:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if len(line) > MAX_LINE_BYTES:
        raise _fault(place, f"the line should be at most {MAX_LINE_BYTES} bytes", line[:200].decode(errors="replace"))
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise _fault(place, "the line should be UTF-8", line.decode(errors="replace")) from error
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True), [])
    except csv.Error as error:  # also a field longer than csv.field_size_limit()
        raise _fault(place, f"the line should be csv with closed quotes ({error})", text) from error


def _landmark_ids(place: str, words: list[str], cell: str) -> list[int]:
    landmark_ids = [_landmark_id(place, word) for word in words]
    if len(set(landmark_ids)) != len(landmark_ids):
        raise _fault(place, "a landmark should stand once in a cell", cell)
    return landmark_ids


def _landmark_id(place: str, word: str) -> int:
    is_number = word.isascii() and word.isdigit() and len(word) <= 19
    if not is_number or int(word) > _MAX_INT64:
        raise _fault(place, "landmark_id should be an integer from 0 to 2**63 - 1", word)
    return int(word)


def _score(place: str, word: str) -> float:
    score = float(word) if _NUMBER.fullmatch(word) else math.nan
    if not math.isfinite(score):
        raise _fault(place, "confidence should be a finite number", word)
    return score


def _fault(place: str, wanted: str, received: str) -> FormatError:
    shown = received if len(received) <= _MAX_SHOWN else received[:_MAX_SHOWN] + "..."
    return FormatError(f"{place}: {wanted}. Received: {shown!r}")
