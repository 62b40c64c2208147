import os

import pytest

from landmark_spark.core.photo_names import file_name, photo_name, shortened, telling_name, without_password


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/a/Old%20Mill%20(2).jpg?size=2#top", "Old Mill (2).jpg"),
        ("photos/Schlo%C3%9F/%231.jpg", "#1.jpg"),
        ("https://h/a/", "a"),
        ("https://me:secret@h", ""),
        ("https://me:secret@h/", ""),
        ("x%FF.jpg", "x\N{REPLACEMENT CHARACTER}.jpg"),
        ("a%0Ab%1B%E2%80%AE.jpg", "a\N{REPLACEMENT CHARACTER}b" + 2 * "\N{REPLACEMENT CHARACTER}" + ".jpg"),
        ("", ""),
    ],
)
def test_a_photo_is_called_by_the_last_part_of_its_url(url, name):
    assert photo_name(url) == name


def test_a_name_is_told_where_it_says_more_than_the_id():
    assert telling_name("unknown/Mill%201.jpg", "4f2a") == "Mill 1.jpg"
    assert telling_name("https://h/images/4f2a.jpg", "4f2a") == ""
    assert telling_name("https://h/images/4f2a", "4f2a") == ""
    assert telling_name("https://h/", "4f2a") == ""


def test_a_long_name_keeps_its_beginning_and_its_end():
    assert shortened("x" * 40) == "x" * 40
    assert photo_name("a" * 50 + "_000123.jpeg") == "a" * 27 + "…" + "_000123.jpeg"  # 27 + 1 + 12 = 40
    assert shortened("abcdefghijklmnopqrst", 16) == "abc…ijklmnopqrst"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://h/Old%20Mill%20%C3%9F.jpg?x=/y", "Old Mill ß.jpg"),
        ("https://h/..%2F..%2Fetc%2Fpasswd", "_.._etc_passwd"),
        ("https://h/%2e%2e", ""),
        ("https://h/.hidden", "hidden"),
        ("https://h/a%00b%0A%5C%3A*%22.png", "a_b____" + "_.png"),
        ("https://h/", ""),
        ("https://h/%ED%A0%80.png", "\N{REPLACEMENT CHARACTER}" * 3 + ".png"),
    ],
)
def test_the_name_of_a_file_is_one_that_any_file_system_takes(url, name):
    assert file_name(url) == name


def test_the_name_of_a_file_leaves_room_for_a_word(tmp_path):
    name = file_name("https://h/" + "%C3%9F" * 200)
    assert len(name.encode()) == 150  # 75 letters of two bytes
    (tmp_path / f"{name}_matches.png").write_bytes(b"")
    assert file_name("https://h/x\udcff.jpg").isprintable()
    assert os.sep not in file_name("https://h/%2F")


def test_a_url_is_told_without_user_name_and_password():
    assert without_password("https://me:s@cret@h:8/a@b.jpg") == "https://h:8/a@b.jpg"
    assert without_password("photos/me@home.jpg") == "photos/me@home.jpg"
