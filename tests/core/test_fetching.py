import gzip
import socket
import threading
import time
from pathlib import Path

import pytest
from misbehaving_site import BODY

from landmark_spark.core.attempts import Requester
from landmark_spark.core.deadlines import Deadline
from landmark_spark.core.fetching import Fetched, FetchLimits, load_fetcher
from landmark_spark.core.urls import parse_http_url

pytestmark = pytest.mark.usefixtures("no_proxies", "short_pauses")


@pytest.fixture
def short_pauses(monkeypatch):
    """Between attempts; how long they are in truth test_fetch_deadlines and test_fetch_pool show."""
    monkeypatch.setattr("landmark_spark.core.fetching._FIRST_PAUSE", 0.02)


def fetch(url: str, **limits) -> Fetched:
    return load_fetcher(FetchLimits(**{"deadline": 20.0, "allow_private_addresses": True, **limits}))(url)


def test_a_body_arrives_byte_for_byte(site):
    assert fetch(f"{site.base}/ok") == Fetched("ok", BODY, 1, 10_240, f"{site.base}/ok")


def test_the_user_agent_is_sent_and_no_compression_asked_for(site):
    fetch(f"{site.base}/ok", user_agent="photo-reader/1.0")
    assert site.headers[0]["User-Agent"] == "photo-reader/1.0"
    assert site.headers[0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("code", [204, 206, 304, 401, 404, 410, 999])
def test_other_codes_are_statuses_and_asked_for_once(site, code):
    fetched = fetch(f"{site.base}/code/{code}")
    assert (fetched.status, fetched.body, fetched.num_attempts) == (f"http_{code}", None, 1)
    assert site.requests["code"] == 1


def test_a_server_error_is_asked_again_until_it_heals(site):
    fetched = fetch(f"{site.base}/heals")
    assert (fetched.status, fetched.num_attempts, fetched.body) == ("ok", 3, BODY)


def test_attempts_end_at_their_number(site):
    fetched = fetch(f"{site.base}/code/500", max_attempts=2)
    assert (fetched.status, fetched.num_attempts, site.requests["code"]) == ("http_500", 2, 2)


def test_a_wish_to_wait_until_a_date_is_honoured(site):
    fetched = fetch(f"{site.base}/later_by_date/2")
    assert (fetched.status, fetched.num_attempts) == ("ok", 2)
    assert site.times[1] - site.times[0] >= 0.9  # a date is in whole seconds


@pytest.mark.parametrize("seconds", [3600, 20])  # the deadline is 20
def test_a_wish_beyond_the_deadline_ends_the_url_at_once(site, seconds):
    started = time.monotonic()
    fetched = fetch(f"{site.base}/later/{seconds}")
    assert (fetched.status, fetched.num_attempts) == ("http_429", 1)
    assert time.monotonic() - started < 5.0


def test_redirects_are_followed_to_http_only(site):
    assert fetch(f"{site.base}/moved") == Fetched("ok", BODY, 1, 10_240, f"{site.base}/ok")
    assert fetch(f"{site.base}/escape") == Fetched("bad_url", num_attempts=1)
    assert fetch(f"{site.base}/nowhere") == Fetched("bad_url", num_attempts=1)


def test_a_redirect_loop_ends_after_ten(site):
    fetched = fetch(f"{site.base}/loop")
    assert (fetched.status, fetched.num_attempts) == ("too_many_redirects", 1)
    assert site.requests["loop"] == 11


def test_an_attempt_begins_again_where_the_url_does(site):
    target = f"{site.base}/code/503"
    fetched = fetch(f"{site.base}/to?{target}", max_attempts=2)
    assert fetched == Fetched("http_503", None, 2, 0, target)
    assert (site.requests["to"], site.requests["code"]) == (2, 2)


def test_the_body_of_a_redirect_is_not_waited_for(site):
    assert fetch(f"{site.base}/endless_redirect", deadline=10.0).status == "ok"


def test_a_connection_that_ends_too_soon_is_truncated(site):
    fetched = fetch(f"{site.base}/closed_early", max_attempts=2)
    assert (fetched.status, fetched.body, fetched.num_attempts) == ("truncated", None, 2)
    assert fetch(f"{site.base}/cut_chunk", max_attempts=1).status == "truncated"


def test_what_was_read_before_a_body_ended_is_counted(site):
    assert fetch(f"{site.base}/closed_early", max_attempts=1).num_bytes == 10_240
    assert fetch(f"{site.base}/cut_chunk", max_attempts=1).num_bytes == len("only this")


def test_a_connection_dropped_during_the_tls_handshake_is_tried_again():
    def drop_two(listener):
        for _ in range(2):
            with listener.accept()[0] as connection:
                connection.recv(65_536)  # the client's hello: left unread, it would turn the end into a reset

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=drop_two, args=[listener], daemon=True).start()
        fetched = fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/", max_attempts=2)
    assert (fetched.status, fetched.num_attempts) == ("connection_failed", 2)


