"""URLs, redirects, hosts and headers from strangers: parsed into what can be asked for safely, or refused."""

import socket

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from untrusted import some_thousand, ten_thousand, token_soup

from landmark_spark.core.addresses import is_forbidden_address, is_forbidden_host, is_loopback_host
from landmark_spark.core.opt_out import has_opted_out, product_names
from landmark_spark.core.records import resolve_url
from landmark_spark.core.urls import parse_http_url, parse_redirect
from landmark_spark.toy.server import serve_folder

URL_WORDS = (
    *(
        "http://",
        "http://",
        "https://",
        "HTTP://",
        "ftp://",
        "javascript:",
        "data:",
        "file:///",
        "//",
        "/",
        "/",
        "\\",
        "?",
    ),
    *(
        "#",
        "@",
        ":",
        ":80",
        ":0",
        ":99999",
        ":-1",
        ":",
        "[",
        "]",
        "[::1]",
        "[fe80::1%25eth0]",
        "[::ffff:127.0.0.1]",
        "%",
    ),
    *(
        "%00",
        "%0d%0a",
        "%2e%2e",
        "%zz",
        "..",
        "../..",
        ".",
        "h",
        "example.org",
        "localhost",
        "127.1",
        "0x7f000001",
        "017700000001",
    ),
    *(
        "2130706433",
        "a" * 64,
        "a." * 130,
        "xn--",
        "bücher",
        "下",
        "ß",
        "\u2024",
        "\u3002",
        "\uff41",
        "\x00",
        "\r\n",
        "\n",
        "\t",
        " ",
    ),
    *(
        "\ud800",
        "\x1b",
        "\x85",
        "\u2028",
        "u:p",
        "user%40:x",
        "=",
        "&",
        ";",
        "<script>",
        "'",
        '"',
        "_",
        "-",
        "~",
        "^",
        "{",
        "|",
    ),
)


def check_url(found):
    """Hold a parsed URL against what a request line and a Host header may hold."""
    if found is None:
        return
    assert found.scheme in ("http", "https")
    assert 0 < found.port < 65536
    assert found.host and found.host.isascii()
    assert found.target.startswith("/")
    for text in (found.host, found.target, found.authorization.removeprefix("Basic ")):
        assert text.isascii() and not any(letter <= " " or letter == "\x7f" for letter in text)
    assert parse_http_url(str(found)) is not None
    is_forbidden_host(found.host)
    is_loopback_host(found.host)


@ten_thousand
@given(token_soup(*URL_WORDS, max_size=10))
def test_any_text_is_a_url_that_can_be_asked_for_or_none(text):
    check_url(parse_http_url(text))
    check_url(parse_http_url("http://h" + text))


@ten_thousand
@given(token_soup(*URL_WORDS, max_size=8))
def test_any_location_is_a_url_that_can_be_asked_for_or_none(text):
    source = parse_http_url("http://u:p@h.example/a/b?c")
    found = parse_redirect(source, text.encode("utf-8", errors="replace").decode("latin-1"))
    check_url(found)
    if found is not None and found.origin != source.origin:
        assert found.authorization != source.authorization


@some_thousand
@given(st.text(alphabet="0123456789abcdefx.:%[]/ \x00²\ud800", max_size=30))
def test_any_text_is_asked_whether_it_is_an_address_without_an_error(text):
    assert is_forbidden_address(text) in (True, False)
    assert is_forbidden_host(text) in (True, False)
    assert is_loopback_host(text) in (True, False)


@some_thousand
@given(token_soup(*(each for each in URL_WORDS if each.isprintable() and " " not in each), max_size=8))
def test_a_relative_url_of_a_row_is_resolved_without_an_error(text):
    from landmark_spark.core.records import Row, parse_rows

    quoted = '"' + text.replace('"', '""') + '"'
    (found,) = parse_rows([b"id,url\n", f"a,{quoted}\n".encode()], with_landmark=False, allow_relative=True)
    if isinstance(found, Row):
        resolved = resolve_url(found.url, "http://h.example/images")
        assert resolved.lower().startswith(("http://", "https://")), resolved
        check_url(parse_http_url(resolved))


