"""Submissions and solutions from strangers: each is read in full, or refused by file, line and reason."""

import gzip
import io
import json
import math
import time

import pytest
from hypothesis import example, given
from untrusted import damaged, is_one_line, some_thousand, ten_thousand, token_soup

from landmark_spark.cli import main
from landmark_spark.config import load_config
from landmark_spark.core.lines import bounded_lines
from landmark_spark.core.metrics import evaluate
from landmark_spark.core.submission import FormatError, parse_solution, parse_submission
from landmark_spark.settings import ConfigError
from landmark_spark.stages.write_report import read_solution

WORDS = (
    *(b",", b",", b",", b" ", b" ", b"\n", b"\n", b"\r\n", b"\r", b'"', b'""', b"\x00", b"\t", b"\x0b", b"\xc2\xa0"),
    *(b"id", b"landmarks", b"a", b"b", b"c7", b"1", b"7 0.5", b"8 1e-3", b"9 -1", b"9223372036854775807 1"),
    *(b"9223372036854775808", b"1e400", b"-1e400", b"1e-400", b"nan", b"inf", b"-inf", b"+.5", b"0x1p3", b"1_0"),
    *("²".encode(), "٣".encode(), b"\xef\xbc\x91", b"9" * 5000, b"-0.0", b"+", b".", b"e5", b"\xff", b"\xed\xa0\x80"),
    *(b"\xef\xbb\xbf", b"\xff\xfe", b"\xe2\x80\xa8", b"\xc2\x85", b"x" * 300, b"=cmd()", b"<script>"),
)
BODIES = token_soup(*WORDS, max_size=24)
HEADER = b"id,landmarks\n"


def lines_of(data):
    return bounded_lines(io.BytesIO(data))


def submission_or_error(data):
    """Return the predictions, or None where the documented error was raised; hold either against its contract."""
    try:
        predictions = parse_submission(lines_of(data), source="s.csv")
    except FormatError as error:
        assert str(error).startswith("s.csv, line ") and "Received: " in str(error)
        assert is_one_line(error) and str(error).isprintable()
        return None
    for each in predictions:
        assert each.id and each.id.split() == [each.id]
        assert 0 <= each.landmark_id < 2**63
        assert math.isfinite(each.score)
    assert len({(each.id, each.landmark_id) for each in predictions}) == len(predictions)
    return predictions


def solution_or_error(data):
    try:
        solution = parse_solution(lines_of(data), source="s.csv")
    except FormatError as error:
        assert str(error).startswith("s.csv, line ") and "Received: " in str(error)
        assert is_one_line(error) and str(error).isprintable()
        return None
    assert len(solution) == sum(1 for line in data.split(b"\n")[1:] if line.strip())  # no row is lost
    assert all(0 <= landmark_id < 2**63 for found in solution.values() for landmark_id in found)
    return solution


@ten_thousand
@given(BODIES)
@example(b"a,1 0.5\rb,1 0.5\n")
def test_a_submission_is_read_or_refused(body):
    submission_or_error(HEADER + body)


@ten_thousand
@given(BODIES)
def test_a_solution_is_read_or_refused(body):
    solution_or_error(HEADER + body)


@some_thousand
@given(BODIES)
def test_any_header_is_read_or_refused(header):
    submission_or_error(header + b"\na,1 0.5\n")
    solution_or_error(header + b"\na,1\n")


VALID = b'id,landmarks\r\na,1 0.5 2 0.25\r\n"b",7 1e-3\r\n\xc3\xbc,\r\nd,"9223372036854775807 1"\r\n'
SOLUTION = b"id,landmarks,Usage\na,1 2,Public\nb,,Private\n\xc3\xbc,7,Public\nd,,\n"


def test_damaged_submissions_and_solutions_are_read_or_refused():
    num_read = sum(submission_or_error(data) is not None for data in damaged([VALID, VALID.replace(b"\r", b"")]))
    assert 1000 < num_read < 9000
    num_read = sum(solution_or_error(data) is not None for data in damaged(SOLUTION))
    assert 1000 < num_read < 9000