def test_a_lost_connection_is_tried_again(site):
    fetched = fetch(f"{site.base}/reset_once")
    assert (fetched.status, fetched.num_attempts) == ("ok", 2)


def test_the_largest_body_is_exactly_max_bytes(site):
    assert fetch(f"{site.base}/ok", max_bytes=10_240).status == "ok"
    assert fetch(f"{site.base}/ok", max_bytes=10_239) == Fetched("too_large", None, 1, 0, f"{site.base}/ok")


def test_a_body_without_end_or_length_stops_at_the_limit(site):
    fetched = fetch(f"{site.base}/endless", max_bytes=1_000_000)
    assert (fetched.status, fetched.body, fetched.num_bytes) == ("too_large", None, 1_000_001)


def test_the_limit_counts_decompressed_bytes(site):
    assert len(gzip.compress(bytes(10_000_000))) < 15_000
    fetched = fetch(f"{site.base}/bomb", max_bytes=1_000_000)
    assert fetched.status == "too_large"
    assert fetched.num_bytes <= 1_000_000 + 65_536
    assert fetch(f"{site.base}/gzip").body == BODY
    assert fetch(f"{site.base}/broken_gzip", max_attempts=1).status == "truncated"


def test_no_body_is_a_status(site):
    assert fetch(f"{site.base}/empty").status == "empty_body"


def test_what_is_not_http_is_a_failed_connection(site):
    assert fetch(f"{site.base}/garbage", max_attempts=1).status == "connection_failed"


def test_a_refused_connection_is_tried_again_and_fails():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    for path in ("", "\ud800"):  # half a surrogate pair, as a broken decoding leaves it
        fetched = fetch(f"http://127.0.0.1:{port}/{path}", max_attempts=2)
        assert (fetched.status, fetched.num_attempts) == ("connection_failed", 2)


@pytest.mark.parametrize(("code", "num_attempts"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 2)])
def test_an_unknown_host_is_looked_up_once_and_a_failing_resolver_again(look_ups, code, num_attempts):
    def fail():
        raise socket.gaierror(code, "no address")

    answers, asked = look_ups
    answers["photos.invalid"] = [fail]
    fetched = fetch("http://photos.invalid/a.jpg", max_attempts=2)
    assert (fetched.status, fetched.num_attempts, len(asked)) == ("dns_failed", num_attempts, num_attempts)


@pytest.mark.parametrize(
    "url", ["", "images/a.jpg", "ftp://h/a", "file:///etc/passwd", "http://", "http://[::1", "http://h:99999/", "None"]
)
def test_what_is_no_url_is_never_asked_for(url):
    assert fetch(url) == Fetched("bad_url")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("X-Robots-Tag=nofollow&X-Robots-Tag=NoAI", "opted_out"),
        ("X-Robots-Tag=landmark-spark: noimageindex", "opted_out"),
        ("X-Robots-Tag=otherbot: noindex", "ok"),
        ("TDM-Reservation=1", "opted_out"),
        ("TDM-Reservation=0", "ok"),
    ],
)
def test_a_server_can_keep_its_pictures_out(site, headers, status):
    url = f"{site.base}/tags/?{headers.replace(' ', '%20')}"
    fetched = fetch(url)
    assert (fetched.status, fetched.num_attempts, fetched.num_bytes) == (status, 1, 10_240 * (status == "ok"))
    assert fetch(url, opt_out_directives=()).body == BODY


