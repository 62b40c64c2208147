"""Submissions and solutions as csv: what is read, what is refused and how, what is written."""

from __future__ import annotations

import gzip
import math
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landmark_spark.core.metrics import Prediction
from landmark_spark.core.submission import FormatError, format_cell, format_rows, parse_solution, parse_submission

PUBLISHED = Path(__file__).parents[2].parent / "shared" / "data" / "kaggle_2018" / "submission_lb_0.084.csv.gz"


def _submission(text: str) -> list[Prediction]:
    return parse_submission(text.encode().splitlines(keepends=True), source="given.csv")


def _solution(text: str) -> dict[str, frozenset[int]]:
    return parse_solution(text.encode().splitlines(keepends=True), source="given.csv")


def test_submission_gives_one_prediction_a_pair_in_the_order_of_the_file():
    text = "id,landmarks\nb,8815 0.03\na,\nc,1 1e-3 2 -4\n"
    assert _submission(text) == [("b", 8815, 0.03), ("c", 1, 0.001), ("c", 2, -4.0)]


def test_solution_gives_an_empty_set_where_no_landmark_is_shown():
    assert _solution("id,landmarks\na,\nb,7\nc,5 6\n") == {"a": frozenset(), "b": {7}, "c": {5, 6}}


def test_usage_column_and_other_orders_of_columns_are_read_by_header():
    assert _solution("id,landmarks,Usage\na,7,Public\nb,,Private\n") == {"a": {7}, "b": frozenset()}
    assert _submission("Usage,landmarks,id\nPublic,7 0.5,a\n") == [("a", 7, 0.5)]


def test_byte_order_mark_windows_line_ends_quotes_and_blank_lines_are_accepted():
    assert _submission('\ufeffid,landmarks\r\n"a","7 0.5"\r\n\r\nb,\r\n   \r\n"c","8  1"') == [
        ("a", 7, 0.5),
        ("c", 8, 1),
    ]


def test_header_alone_is_an_empty_file():
    assert _submission("id,landmarks\n") == []
    assert _solution("id,landmarks") == {}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,1 0.5 2", "landmarks should be pairs of landmark_id and confidence. Received: '1 0.5 2'"),
        ("a,x 0.5", "landmark_id should be an integer from 0 to 2**63 - 1. Received: 'x'"),
        ("a,1.0 0.5", "landmark_id should be an integer from 0 to 2**63 - 1. Received: '1.0'"),
        ("a,-1 0.5", "landmark_id should be an integer from 0 to 2**63 - 1. Received: '-1'"),
        ("a,٣ 0.5", "landmark_id should be an integer from 0 to 2**63 - 1. Received: '٣'"),
        ("a,9223372036854775808 0.5", "landmark_id should be an integer from 0 to 2**63 - 1. Received: '9223372036854"),
        ("a,1 nan", "confidence should be a finite number. Received: 'nan'"),
        ("a,1 inf", "confidence should be a finite number. Received: 'inf'"),
        ("a,1 1e999", "confidence should be a finite number. Received: '1e999'"),
        ("a,1 1_0", "confidence should be a finite number. Received: '1_0'"),
        ("a,1 0.5 1 0.4", "a landmark should stand once in a cell. Received: '1 0.5 1 0.4'"),
        ("a,1 0.5 01 0.4", "a landmark should stand once in a cell. Received: '1 0.5 01 0.4'"),
        ("a", "the line should have 2 fields, not 1. Received: 'a'"),
        ("a,1 0.5,2", "the line should have 2 fields, not 3. Received: 'a,1 0.5,2'"),
        (",1 0.5", "id should be a word without spaces. Received: ''"),
        ("a b,1 0.5", "id should be a word without spaces. Received: 'a b'"),
        ("first,1 0.5", "id should be new; line 2 has it already. Received: 'first'"),
        ('a,"1 0.5', "the line should be csv with closed quotes"),
        ("a," + 300 * "1", "landmarks should be pairs of landmark_id and confidence. Received: '" + 100 * "1" + "...'"),
    ],
)
def test_faulty_row_is_refused_with_source_line_and_reason(row, message):
    with pytest.raises(FormatError) as error:
        _submission(f"id,landmarks\nfirst,\n{row}\nlast,\n")
    assert str(error.value).startswith(f"given.csv, line 3: {message}")