def test_what_was_read_can_be_measured():
    solution = parse_solution(lines_of(SOLUTION), source="s.csv")
    for data in damaged(VALID, seed=1, count=2000):
        predictions = submission_or_error(data)
        if predictions is not None:
            assert 0.0 <= evaluate(predictions, solution)["gap"] <= 1.0


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,9223372036854775808 0.5", "landmark_id should be an integer from 0 to 2"),
        ("a,-1 0.5", "landmark_id should be an integer"),
        ("a,1e3 0.5", "landmark_id should be an integer"),
        ("a,² 0.5", "landmark_id should be an integer"),
        ("a,1 nan", "confidence should be a finite number. Received: 'nan'"),
        ("a,1 inf", "confidence should be a finite number"),
        ("a,1 1e400", "confidence should be a finite number. Received: '1e400'"),
        ("a,1 1_0", "confidence should be a finite number"),
        ("a,1 0.5 1 0.5", "a landmark should stand once in a cell"),
        ("a,1 0.5\na,2 0.5", "id should be new; line 2 has it already"),
        ("a," + "1 0.5 " * 200_000, "the line should be at most 1000000 bytes"),
        ("a,1 0.5\rb,1 0.5", "the line should have 2 fields, not 3"),
        ('a,"1 0.5', "the line should be csv with closed quotes"),
    ],
)
def test_numbers_and_lines_out_of_range_are_said_so(row, message):
    with pytest.raises(FormatError) as caught:
        parse_submission(lines_of(HEADER + row.encode() + b"\n"), source="s.csv")
    assert message in str(caught.value)
    assert is_one_line(caught.value)


def test_a_negative_confidence_is_a_number_like_another():
    assert parse_submission([HEADER, b"a,1 -0.5\n"], source="s.csv")[0].score == -0.5


def test_cells_of_any_length_are_read_in_time():
    started = time.monotonic()
    cell = " ".join(f"{number} 0.5" for number in range(90_000))
    assert len(parse_submission(lines_of(HEADER + f"a,{cell}\n".encode()), source="s.csv")) == 90_000
    for hard in (
        b'"' + b'""' * 400_000,
        b"a," + b"9" * 900_000,
        b"a,1 " + b"1" * 900_000 + b"e",
        b"a" * 999_000 + b",",
    ):
        with pytest.raises(FormatError) if not hard.endswith(b",") else pytest.MonkeyPatch.context():
            parse_submission(lines_of(HEADER + hard + b"\n"), source="s.csv")
    assert time.monotonic() - started < 20


def test_the_run_reads_a_damaged_solution_or_names_its_setting(memory):
    path = memory / "solution.csv.gz"
    path.write_bytes(b"")
    config = load_config(None, [f"store={memory / 's'}", f"inputs.solution_csv={path}"])
    for data in damaged(gzip.compress(SOLUTION, mtime=0), count=1000):
        path.write_bytes(data)
        try:
            assert read_solution(config)
        except ConfigError as error:
            assert str(error).startswith("inputs.solution_csv should ")
            assert is_one_line(error)


@pytest.mark.parametrize("which", ["submission", "solution"])
def test_the_command_evaluate_ends_in_one_line_whatever_the_files_hold(memory, capsys, which):
    files = {"submission": VALID, "solution": SOLUTION}
    paths = {name: memory / f"{name}.csv.gz" for name in files}
    for name, data in files.items():
        paths[name].write_bytes(gzip.compress(data, mtime=0))
    valid = gzip.compress(files[which], mtime=0)
    statuses = set()
    for data in damaged(valid, count=500):
        paths[which].write_bytes(data)
        statuses.add(main(["evaluate", str(paths["submission"]), str(paths["solution"])]))
        printed = capsys.readouterr()
        assert len((printed.out or printed.err).splitlines()) == 1
        assert json.loads(printed.out) if printed.out else printed.err.startswith("error: ")
    assert statuses == {0, 2}
