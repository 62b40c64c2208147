import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landmark_spark.core.records import (
    REASONS,
    HeaderError,
    Reject,
    Row,
    hash_fraction,
    parse_names,
    parse_rows,
    resolve_url,
    shard_of,
)

HEADER = b"id,url,landmark_id\n"
SHARED = Path(__file__).parents[3] / "shared" / "data"


def parse(data: bytes, *, with_landmark: bool = True, allow_relative: bool = False) -> list[Row | Reject]:
    return list(parse_rows(io.BytesIO(data), with_landmark=with_landmark, allow_relative=allow_relative))


def reason_of(line: bytes, **options: bool) -> str:
    (found,) = parse(HEADER + line, **options)
    return found.reason if isinstance(found, Reject) else "a row"


def test_quoted_and_unquoted_lines_give_the_same_rows():
    quoted = b'"id","url","landmark_id"\r\n"85107e96e9ab5e7e","https://lh6.googleusercontent.com/s1600/",205\r\n'
    plain = b"id,url,landmark_id\n85107e96e9ab5e7e,https://lh6.googleusercontent.com/s1600/,205"
    expected = [Row(2, "85107e96e9ab5e7e", "https://lh6.googleusercontent.com/s1600/", 205)]
    assert parse(quoted) == expected
    assert parse(plain) == expected


def test_byte_order_mark_column_order_and_further_columns_are_accepted():
    data = b"\xef\xbb\xbflandmark_id,note,url,id\n7,anything,http://h/a.jpg,x\n"
    assert parse(data) == [Row(2, "x", "http://h/a.jpg", 7)]


def test_a_test_file_needs_no_landmark_and_ignores_one():
    assert parse(b"id,url\nx,http://h/a.jpg\n", with_landmark=False) == [Row(2, "x", "http://h/a.jpg", None)]
    assert parse(HEADER + b"x,http://h/a.jpg,None\n", with_landmark=False) == [Row(2, "x", "http://h/a.jpg", None)]


def test_an_unclosed_quote_damages_its_own_line_only():
    data = HEADER + b'a,"http://h/a.jpg,1\nb,http://h/b.jpg,2\nc,"http://h/c.jpg",3\n'
    first, *others = parse(data)
    assert first == Reject(2, "a", "bad_quoting", 'a,"http://h/a.jpg,1')
    assert others == [Row(3, "b", "http://h/b.jpg", 2), Row(4, "c", "http://h/c.jpg", 3)]


def test_quotes_shield_commas_and_doubled_quotes_are_one():
    (row,) = parse(b'id,url,landmark_id\nx,"http://h/a,""b"".jpg",4\n')
    assert row == Row(2, "x", 'http://h/a,"b".jpg', 4)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b",http://h/a,1", "missing_id"),
        (b'"",http://h/a,1', "missing_id"),
        (b"a b,http://h/a,1", "bad_id"),
        (b"a\x00b,http://h/a,1", "bad_id"),
        ("a\u00a0b,http://h/a,1".encode(), "bad_id"),
        (b"i" * 201 + b",http://h/a,1", "bad_id"),
        (b"i" * 200 + b",http://h/a,1", "a row"),
        (b"x,,1", "empty_url"),
        (b"x,None,None", "empty_url"),
        (b"x,ftp://h/a,1", "bad_url"),
        (b"x,file:///etc/passwd,1", "bad_url"),
        (b"x,http://,1", "bad_url"),
        (b"x,http:///a.jpg,1", "bad_url"),
        (b"x,http://[::1/a.jpg,1", "bad_url"),
        (b"x,http://h:99999/a.jpg,1", "bad_url"),
        (b"x,http://[::1]:80/a.jpg,1", "a row"),
        (b"x,http://127.0.0.1:8000/a.jpg,1", "a row"),
        ("x,http://h/Münster.jpg,1".encode(), "a row"),
        (b"x,http://h/a b.jpg,1", "bad_url"),
        (b"x,http://h/a\x00.jpg,1", "bad_url"),
        (b"x,images/a.jpg,1", "relative_url"),
        (b"x,/a.jpg,1", "relative_url"),
        (b"x,//,1", "bad_url"),
        (b"x,http://h/a,", "bad_landmark_id"),
        (b"x,http://h/a,None", "bad_landmark_id"),
        (b"x,http://h/a,12.0", "bad_landmark_id"),
        (b"x,http://h/a,-1", "bad_landmark_id"),
        (b"x,http://h/a,+1", "bad_landmark_id"),
        (b"x,http://h/a,1_0", "bad_landmark_id"),
        (b"x,http://h/a, 1", "bad_landmark_id"),
        ("x,http://h/a,\uff11\uff12".encode(), "bad_landmark_id"),  # full-width digits, which int() takes
        ("x,http://h/a,²".encode(), "bad_landmark_id"),
        (b"x,http://h/a,9223372036854775808", "bad_landmark_id"),  # 2**63
        (b"x,http://h/a,9223372036854775807", "a row"),
        (b"x,http://h/a," + b"0" * 5000, "bad_landmark_id"),
        (b"x,http://h/a", "wrong_number_of_fields"),
        (b"x,http://h/a,1,2", "wrong_number_of_fields"),
        (b'x,"http://h/a"b,1', "bad_quoting"),
        (b'x,http://h/"a,1', "bad_quoting"),
        (b"x,http://h/\xff,1", "not_utf8"),
        (b"x,http://h/a,1" + b"0" * 10_000, "too_long"),
    ],
)
def test_each_fault_has_its_reason(line, reason):
    assert reason_of(line) == reason


