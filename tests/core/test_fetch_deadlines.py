import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from misbehaving_site import SLACK
from urllib3.util.connection import create_connection

from landmark_spark.core.deadlines import Deadline, Watchdog
from landmark_spark.core.fetching import Fetched, FetchLimits, FetchPool, load_fetcher

pytestmark = pytest.mark.usefixtures("no_proxies")


def fetch(url: str, **limits) -> Fetched:
    return load_fetcher(FetchLimits(**{"deadline": 20.0, "allow_private_addresses": True, **limits}))(url)


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
    fetched = fetch(f"{site.base}/{name}", deadline=0.3)
    assert time.monotonic() - started < 0.3 + SLACK
    assert (fetched.status, fetched.body, fetched.num_attempts) == ("timeout", None, 1)


@pytest.mark.parametrize("name", ["silent", "stalled"])
def test_a_silent_server_ends_the_attempt_and_not_the_url(site, name, monkeypatch):
    monkeypatch.setattr("landmark_spark.core.fetching._FIRST_PAUSE", 0.02)
    fetched = fetch(f"{site.base}/{name}", read_timeout=0.2, max_attempts=2)
    assert (fetched.status, fetched.num_attempts) == ("timeout", 2)
    site.wait_for(2, name)


def test_the_deadline_holds_during_a_dripping_tls_handshake(raw_server):
    record = iter(b"\x16\x03\x03\x40\x00" + b"\x02\x00\x3f\xfc" + bytes(16_000))  # a server hello of 16 KiB to come
    port = raw_server(lambda connection: connection.sendall(bytes([next(record)])))
    started = time.monotonic()
    assert fetch(f"https://127.0.0.1:{port}/", deadline=0.3).status == "timeout"
    assert time.monotonic() - started < 0.3 + SLACK


def test_the_deadline_holds_for_a_server_that_never_answers(raw_server):
    port = raw_server(lambda connection: None)
    started = time.monotonic()
    assert fetch(f"http://127.0.0.1:{port}/", deadline=0.3).status == "timeout"
    assert time.monotonic() - started < 0.3 + SLACK


def test_the_deadline_covers_all_attempts_and_pauses(site):
    started = time.monotonic()
    fetched = fetch(f"{site.base}/code/503", deadline=1.0, max_attempts=1000)
    assert fetched.status == "http_503"
    assert 1 < fetched.num_attempts < 6  # pauses of at least 0.25, 0.5, 1 ... seconds
    assert time.monotonic() - started < 1.0 + SLACK


def test_a_deadline_spares_the_connections_of_others(site):
    statuses: dict[int, str] = {}
    done = threading.Semaphore(0)

    def finish(number: int, fetched: Fetched) -> None:
        statuses[number] = fetched.status
        done.release()

    pool: FetchPool[int] = FetchPool(
        FetchLimits(deadline=1.5, allow_private_addresses=True), num_threads=4, finish=finish
    )
    for number in range(8):
        pool.submit(number, f"{site.base}/{'drip_body' if number % 2 else 'ok'}")
    assert all(done.acquire(timeout=30) for _ in range(8))
    assert [statuses[number] for number in range(8)] == ["ok", "timeout"] * 4


def test_a_look_up_that_hangs_takes_no_longer_than_the_url_has(look_ups):
    answers, asked = look_ups
    release = threading.Event()
    answers["photos.invalid"] = [lambda: release.wait(20) and []]
    one = load_fetcher(FetchLimits(deadline=0.3))
    started = time.monotonic()
    assert one("http://photos.invalid/a.jpg") == Fetched("timeout", None, 1, 0, "http://photos.invalid/a.jpg")
    assert one("http://photos.invalid/b.jpg").status == "timeout"
    assert time.monotonic() - started < 2 * 0.3 + SLACK
    assert asked == ["photos.invalid"]  # the second waited for the answer to the first
    release.set()


def test_the_next_address_of_a_host_is_tried(look_ups, site):
    answers, _ = look_ups
    answers["photos.invalid"] = [["127.0.0.2", "127.0.0.1"]]  # the site listens on the second only
    assert fetch(f"http://photos.invalid:{site.server_address[1]}/ok", max_attempts=1).status == "ok"


def test_all_addresses_of_a_host_share_the_time_to_connect(monkeypatch, look_ups):
    def hang(address, seconds, **options):
        time.sleep(seconds)
        raise TimeoutError

    monkeypatch.setattr("landmark_spark.core.connections.create_connection", hang)
    look_ups[0]["photos.invalid"] = [[f"192.0.2.{number}" for number in range(20)]]
    started = time.monotonic()
    assert fetch("http://photos.invalid/", connect_timeout=0.3, max_attempts=2) == Fetched(
        "timeout", None, 2, 0, "http://photos.invalid/"
    )
    assert time.monotonic() - started < 2 * 0.3 + 0.75 + SLACK  # two attempts and the longest first pause


def test_an_address_that_hangs_leaves_time_for_the_next(monkeypatch, look_ups, site):
    real = create_connection
    given = []

    def connect(address, seconds, **options):
        given.append(seconds)
        if address[0] != "127.0.0.1":
            time.sleep(0.5)  # of the time that it was given; all of it would be a long test
            raise TimeoutError
        return real(address, seconds, **options)

    monkeypatch.setattr("landmark_spark.core.connections.create_connection", connect)
    look_ups[0]["photos.invalid"] = [["192.0.2.1", "127.0.0.1"]]
    url = f"http://photos.invalid:{site.server_address[1]}/ok"
    assert fetch(url, connect_timeout=20.0, max_attempts=1).status == "ok"
    assert given == [pytest.approx(10.0, abs=1.5), pytest.approx(19.5, abs=3.0)]  # half of it, and what is left


def test_a_watchdog_forgets_what_is_finished_and_cuts_what_is_not():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        watchdog = Watchdog(1.0)
        finished, overdue = watchdog.start(), watchdog.start()
        finished.watch(theirs)
        watchdog.finish(finished)
        assert list(watchdog._deadlines) == [overdue]
        overdue.watch(ours)
        ours.settimeout(20.0)
        assert ours.recv(1) == b""  # shut down
        watchdog.finish(overdue)
        assert overdue.remaining() <= 0
        assert not watchdog._deadlines


def test_a_connection_made_after_the_deadline_is_cut_at_once():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        late = Deadline(0.0)
        late.watch(ours)
        ours.settimeout(5.0)
        assert ours.recv(1) == b""
        late.release()


@pytest.mark.parametrize("stuck", ["look-up", "server"])
def test_the_interpreter_exits_while_a_url_is_stuck(stuck, raw_server):
    port = raw_server(lambda connection: None)
    program = f"""
        import socket, time
        from landmark_spark.core.fetching import FetchLimits, FetchPool
        real = socket.getaddrinfo
        socket.getaddrinfo = lambda host, *a, **o: time.sleep(600) if host == "h.invalid" else real(host, *a, **o)
        limits = FetchLimits(deadline=600.0, read_timeout=600.0, allow_private_addresses=True)
        pool = FetchPool(limits, num_threads=2, finish=print)
        pool.submit(1, {"http://h.invalid/" if stuck == "look-up" else f"http://127.0.0.1:{port}/"!r})
        time.sleep(0.3)
        print("the end")
    """
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert (ended.returncode, ended.stdout) == (0, "the end\n"), ended.stderr