def test_no_exception_leaves_the_fetcher(monkeypatch):
    monkeypatch.setattr("landmark_spark.core.attempts.Requester.ask", lambda *arguments: 1 / 0)
    assert fetch("http://127.0.0.1/a").status == "internal_error"


@pytest.mark.parametrize("page", ["ok", "code/404", "moved"])
def test_connections_are_used_again_whatever_the_answer(site, page):
    one = load_fetcher(FetchLimits(allow_private_addresses=True))
    assert len({one(f"{site.base}/{page}").status for _ in range(20)}) == 1
    assert site.num_connections == 1


@pytest.mark.parametrize("page", ["hangs_up_later", "once_a_connection"])
def test_a_kept_connection_that_the_server_ended_costs_no_attempt(site, page):
    one = load_fetcher(FetchLimits(allow_private_addresses=True, max_attempts=1))
    assert [one(f"{site.base}/{page}").status for _ in range(5)] == ["ok"] * 5


def test_what_a_server_sends_unasked_is_no_answer(site):
    one = load_fetcher(FetchLimits(allow_private_addresses=True, max_attempts=1))
    assert one(f"{site.base}/code/204").status == "http_204"  # with a body, which it should not have
    assert one(f"{site.base}/ok").body == BODY


def test_what_comes_unasked_after_the_next_request_is_no_answer_either(site):
    one = load_fetcher(FetchLimits(allow_private_addresses=True, max_attempts=1))
    assert [one(f"{site.base}/unasked_later").body for _ in range(3)] == [BODY] * 3


def test_no_connection_is_held_open_between_attempts(raw_server):
    ended = threading.Event()

    def answer(connection):
        if connection.recv(65_536):
            connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy")
        else:
            ended.set()

    url = parse_http_url(f"http://127.0.0.1:{raw_server(answer)}/")
    answered = Requester(FetchLimits(allow_private_addresses=True)).ask(url, Deadline(20.0))
    assert (answered.status, answered.can_heal) == ("http_503", True)
    assert ended.wait(10.0)  # while the deadline goes on, as it does through a pause


def test_descriptors_do_not_pile_up(site):
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("this system does not list descriptors")
    one = load_fetcher(FetchLimits(max_bytes=20_000, max_attempts=1, allow_private_addresses=True))
    statuses = {
        "ok": "ok",
        "code/404": "http_404",
        "moved": "ok",
        "closed_early": "truncated",
        "endless": "too_large",
        "tags/?X-Robots-Tag=noai": "opted_out",
    }
    one(f"{site.base}/ok")
    before = len(list(descriptors.iterdir()))
    for name, status in list(statuses.items()) * 5:
        assert one(f"{site.base}/{name}").status == status
    end = time.monotonic() + 10  # the site closes its ends, which are in this process too, when it notices
    while len(list(descriptors.iterdir())) > before + 6 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(list(descriptors.iterdir())) <= before + 6


def test_cookies_are_not_kept(site):
    one = load_fetcher(FetchLimits(allow_private_addresses=True))
    one(f"{site.base}/cookie")
    one(f"{site.base}/ok")
    assert "Cookie" not in site.headers[1]


def test_credentials_are_sent_to_their_own_origin_and_not_told(site):
    url = site.base.replace("http://", "http://reader:secret@")
    fetched = fetch(f"{url}/moved")
    basic = "Basic cmVhZGVyOnNlY3JldA=="  # base64 of reader:secret
    assert [headers.get("Authorization") for headers in site.headers] == [basic, basic]
    assert fetched.final_url == f"{site.base}/ok"
    others = [fetch(f"{url}/escape"), fetch(f"{url}/loop"), fetch(f"{url}:x/"), fetch(f"{url}/code/404")]
    assert "secret" not in repr([fetched, *others])
    site.headers.clear()
    fetch(f"{url}/to?{site.base.replace('127.0.0.1', 'localhost')}/ok")
    assert [headers.get("Authorization") for headers in site.headers] == [basic, None]
