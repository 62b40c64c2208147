import time

import pytest
from urllib3.util import parse_url

from landmark_spark.core.urls import HttpUrl, parse_http_url, parse_redirect


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://photos.example/a.jpg", HttpUrl("http", "photos.example", 80, "/a.jpg")),
        (
            "https://photos.example:8443/a_b/%C3%9C.jpg?w=1&h=2",
            HttpUrl("https", "photos.example", 8443, "/a_b/%C3%9C.jpg?w=1&h=2"),
        ),
        ("HTTPS://Photos.Example", HttpUrl("https", "photos.example", 443, "/")),
        ("http://photos.example?x=1", HttpUrl("http", "photos.example", 80, "/?x=1")),
        ("http://h/a b/\u00fc.jpg#top", HttpUrl("http", "h", 80, "/a%20b/%C3%BC.jpg")),
        ("http://h/x/../y/./z", HttpUrl("http", "h", 80, "/y/z")),
        ("http://h/a..b/c.", HttpUrl("http", "h", 80, "/a..b/c.")),
        ("http://b\u00fccher.example/", HttpUrl("http", "xn--bcher-kva.example", 80, "/")),
        ("http://[2001:DB8::1]:81/", HttpUrl("http", "2001:db8::1", 81, "/")),
        ("http://h.example./", HttpUrl("http", "h.example.", 80, "/")),
        ("http://a\\@b/", HttpUrl("http", "a", 80, "/%5C@b/")),
        ("http://reader:s%40cret@h/", HttpUrl("http", "h", 80, "/", "Basic cmVhZGVyOnNAY3JldA==")),  # reader:s@cret
    ],
)
def test_a_url_is_taken_apart(url, expected):
    assert parse_http_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.jpg",
        "//h/a",
        "ftp://h/",
        "http:///a",
        "http:/a",
        "http://h:0/",
        "http://h:65536/",
        "http://[::1",
        "http://a..b/",
        "http://*.example/",
        "http://\udcff/",
        f"http://{'a' * 64}.invalid/",
        f"http://{'a.' * 127}aa/",
        "http://e x/",
        "http://\u2460/",
        "javascript:alert(1)",
        "http://",
    ],
)
def test_what_is_no_http_url_is_none(url):
    assert parse_http_url(url) is None


def test_a_url_is_told_without_what_is_secret():
    url = parse_http_url("http://reader:secret@h:8080/a?b=c#d")
    assert str(url) == "http://h:8080/a?b=c"
    assert "secret" not in repr(url) and url.authorization not in repr(url)
    assert str(parse_http_url("https://[::1]:443/")) == "https://[::1]/"


@pytest.mark.parametrize(
    "target", ["/a.jpg", "/a/b.c/d?e=f/g", "/a%20b", "/x/..", "/../x", "/./x", "/a/./b?c=d", "/~u/(1),;=@"]
)
def test_the_short_way_to_parse_agrees_with_the_long_one(target):
    parts = parse_url(f"http://h{target}")
    assert parse_http_url(f"http://h{target}").target == parts.request_uri


def test_no_url_takes_long_to_parse():
    started = time.process_time()
    for url in ("http://h/" + "./" * 2000 + "\u00e9", "http://" + "a." * 2000 + "/", "http://h/" + "%41" * 1300 + "%"):
        parse_http_url(url)
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/b.jpg", "http://h:8080/b.jpg"),
        ("b.jpg", "http://h:8080/x/b.jpg"),
        ("//other.example/b", "http://other.example/b"),
        ("https://other.example/b", "https://other.example/b"),
        (" ?q=1", "http://h:8080/x/a.jpg?q=1"),
        ("/\u00c3\u00bc", "http://h:8080/%C3%BC"),  # the bytes of an umlaut in UTF-8, as headers are read
        ("file:///etc/passwd", "None"),
        ("http://[broken", "None"),
    ],
)
def test_a_location_counts_from_where_it_was_given(location, expected):
    assert str(parse_redirect(parse_http_url("http://h:8080/x/a.jpg"), location)) == expected


def test_a_password_stays_within_its_origin():
    source = parse_http_url("http://reader:secret@h/a")
    assert parse_redirect(source, "/b").authorization == source.authorization
    assert parse_redirect(source, "http://h/b").authorization == source.authorization
    for elsewhere in ("https://h/b", "http://h:81/b", "http://other/b"):
        assert parse_redirect(source, elsewhere).authorization == ""
    assert parse_redirect(source, "http://u:p@h/").authorization == "Basic dTpw"
