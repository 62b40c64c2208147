import gzip
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from landmark_spark.core.attempts import attempt
from landmark_spark.core.deadlines import Watchdog, WatchedAdapter
from landmark_spark.core.fetching import STATUSES, Fetched, FetchLimits, fetch_all, is_status, load_fetcher

BODY = bytes(range(256)) * 40  # 10,240 bytes
SLACK = 2.0  # seconds after a deadline within which a call has to be back


class Site(ThreadingHTTPServer):
    """A web server on loopback whose paths misbehave; it counts connections and requests."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Page)
        self.num_connections = 0
        self.requests: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.closing = threading.Event()
        self.base = f"http://127.0.0.1:{self.server_address[1]}"

    def get_request(self):
        self.num_connections += 1
        return super().get_request()

    def handle_error(self, request, client_address):
        pass  # clients hang up here on purpose


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Site

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        name = self.path.split("/")[1] if self.path.startswith("/") else "proxied"
        self.server.requests[name] += 1
        self.server.headers.append(dict(self.headers))
        getattr(self, f"page_{name}")()

    def answer(self, code: int, body: bytes = b"", **headers: object) -> None:
        self.send_response(code)
        for header, value in {"Content_Length": len(body), **headers}.items():
            self.send_header(header.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def drip(self, data: bytes) -> None:
        while not self.server.closing.wait(0.05):
            self.wfile.write(data)

    def page_ok(self):
        self.answer(200, BODY)

    def page_code(self):
        self.answer(int(self.path.split("/")[2]), b"sorry")

    def page_heals(self):
        self.answer(503 if self.server.requests["heals"] < 3 else 200, BODY)

    def page_later(self):
        seconds = self.path.split("/")[2]
        self.answer(429 if self.server.requests["later"] == 1 else 200, BODY, Retry_After=seconds)

    def page_moved(self):
        self.answer(302, b"moved", Location="/ok")

    def page_loop(self):
        self.answer(302, Location="/loop")

    def page_escape(self):
        self.answer(302, Location="file:///etc/passwd")

    def page_nowhere(self):
        self.answer(302, Location="http://[broken")

    def page_endless_redirect(self):
        self.send_response(302)
        self.send_header("Location", "/ok")
        self.end_headers()
        self.drip(b"x" * 1000)

    def page_drip_body(self):
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.drip(b"x")

    def page_drip_unsized_body(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        self.drip(b"x")

    def page_drip_chunks(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.drip(b"1\r\nx\r\n")

    def page_drip_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip(b"x")

    def page_drip_continue(self):
        self.drip(b"HTTP/1.1 100 Continue\r\n\r\n")

    def page_silent(self):
        self.server.closing.wait(20)

    def page_stalled(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        self.server.closing.wait(20)

    def page_closed_early(self):
        self.answer(200, BODY, Content_Length=len(BODY) + 1, Connection="close")
        self.close_connection = True

    def page_cut_chunk(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nonly this")
        self.close_connection = True

    def page_reset_once(self):
        if self.server.requests["reset_once"] == 1:
            self.close_connection = True
        else:
            self.answer(200, BODY)

    def page_garbage(self):
        self.wfile.write(b"\x00\x01\x02 not HTTP at all\r\n\r\n")
        self.close_connection = True

    def page_endless(self):
        self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n")
        while not self.server.closing.is_set():
            self.wfile.write(bytes(65536))

    def page_bomb(self):
        self.answer(200, gzip.compress(bytes(30_000_000)), Content_Encoding="gzip")

    def page_gzip(self):
        self.answer(200, gzip.compress(BODY), Content_Encoding="gzip")

    def page_broken_gzip(self):
        self.answer(200, b"this is no gzip", Content_Encoding="gzip")

    def page_empty(self):
        self.answer(200)

    def page_cookie(self):
        self.answer(200, BODY, Set_Cookie="visitor=1; Path=/")

    def page_proxied(self):
        self.answer(200, self.path.encode())


@pytest.fixture
def site() -> Iterator[Site]:
    server = Site()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.closing.set()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "REQUESTS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def fetch(url: str, **limits) -> Fetched:
    return load_fetcher(FetchLimits(**{"deadline": 20.0, **limits}), num_threads=2)(url)


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


def test_a_wish_to_wait_is_honoured(site):
    started = time.monotonic()
    fetched = fetch(f"{site.base}/later/1")
    assert (fetched.status, fetched.num_attempts) == ("ok", 2)
    assert time.monotonic() - started >= 1.0


def test_a_wish_beyond_the_deadline_ends_the_url_at_once(site):
    started = time.monotonic()
    fetched = fetch(f"{site.base}/later/3600")
    assert (fetched.status, fetched.num_attempts) == ("http_429", 1)
    assert time.monotonic() - started < 5.0


def test_redirects_are_followed_to_http_only(site):
    assert fetch(f"{site.base}/moved") == Fetched("ok", BODY, 1, 10_240, f"{site.base}/ok")
    assert fetch(f"{site.base}/escape").status == "bad_url"
    assert fetch(f"{site.base}/nowhere").status == "bad_url"


def test_a_redirect_loop_ends_after_ten(site):
    fetched = fetch(f"{site.base}/loop")
    assert (fetched.status, fetched.num_attempts) == ("too_many_redirects", 1)
    assert site.requests["loop"] == 11


def test_the_body_of_a_redirect_is_not_waited_for(site):
    assert fetch(f"{site.base}/endless_redirect", deadline=10.0).status == "ok"


@pytest.mark.parametrize(
    "name",
    [
        "drip_body",
        "drip_unsized_body",
        "drip_chunks",
        "drip_headers",
        "drip_continue",
        "silent",
        "stalled",
    ],
)
def test_the_deadline_holds_whatever_the_server_does(site, name):
    started = time.monotonic()
    fetched = fetch(f"{site.base}/{name}", deadline=0.5)
    assert time.monotonic() - started < 0.5 + SLACK
    assert (fetched.status, fetched.body, fetched.num_attempts) == ("timeout", None, 1)


@pytest.fixture
def raw_server():
    """Accepts connections and gives each to a function of the test."""
    listener = socket.create_server(("127.0.0.1", 0))
    stopping = threading.Event()

    def serve(handle):
        def run():
            with listener.accept()[0] as connection:
                while not stopping.wait(0.05):
                    try:
                        handle(connection)
                    except OSError:
                        return

        threading.Thread(target=run, daemon=True).start()
        return listener.getsockname()[1]

    yield serve
    stopping.set()
    listener.close()


def test_the_deadline_holds_during_a_dripping_tls_handshake(raw_server):
    record = iter(b"\x16\x03\x03\x40\x00" + b"\x02\x00\x3f\xfc" + bytes(16_000))  # a server hello of 16 KiB to come
    port = raw_server(lambda connection: connection.sendall(bytes([next(record)])))
    started = time.monotonic()
    assert fetch(f"https://127.0.0.1:{port}/", deadline=1.0).status == "timeout"
    assert time.monotonic() - started < 1.0 + SLACK


def test_the_deadline_holds_for_a_server_that_never_answers(raw_server):
    port = raw_server(lambda connection: None)
    started = time.monotonic()
    assert fetch(f"http://127.0.0.1:{port}/", deadline=1.0).status == "timeout"
    assert time.monotonic() - started < 1.0 + SLACK


def test_the_deadline_covers_all_attempts_and_pauses(site):
    started = time.monotonic()
    fetched = fetch(f"{site.base}/code/503", deadline=1.0, max_attempts=1000)
    assert fetched.status == "http_503"
    assert 1 < fetched.num_attempts < 6  # pauses of at least 0.25, 0.5, 1 ... seconds
    assert time.monotonic() - started < 1.0 + SLACK


def test_a_deadline_spares_the_connections_of_others(site):
    one = load_fetcher(FetchLimits(deadline=1.0), num_threads=4)
    urls = [(number, f"{site.base}/{'drip_body' if number % 2 else 'ok'}") for number in range(8)]
    statuses = [fetched.status for _, fetched in fetch_all(urls, one, num_threads=4)]
    assert statuses == ["ok", "timeout"] * 4


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


def test_no_connection_is_held_open_between_attempts(raw_server):
    ended = threading.Event()

    def answer(connection):
        if connection.recv(65_536):
            connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy")
        else:
            ended.set()

    url = f"http://127.0.0.1:{raw_server(answer)}/"
    with Watchdog().guard(20.0) as deadline:
        asked = attempt(url, WatchedAdapter(), deadline, connect_timeout=5.0, max_bytes=100, user_agent="test")
        assert (asked.status, asked.can_heal) == ("http_503", True)
        assert ended.wait(5.0)  # while the deadline goes on, as it does through a pause


def test_a_lost_connection_is_tried_again(site):
    fetched = fetch(f"{site.base}/reset_once")
    assert (fetched.status, fetched.num_attempts) == ("ok", 2)


def test_the_largest_body_is_exactly_max_bytes(site):
    assert fetch(f"{site.base}/ok", max_bytes=10_240).status == "ok"
    assert fetch(f"{site.base}/ok", max_bytes=10_239) == Fetched("too_large", None, 1, 0, f"{site.base}/ok")


def test_a_body_without_end_or_length_stops_at_the_limit(site):
    fetched = fetch(f"{site.base}/endless", max_bytes=1_000_000)
    assert (fetched.status, fetched.body) == ("too_large", None)
    assert 1_000_000 < fetched.num_bytes <= 1_000_000 + 65_536


def test_the_limit_counts_decompressed_bytes(site):
    assert len(gzip.compress(bytes(30_000_000))) < 40_000
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
def test_an_unknown_host_is_looked_up_once_and_a_failing_resolver_again(monkeypatch, code, num_attempts):
    def fail(*arguments, **options):
        raise socket.gaierror(code, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    fetched = fetch("http://photos.invalid/a.jpg", max_attempts=2)
    assert (fetched.status, fetched.num_attempts) == ("dns_failed", num_attempts)


def addresses_of_photos_invalid(monkeypatch, port: int, addresses: list[str]) -> None:
    real = socket.getaddrinfo

    def look_up(host, *arguments, **options):
        if host != "photos.invalid":
            return real(host, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_the_next_address_of_a_host_is_tried(monkeypatch, site):
    port = site.server_address[1]
    addresses_of_photos_invalid(monkeypatch, port, ["127.0.0.2", "127.0.0.1"])  # the site listens on the second only
    assert fetch(f"http://photos.invalid:{port}/ok", max_attempts=1).status == "ok"


def test_all_addresses_of_a_host_share_the_time_to_connect(monkeypatch):
    def hang(address, seconds, **options):
        time.sleep(seconds)
        raise TimeoutError

    monkeypatch.setattr("landmark_spark.core.deadlines.create_connection", hang)
    addresses_of_photos_invalid(monkeypatch, 80, [f"192.0.2.{number}" for number in range(20)])
    started = time.monotonic()
    assert fetch("http://photos.invalid/", connect_timeout=0.3, max_attempts=2) == Fetched(
        "timeout", None, 2, 0, "http://photos.invalid/"
    )
    assert time.monotonic() - started < 2 * 0.3 + 0.75 + SLACK  # two attempts and the longest first pause


@pytest.mark.parametrize(
    "url", ["", "images/a.jpg", "ftp://h/a", "file:///etc/passwd", "http://", "http://[::1", "http://h:99999/", "None"]
)
def test_what_is_no_url_is_never_asked_for(url):
    assert fetch(url) == Fetched("bad_url")


@pytest.mark.parametrize("url", ["http://a..b/", "http://*.example/", "http://\udcff/", f"http://{'a' * 70}.invalid/"])
def test_impossible_hosts_are_bad_urls(url):
    assert fetch(url, max_attempts=1).status == "bad_url"


def test_no_exception_leaves_the_fetcher(monkeypatch):
    monkeypatch.setattr("landmark_spark.core.fetching.attempt", lambda *arguments, **options: 1 / 0)
    assert fetch("http://127.0.0.1/a").status == "internal_error"


def test_connections_are_used_again(site):
    one = load_fetcher(FetchLimits(), num_threads=1)
    assert [one(f"{site.base}/ok").status for _ in range(20)] == ["ok"] * 20
    assert (site.requests["ok"], site.num_connections) == (20, 1)


def test_descriptors_do_not_pile_up(site):
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("this system does not list descriptors")
    one = load_fetcher(FetchLimits(max_bytes=20_000, max_attempts=1), num_threads=1)
    names = {"ok": "ok", "code/404": "http_404", "moved": "ok", "closed_early": "truncated", "endless": "too_large"}
    one(f"{site.base}/ok")
    before = len(list(descriptors.iterdir()))
    for name, status in list(names.items()) * 5:
        assert one(f"{site.base}/{name}").status == status
    time.sleep(0.3)  # the site closes its ends, which are in this process too, when it notices
    assert len(list(descriptors.iterdir())) <= before + 6


def test_cookies_are_not_kept(site):
    one = load_fetcher(FetchLimits(), num_threads=1)
    one(f"{site.base}/cookie")
    one(f"{site.base}/ok")
    assert "Cookie" not in site.headers[1]


def test_credentials_are_sent_and_not_told(site):
    url = site.base.replace("http://", "http://reader:secret@")
    fetched = fetch(f"{url}/ok")
    assert site.headers[0]["Authorization"] == "Basic cmVhZGVyOnNlY3JldA=="  # base64 of reader:secret
    assert fetched.final_url == f"{site.base}/ok"
    assert "secret" not in repr(fetched) + repr(fetch(f"{url}/escape")) + repr(fetch(f"{url}/loop"))


def test_proxies_serve_the_world_and_not_loopback(site, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", site.base)
    monkeypatch.setenv("http_proxy", site.base)
    assert fetch("http://photos.invalid/a.jpg").body == b"http://photos.invalid/a.jpg"
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert fetch(f"{site.base}/ok").status == "ok"


def test_https_is_verified_and_reuses_connections(site, monkeypatch, tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 "
        f"-keyout {key} -out {certificate}".split(),
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    site.socket = context.wrap_socket(site.socket, server_side=True)
    base = site.base.replace("http:", "https:")
    assert fetch(f"{base}/ok", max_attempts=1).status == "tls_failed"  # signed by nobody known
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    one = load_fetcher(FetchLimits(deadline=1.0), num_threads=1)
    before = site.num_connections
    assert [one(f"{base}/ok").body for _ in range(5)] == [BODY] * 5
    assert site.num_connections == before + 1
    started = time.monotonic()
    assert one(f"{base}/drip_body").status == "timeout"  # on the connection used before
    assert time.monotonic() - started < 1.0 + SLACK


def test_results_come_in_the_order_of_the_input_from_a_bounded_window():
    taken = []

    def urls():
        for number in range(50):
            taken.append(number)
            yield number, str(number)

    def slow_first(url: str) -> str:
        time.sleep(0.05 if int(url) % 10 == 0 else 0)
        return url

    results = fetch_all(urls(), slow_first, num_threads=3, window=6)
    assert next(results) == (0, "0")
    assert taken == [0, 1, 2, 3, 4, 5]
    assert list(results) == [(number, str(number)) for number in range(1, 50)]


def test_a_caller_that_stops_early_stops_the_pool():
    started = []
    results = fetch_all(((number, "u") for number in range(1000)), started.append, num_threads=2)
    next(results)
    results.close()
    time.sleep(0.1)
    assert len(started) <= 8


def test_statuses_are_a_closed_list():
    assert is_status("ok") and is_status("http_404") and is_status("http_999") and is_status("decompression_bomb")
    for word in ("http_<code>", "http_4xx", "http_40", "http_404 ", "", "OK", "http_4\u0664\u0664"):
        assert not is_status(word)
    assert all(STATUSES.values())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("deadline", 0),
        ("deadline", float("nan")),
        ("deadline", float("inf")),
        ("connect_timeout", -1.0),
        ("max_bytes", 0),
        ("max_attempts", 0),
        ("user_agent", "two\r\nlines"),
        ("user_agent", ""),
    ],
)
def test_limits_out_of_range_say_what_was_wanted(name, value):
    with pytest.raises(ValueError, match=rf"{name} should be .*\. Received: "):
        FetchLimits(**{name: value})


def test_no_threads_are_refused():
    with pytest.raises(ValueError, match=r"num_threads should be at least 1\. Received: 0"):
        load_fetcher(FetchLimits(), num_threads=0)
    with pytest.raises(ValueError, match=r"window should be at least num_threads"):
        fetch_all([], str, num_threads=4, window=3)