def test_solution_refuses_its_own_faults():
    for row, message in [
        ("a,7 7", "a landmark should stand once in a cell"),
        ("a,7 0.5", "landmark_id should be an integer"),
    ]:
        with pytest.raises(FormatError, match=f"given.csv, line 2: {message}"):
            _solution(f"id,landmarks\n{row}\n")


@pytest.mark.parametrize(
    "header", ["", "\n", "id\n", "image,landmarks\n", "id,landmarks,id\n", "a,7 0.5\n", "id;landmarks\n"]
)
def test_file_without_the_header_is_refused(header):
    with pytest.raises(FormatError, match=r"given\.csv, line 1: the header should have the columns id and landmarks"):
        _submission(header + "b,7 0.5\n" if header else "")


@pytest.mark.parametrize("lines", [[b"id,landmarks\n", b"\xff,\n"], ["id,landmarks\n".encode("utf-16")]])
def test_file_that_is_not_utf8_is_refused(lines):
    with pytest.raises(FormatError, match=r"given\.csv, line \d: the line should be UTF-8"):
        parse_submission(lines, source="given.csv")


_TEXTS = st.text(alphabet="id,landmrks\"'0123456789 .-+enaxf\t\r\ufeff\x00é", max_size=40)
_LINES = st.lists(st.one_of(st.binary(max_size=30), _TEXTS.map(str.encode), st.just(b"a,7 0.5\n")), max_size=6)


@settings(max_examples=400, deadline=None)
@given(lines=_LINES, with_header=st.booleans())
def test_whatever_the_bytes_only_a_format_error_comes_out(lines, with_header):
    for parse in (parse_submission, parse_solution):
        try:
            parsed = parse([b"id,landmarks\n", *lines] if with_header else lines, source="fuzz")
        except FormatError as error:
            assert str(error).startswith("fuzz, line ")
        else:
            assert all(math.isfinite(each.score) for each in parsed if isinstance(each, Prediction))


def test_cell_reads_as_landmark_and_confidence():
    assert format_cell(8815, 0.03) == "8815 0.03"
    assert format_cell(0, 1) == "0 1.0"


@settings(max_examples=300, deadline=None)
@given(score=st.floats(allow_nan=False, allow_infinity=False), landmark_id=st.integers(0, 2**63 - 1))
def test_written_prediction_reads_back_to_the_last_bit(score, landmark_id):
    lines = [line.encode() for line in format_rows([("a", format_cell(landmark_id, score))])]
    ((image_id, read_landmark_id, read_score),) = parse_submission(lines, source="written")
    assert (image_id, read_landmark_id) == ("a", landmark_id)
    assert struct.pack("<d", read_score) == struct.pack("<d", score)


def test_neighbouring_float32_scores_stay_apart():
    # 0.99999994 is the float32 below 1: six decimals would make a tie of the two.
    assert format_cell(1, 1.0 - 2.0**-24) == "1 0.9999999403953552"


@pytest.mark.parametrize(("landmark_id", "score"), [(-1, 0.5), (2**63, 0.5), (1, math.nan), (1, math.inf)])
def test_cell_out_of_range_is_refused(landmark_id, score):
    with pytest.raises(ValueError, match="should be"):
        format_cell(landmark_id, score)


def test_rows_are_written_with_header_and_quoted_where_they_must_be():
    rows = [("a", "7 0.5"), ("b", ""), ('c,"d"', "8 1.0")]
    assert list(format_rows(rows)) == ["id,landmarks\n", "a,7 0.5\n", "b,\n", '"c,""d""",8 1.0\n']
    assert list(format_rows([])) == ["id,landmarks\n"]


@pytest.mark.photos
def test_published_submission_of_the_whole_challenge_is_read():
    if not PUBLISHED.exists():
        pytest.skip(f"{PUBLISHED} is not there")
    with gzip.open(PUBLISHED) as file:
        lines = list(file)
    predictions = parse_submission(lines, source=PUBLISHED.name)
    assert len(lines) == 117_704  # the header and every test id of the challenge
    assert len(predictions) == sum(1 for line in lines[1:] if not line.rstrip().endswith(b","))
    assert predictions[0] == ("0001623c6d808702", 396, 0.637822)
    written = list(format_rows((each.id, format_cell(each.landmark_id, each.score)) for each in predictions))
    assert parse_submission([line.encode() for line in written], source="written") == predictions
