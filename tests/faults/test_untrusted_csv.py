"""The challenge's csv files from strangers: every line is a row or a reject, whatever it holds, and none is lost."""

import gzip
import io
import itertools
import random
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from untrusted import damaged, is_one_line, some_thousand, ten_thousand, token_soup

from landmark_spark.config import load_config
from landmark_spark.core.lines import MAX_LINE_BYTES, bounded_lines
from landmark_spark.core.records import REASONS, HeaderError, Reject, Row, parse_names, parse_rows
from landmark_spark.schemas import NO_CLASS
from landmark_spark.settings import ConfigError
from landmark_spark.stages.index_images import _FileParser, check_headers
from landmark_spark.stages.input_files import input_lines

HEADERS = {True: b"id,url,landmark_id\n", False: b"id,url\n"}
WORDS = (
    *(b'"', b'""', b",", b",", b"\n", b"\n", b"\r\n", b"\r", b"\x00", b"\t", b" ", b"\x0b", b"\x0c", b"\x1b[2J"),
    *(b"id", b"url", b"landmark_id", b"a", b"b7", b"None", b"0", b"17", b"-1", b"+1", b"9223372036854775807"),
    *(b"9223372036854775808", b"1e400", b"nan", "²".encode(), "٣".encode(), b"99999999999999999999999999"),
    *(
        b"http://h/a.jpg",
        b"https://h:8/b?x=1#f",
        b"http://[",
        b"http://h:99999/",
        b"http://u:p@h/",
        b"//h/x",
        b"ftp://h",
    ),
    *(b"../../etc/passwd", b"file:///etc/passwd", b"javascript:alert(1)", b"<script>alert(1)</script>", b"=cmd()"),
    *(b"\xff", b"\xc3", b"\xe2\x80\xae", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc2\x85", b"\xe2\x80\xa8"),
    *("é".encode(), "下龙湾".encode(), "\U0001f3f0".encode(), b"x" * 201, b"y" * 4097, b"z" * 10_001),
)


def lines_of(data):
    """Yield the lines as the stage reads them."""
    return bounded_lines(io.BytesIO(data))


def check_rows(data, found, *, with_landmark, allow_relative):
    """Hold what came out against the contract: one result a line that is not blank, in order, each sound."""
    body = data.split(b"\n")[1:]
    assert [each.line_number for each in found] == [number for number, line in enumerate(body, 2) if line.strip()]
    for each in found:
        if isinstance(each, Reject):
            assert each.reason in REASONS
            assert len(each.line) <= 1000
            each.line.encode()
        else:
            assert each.url and each.url.isprintable() and " " not in each.url and len(each.url) <= 4096
            assert allow_relative or each.url.lower().startswith(("http://", "https://"))
            assert (each.landmark_id is not None) == with_landmark
            assert not with_landmark or 0 <= each.landmark_id < 2**63
        if each.id is not None:
            assert each.id and each.id.isprintable() and " " not in each.id and len(each.id) <= 200
            each.id.encode()


@ten_thousand
@given(body=token_soup(*WORDS, max_size=24), with_landmark=st.booleans(), allow_relative=st.booleans())
@example(body=b"a,http://h/,1\rb,http://h/,2\n", with_landmark=True, allow_relative=False)
@example(body=b'"' * 9999 + b"\n", with_landmark=False, allow_relative=True)
@example(body=b" " * 1_000_010 + b"x\n", with_landmark=False, allow_relative=True)
def test_each_line_below_a_header_is_a_row_or_a_reject(body, with_landmark, allow_relative):
    data = HEADERS[with_landmark] + body
    rows = parse_rows(lines_of(data), with_landmark=with_landmark, allow_relative=allow_relative)
    check_rows(data, list(rows), with_landmark=with_landmark, allow_relative=allow_relative)


@some_thousand
@given(header=token_soup(*WORDS, max_size=12), with_landmark=st.booleans())
def test_a_header_is_taken_or_refused_in_one_line(header, with_landmark):
    data = header + b"\na,http://h/,1\n"
    try:
        rows = parse_rows(lines_of(data), with_landmark=with_landmark, allow_relative=True, source="train.csv")
    except HeaderError as error:
        assert str(error).startswith("train.csv should have the columns id, url")
        assert is_one_line(error) and str(error).isprintable()
        return
    found = list(rows)
    assert len(found) == sum(1 for line in data.split(b"\n")[1:] if line.strip())


VALID = b"\xef\xbb\xbfid,url,landmark_id\r\n" + b"".join(
    b'%s,"http://h/%d.jpg",%d\r\n' % (name, number, number * 7)
    for number, name in enumerate([b"a", b'"b"', "ü".encode(), b"d" * 16])
)


def test_damaged_files_are_read_to_their_end_or_refused_by_their_header():
    texts = [VALID.decode("utf-8-sig").encode(each) for each in ("utf-16", "utf-32-be", "latin-1", "utf-8")]
    num_read = 0
    for data in damaged([VALID, VALID, VALID, *texts, VALID.replace(b"\r\n", b"\r")]):
        try:
            rows = parse_rows(lines_of(data), with_landmark=True, allow_relative=False)
        except HeaderError as error:
            assert is_one_line(error) and str(error).isprintable()
            continue
        check_rows(data, list(rows), with_landmark=True, allow_relative=False)
        num_read += 1
    assert 2000 < num_read < 10_000


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused_and_nothing_unprintable_is_quoted(encoding):
    with pytest.raises(HeaderError) as caught:
        parse_rows(lines_of(VALID.decode("utf-8-sig").encode(encoding)), with_landmark=True, allow_relative=False)
    assert str(caught.value).isprintable()


def test_what_a_header_makes_a_terminal_do_is_not_quoted():
    with pytest.raises(HeaderError, match="Received: id,\N{REPLACEMENT CHARACTER}\\[2Jurl"):
        parse_rows([b"id,\x1b[2Jurl\n"], with_landmark=False, allow_relative=False)


def test_a_line_too_long_to_be_read_whole_keeps_the_id_before_the_place_where_it_was_cut():
    lines = [b"id,url\n", b'"' + b"z" * 10_001, b'a,"' + b"z" * 10_001 + b'"', b"b," + b"z" * 10_001, b"z" * 10_001]
    found = list(parse_rows(lines, with_landmark=False, allow_relative=True))
    assert [(each.reason, each.id) for each in found] == [
        ("too_long", None),
        ("too_long", "a"),
        ("too_long", "b"),
        ("too_long", None),
    ]


def test_a_header_too_long_to_be_read_whole_is_refused():
    with pytest.raises(HeaderError, match="should have the columns id, url"):
        parse_rows([b"id,url," + b"x," * 5000 + b"y\n"], with_landmark=False, allow_relative=False)


@ten_thousand
@given(body=token_soup(*WORDS, b"7,Old Mill\n", b'8,"a ""b"""\n', max_size=20))
def test_each_line_of_landmarks_csv_gives_a_name_or_is_counted(body):
    names, num_malformed = parse_names(lines_of(b"landmark_id,name\n" + body))
    assert len(names) + num_malformed == sum(1 for line in body.split(b"\n") if line.strip())
    for landmark_id, name in names.items():
        assert 0 <= landmark_id < 2**63
        assert not any(letter < " " or "\x7f" <= letter <= "\x9f" for letter in name)
        name.encode()


def test_a_name_cannot_move_the_cursor_or_turn_the_text_and_keeps_its_joiners():
    text = "landmark_id,name\n7,\x1b[2JMill \u202egnirts\u2069\n8,\u0645\u06cc\u200c\u062e\u0648\n"
    assert parse_names(io.BytesIO(text.encode())) == (
        {7: "\ufffd[2JMill \ufffdgnirts\ufffd", 8: "\u0645\u06cc\u200c\u062e\u0648"},
        0,
    )


# How index_images reads: through fsspec, compressed or not, in bounded pieces.


def parsed_by_the_stage(path, *, with_landmark=True):
    parse = _FileParser(seed=0, allow_relative=False)
    return [
        row for batch in parse._parse_file("train" if with_landmark else "test", str(path)) for row in batch.to_pylist()
    ]


def test_the_stage_keeps_every_line_of_damaged_files(memory):
    path = memory / "train.csv"
    for data in damaged(VALID, count=1000):
        path.write_bytes(data)
        try:
            rows = parsed_by_the_stage(path)
        except HeaderError:
            continue
        assert len(rows) == sum(1 for line in data.split(b"\n")[1:] if line.strip())
        assert all((row["reason"] == "") == (row["landmark_id"] != NO_CLASS) for row in rows)


def test_damaged_gz_files_are_read_or_refused_by_the_name_of_their_setting(memory):
    path = memory / "train.csv.gz"
    valid = gzip.compress(VALID, mtime=0)
    num_refused = 0
    for data in damaged(valid, count=2000):
        path.write_bytes(data)
        try:
            parsed_by_the_stage(path)
        except HeaderError:
            continue
        except ConfigError as error:
            assert str(error).startswith(f"inputs.train_csv should be a readable csv file. Received: {path} (")
            assert is_one_line(error)
            num_refused += 1
    assert num_refused > 1000


@pytest.mark.parametrize("name", ["a.gz", "a.bz2", "a.xz", "a.zip"])
@pytest.mark.parametrize("setting", ["train_csv", "test_csv", "non_landmark_csv"])
def test_a_file_that_is_not_what_its_name_says_is_a_config_error(tmp_path, name, setting):
    sound = {"train_csv": b"id,url,landmark_id\n", "test_csv": b"id,url\n"}
    for each, data in sound.items():
        (tmp_path / f"{each}.csv").write_bytes(data)
    (tmp_path / name).write_bytes(b"id,url\na,http://h/\n")
    paths = {each: tmp_path / f"{each}.csv" for each in sound} | {setting: tmp_path / name}
    config = load_config(None, [f"store={tmp_path / 's'}", *(f"inputs.{key}={path}" for key, path in paths.items())])
    with pytest.raises(ConfigError, match=rf"inputs\.{setting} should be a readable csv file\. Received: "):
        check_headers(config)


class Endless(io.RawIOBase):
    """A file of one line without an end, of 300 MB, that notes the most it was asked for at once."""

    def __init__(self):
        self.left, self.most = 300_000_000, 0

    def read(self, size=-1):
        assert size >= 0, "asked for everything at once"
        self.most = max(self.most, size)
        given, self.left = min(size, self.left), self.left - min(size, self.left)
        return b"x" * given


def test_a_line_without_an_end_costs_a_million_bytes_and_no_more():
    file = Endless()
    (line,) = bounded_lines(file)
    assert file.left == 0
    assert len(line) == MAX_LINE_BYTES + 2
    assert file.most <= 1 << 16


def test_a_bomb_in_gz_is_one_reject(tmp_path):
    path = tmp_path / "train.csv.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"id,url,landmark_id\n")
        for _ in range(64):
            file.write(b"\x00" * (1 << 20))
        file.write(b"\na,http://h/,1\n")
    started = time.monotonic()
    rows = parsed_by_the_stage(path)
    assert [(row["line_number"], row["reason"]) for row in rows] == [(2, "too_long"), (3, "")]
    assert time.monotonic() - started < 60


def test_bounded_lines_are_those_of_the_file():
    chance = random.Random(0)
    pieces = (b"a", b"\n", b"\r\n", b"\r", b"", b" ", b"xyz" * 30_000)
    for _ in range(500):
        data = b"".join(chance.choices(pieces, k=chance.randrange(12)))
        assert list(bounded_lines(io.BytesIO(data))) == list(io.BytesIO(data))


@pytest.mark.parametrize("ending", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("extra", [-1, 0, 1, 2, 3, 70_000, 140_000])
def test_a_longer_line_stays_longer_and_the_next_one_whole(ending, extra):
    data = b"y" * (MAX_LINE_BYTES + extra) + ending + (b"next" if ending else b"")
    first, *rest = bounded_lines(io.BytesIO(data))
    assert (len(first.rstrip(b"\r\n")) > MAX_LINE_BYTES) == (extra > 0)
    assert rest == ([b"next"] if ending else [])


@pytest.mark.parametrize("blank", [b" ", b"\t", b"\x0c"])
def test_a_long_line_is_blank_only_where_the_whole_of_it_is(blank):
    (line,) = bounded_lines(io.BytesIO(blank * 1_200_000 + b"x"))
    assert line.strip()
    (line,) = bounded_lines(io.BytesIO(blank * 1_200_000))
    assert not line.strip()


def test_nothing_takes_longer_than_its_length_allows():
    # Backtracking in the expressions for fields and URLs would take minutes here.
    hard = [
        b'"' + b'""' * 4999,
        b'"a"' * 3333,
        b",".join([b'""'] * 3333),
        b"http://" + b"a." * 2000 + b"!",
        b"a" * 9999,
    ]
    hard += [b"x," + each for each in (b"http://" + b"-." * 2000, b"http://a" + b"%" * 4000, b"//" * 2000, b"/" * 4000)]
    started = time.monotonic()
    for line in itertools.islice(itertools.cycle(hard), 900):
        (found,) = parse_rows([b"id,url\n", line], with_landmark=False, allow_relative=True)
        assert isinstance(found, Row | Reject)
    assert time.monotonic() - started < 20


def test_lines_of_an_input_come_without_waiting_for_its_end(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"first\n" + random.Random(0).randbytes(400_000))[:-20])
    lines = input_lines("inputs.test_csv", str(path))
    assert next(lines) == b"first\n"
    with pytest.raises(ConfigError, match=r"inputs\.test_csv should be a readable csv file"):
        list(lines)