def test_a_url_of_4096_characters_is_the_longest():
    start = b"http://h/"
    assert reason_of(b"x," + start + b"u" * (4096 - len(start)) + b",1") == "a row"
    assert reason_of(b"x," + start + b"u" * (4097 - len(start)) + b",1") == "bad_url"


def test_relative_urls_pass_where_a_base_is_configured():
    assert reason_of(b"x,images/a.jpg,1", allow_relative=True) == "a row"
    assert reason_of(b"x,None,1", allow_relative=True) == "empty_url"
    assert reason_of(b"x,ftp://h/a.jpg,1", allow_relative=True) == "bad_url"


def test_a_reject_keeps_a_valid_id_and_1000_characters_of_the_line():
    (broken,) = parse(HEADER + b"x,http://h/\xff" + b"u" * 2000 + b",1\n")
    assert broken.id == "x"
    assert broken.line.startswith("x,http://h/\ufffduuu")
    assert len(broken.line) == 1000
    assert parse(HEADER + b"a\xff,http://h/a,1\n")[0].id is None
    assert parse(HEADER + b"x,http://h/" + b"u" * 20_000 + b",1\n")[0] == Reject(
        2, "x", "too_long", "x,http://h/" + "u" * 989
    )


def test_an_id_is_not_taken_from_a_shifted_or_cut_column():
    assert parse(b"url,id,landmark_id\nhttp://h/a,b.jpg,x,1\n")[0].id is None
    assert parse(b"landmark_id,url,id\n1," + b"u" * 9990 + b",abcdefghijklmnop\n")[0].id is None


def test_blank_lines_are_skipped_and_counted():
    assert parse(HEADER + b"\n  \t\r\nx,http://h/a,1\n\n\n") == [Row(4, "x", "http://h/a", 1)]


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"a,b\n", b"id,url\n", b"id,id,url,landmark_id\n", b'"id,url,landmark_id\n', b"\xff\xfei\x00d\x00"],
)
def test_a_wrong_header_is_refused_at_the_call(data):
    with pytest.raises(HeaderError, match=r"train\.csv should have the columns id, url, landmark_id\. Received: "):
        parse_rows(io.BytesIO(data), with_landmark=True, allow_relative=False, source="train.csv")


LINE_PARTS = st.lists(
    st.sampled_from([b'"', b'""', b",", b"x", b"http://h/a", b"12", b"\x00", b"\xff", b"\xef\xbb\xbf", b" ", b"\r"])
    | st.binary(max_size=6),
    max_size=12,
)