ROBOTS = (
    *(
        "noai",
        "noindex",
        "NOIMAGEAI",
        "none",
        "all",
        ",",
        ",",
        ":",
        ":",
        " ",
        "*",
        "photo-reader",
        "googlebot",
        "max-snippet",
    ),
    *(
        "unavailable_after",
        "25 Jun 2010 15:00:00 PST",
        "\t",
        "\x00",
        "é",
        "\xff",
        "1",
        "0",
        "=",
        ";",
        "/",
        "(",
        "\ud800",
    ),
)


@ten_thousand
@given(token_soup(*ROBOTS, max_size=16), token_soup(*ROBOTS, max_size=3))
def test_any_header_says_yes_or_no(robots, reservation):
    names = product_names("photo-reader/1.0 (http://x/y)")
    directives = frozenset({"noai", "noindex"})
    said = has_opted_out([robots], [reservation], directives=directives, names=names)
    assert said in (True, False)
    assert has_opted_out([robots], [reservation], directives=frozenset(), names=names) is False
    assert said == has_opted_out([robots, ""], [reservation], directives=directives, names=names)


@some_thousand
@given(token_soup(*ROBOTS, max_size=16))
def test_any_user_agent_has_names_in_lower_case(text):
    assert all(name and name == name.lower() and name.isascii() for name in product_names(text))


# serve_folder: what any client on this machine may ask for.

PATH_WORDS = (
    *(
        b"/",
        b"/",
        b"..",
        b"..",
        b".",
        b"%2e%2e",
        b"%2E.",
        b"%2f",
        b"%5c",
        b"\\",
        b"%00",
        b"%",
        b"%zz",
        b"a.txt",
        b"secret.txt",
    ),
    *(
        b"in",
        b"out",
        b"link",
        b"loop",
        b"~",
        b"?",
        b"#",
        b"//[",
        b"http://x",
        b"[",
        b"\xff",
        b"\xc3\xa9",
        b"%ff",
        b";",
        b":",
        b"x" * 300,
    ),
)


@pytest.fixture
def served(tmp_path):
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "a.txt").write_bytes(b"open")
    (root / "in" / "a.txt").write_bytes(b"open")
    (tmp_path / "secret.txt").write_bytes(b"SECRET")
    (root / "out").symlink_to(tmp_path)
    (root / "link").symlink_to("../secret.txt")
    (root / "loop").symlink_to("loop")
    with serve_folder(root) as url:
        yield url


def test_no_request_reads_a_file_outside_the_folder_and_each_has_an_answer(served, capfd):
    port = int(served.rstrip("/").rpartition(":")[2])
    statuses = set()
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers = connection.makefile("rb")

        @ten_thousand
        @given(token_soup(*PATH_WORDS, max_size=8))
        def check(path):
            connection.sendall(b"GET /" + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            status = int(answers.readline().split()[1])
            length = 0
            while (line := answers.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            body = answers.read(length)
            statuses.add(status)
            assert (status, body) in ((200, b"open"), (404, b"404 not found\n"))

        check()
    assert statuses == {200, 404}
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("target", ["//[", "//[x", "/%5b/..;/", "http://[/a.txt"])
def test_a_target_that_is_no_url_is_not_found(served, target):
    port = int(served.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert connection.makefile("rb").readline().split()[1] == b"404"


def test_a_file_that_may_not_be_read_is_answered(served, tmp_path, monkeypatch):
    from pathlib import Path

    real = Path.open

    def refuse(self, *arguments, **options):
        if self.name == "a.txt":
            raise PermissionError(13, "Permission denied")
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    assert requests.get(served + "a.txt", timeout=20).status_code == 404