@settings(max_examples=400, deadline=None)
@given(lines=st.lists(LINE_PARTS, max_size=8), allow_relative=st.booleans(), with_landmark=st.booleans())
def test_every_line_that_is_not_blank_ends_as_one_row_or_reject(lines, allow_relative, with_landmark):
    body = b"\n".join(b"".join(parts) for parts in lines)
    found = parse(HEADER + body, with_landmark=with_landmark, allow_relative=allow_relative)
    expected = [number for number, line in enumerate(body.split(b"\n"), start=2) if line.strip()]
    assert [each.line_number for each in found] == expected
    for each in found:
        if isinstance(each, Reject):
            assert each.reason in REASONS and len(each.line) <= 1000
            each.line.encode()  # what goes into a table has to be text
        else:
            assert each.id and each.url and (each.landmark_id is None) is not with_landmark


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=80))
def test_any_first_line_is_a_header_or_a_header_error(data):
    try:
        found = parse(data, with_landmark=False)
    except HeaderError as error:
        assert "should have the columns id, url" in str(error)
    else:
        assert len(found) <= data.count(b"\n")


def test_the_published_rows_parse_without_a_reject():
    path = SHARED / "kaggle_2018" / "train_rows.csv"
    if not path.is_file():
        pytest.skip("the challenge's rows are not beside the project")
    with path.open("rb") as lines:
        rows = list(parse_rows(lines, with_landmark=True, allow_relative=False))
    assert len(rows) == 1490  # wc -l says 1491 with the header
    assert all(isinstance(row, Row) for row in rows)
    assert rows[0].id == "85107e96e9ab5e7e" and rows[0].landmark_id == 205


def test_names_are_read_and_malformed_lines_counted():
    data = b'landmark_id,name,train_images\n5,"Berlin, Dom",8\nx,nowhere,1\n7,Zoo\n5,again,1\n9,,2\n'
    assert parse_names(io.BytesIO(data)) == ({5: "Berlin, Dom", 9: ""}, 3)
    with pytest.raises(HeaderError, match=r"landmarks\.csv should have the columns landmark_id, name"):
        parse_names([])


def test_the_shard_is_the_checksum_that_gzip_writes():
    # CRC-32 of "123456789" is 0xCBF43926 = 3421780262, the check value of its definition
    assert shard_of("123456789", 2**32) == 3421780262
    assert shard_of("123456789", 8) == 6
    with pytest.raises(ValueError, match=r"at least 1\. Received: 0"):
        shard_of("x", 0)


def test_hash_fractions_are_what_sha256sum_gives():
    # printf holdout:0:85107e96e9ab5e7e | sha256sum
    assert hash_fraction("85107e96e9ab5e7e", seed=0, purpose="holdout") == int("575e60", 16) / 2**24
    assert hash_fraction("abc", seed=7, purpose="reference") == int("6b8a56", 16) / 2**24


def test_hash_fractions_survive_float32_and_spread_evenly():
    draws = np.array([hash_fraction(f"{number:016x}", seed=0, purpose="holdout") for number in range(2000)])
    assert np.array_equal(draws.astype(np.float32).astype(np.float64), draws)
    assert draws.min() >= 0 and draws.max() < 1
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    # chi-square with 9 degrees of freedom is below 27.9 in 99.9 % of cases
    assert ((counts - 200) ** 2 / 200).sum() < 27.9


@pytest.mark.parametrize(
    ("url", "base", "resolved"),
    [
        ("images/a.jpg", "http://h:8000/data", "http://h:8000/data/images/a.jpg"),
        ("images/a.jpg", "http://h:8000/data/", "http://h:8000/data/images/a.jpg"),
        ("images/a.jpg", "http://h", "http://h/images/a.jpg"),
        ("../a.jpg", "http://h/data/x", "http://h/data/a.jpg"),
        ("/a.jpg", "http://h/data", "http://h/a.jpg"),
        ("a.jpg?w=1", "https://h/data?token=1", "https://h/data/a.jpg?w=1"),
        ("http://other/a.jpg", "http://h/data", "http://other/a.jpg"),
        ("HTTP://Other/./a.jpg", "http://h/data", "HTTP://Other/./a.jpg"),
        ("images/a.jpg", "", "images/a.jpg"),
    ],
)
def test_relative_urls_resolve_against_the_base_as_a_folder(url, base, resolved):
    assert resolve_url(url, base) == resolved
