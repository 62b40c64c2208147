import socket
import threading
import time
from collections import Counter

import pytest
from misbehaving_site import BODY, Site

from landmark_spark.core.fetching import Fetched, FetchLimits, FetchPool

pytestmark = pytest.mark.usefixtures("no_proxies")


class Results:
    """Collects what a pool finishes, in the order in which it does."""

    def __init__(self) -> None:
        self.finished: list[tuple[object, Fetched]] = []
        self.one_more = threading.Semaphore(0)

    def finish(self, key: object, fetched: Fetched) -> None:
        self.finished.append((key, fetched))
        self.one_more.release()

    def wait_for(self, number: int) -> dict[object, Fetched]:
        assert all(self.one_more.acquire(timeout=30) for _ in range(number)), f"only {len(self.finished)} came"
        return dict(self.finished)


@pytest.fixture
def results():
    return Results()


@pytest.fixture
def pool_of(results):
    """Makes pools that are closed at the test's end."""
    pools: list[FetchPool] = []

    def make(num_threads: int = 8, **limits) -> FetchPool:
        limits = {"deadline": 20.0, "allow_private_addresses": True, **limits}
        pools.append(FetchPool(FetchLimits(**limits), num_threads=num_threads, finish=results.finish))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def port_of_nobody() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_every_url_is_finished_once_whatever_becomes_of_it(site, results, pool_of, look_ups):
    def no_such_host():
        raise socket.gaierror(socket.EAI_NONAME, "no address")

    look_ups[0].update({"gone.invalid": [no_such_host], "photos.invalid": [["127.0.0.1"]]})
    port = site.server_address[1]
    expected = {
        f"{site.base}/ok": {"ok"},
        f"http://photos.invalid:{port}/moved": {"ok"},
        f"{site.base}/flaky": {"ok", "http_503"},
        f"{site.base}/code/404": {"http_404"},
        f"{site.base}/loop": {"too_many_redirects"},
        f"{site.base}/escape": {"bad_url"},
        f"{site.base}/closed_early": {"truncated"},
        f"{site.base}/gzip": {"ok"},
        f"{site.base}/empty": {"empty_body"},
        f"{site.base}/stalled": {"timeout"},
        f"http://localhost:{port_of_nobody()}/": {"connection_failed", "host_unavailable"},
        "http://gone.invalid/": {"dns_failed"},
        "no url": {"bad_url"},
    }
    pool = pool_of(num_threads=8, max_attempts=2, deadline=20.0, read_timeout=1.0)
    jobs = [(number, url) for number in range(20) for url in expected if number < 4 or not url.endswith("stalled")]
    for number, url in jobs:
        pool.submit((number, url), url)
    finished = results.wait_for(len(jobs))
    time.sleep(0.1)
    assert len(results.finished) == len(finished) == len(jobs)
    for (_, url), fetched in finished.items():
        assert fetched.status in expected[url], (url, fetched)
        assert (fetched.body == BODY) is (fetched.status == "ok")


def test_submit_waits_for_nothing(site, pool_of):
    pool = pool_of(num_threads=1)
    started = time.monotonic()
    for number in range(500):
        pool.submit(number, f"{site.base}/silent")  # for 20 seconds
    assert time.monotonic() - started < 10.0


def test_what_finish_raises_is_reported_and_ends_no_thread(site, monkeypatch):
    reported = []
    monkeypatch.setattr(threading, "excepthook", lambda arguments: reported.append(arguments.exc_type))
    results = Results()

    def finish(key: int, fetched: Fetched) -> None:
        results.finish(key, fetched)
        raise {0: ValueError, 1: SystemExit}.get(key, KeyError)

    pool = FetchPool(FetchLimits(allow_private_addresses=True), num_threads=1, finish=finish)
    for number in range(4):
        pool.submit(number, f"{site.base}/ok")
    assert [key for key, _ in sorted(results.wait_for(4).items())] == [0, 1, 2, 3]
    pool.close()
    deadline = time.monotonic() + 20
    while len(reported) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert reported == [ValueError, SystemExit, KeyError, KeyError]


def test_after_close_nothing_is_finished_or_taken(site, results, pool_of):
    pool = pool_of(num_threads=1)
    for number in range(20):
        pool.submit(number, f"{site.base}/held")
    site.wait_for(1, "held")
    pool.close()
    site.opened.set()
    time.sleep(0.4)
    assert results.finished == []
    assert site.requests["held"] == 1
    with pytest.raises(RuntimeError, match="submit should not be called after close"):
        pool.submit(20, f"{site.base}/ok")


def test_threads_without_work_end_and_come_back(site, results, pool_of, monkeypatch):
    monkeypatch.setattr("landmark_spark.core.fetching._IDLE_SECONDS", 0.1)
    others = set(threading.enumerate())  # of tests before, whose last request may still be under way

    def num_threads() -> int:
        return sum(thread.name == "fetch" for thread in set(threading.enumerate()) - others)

    pool = pool_of(num_threads=4)
    for _ in range(3):
        site.opened.clear()
        site.requests.clear()
        for number in range(8):
            pool.submit(number, f"{site.base}/held")
        site.wait_for(4, "held")
        assert num_threads() == 4
        site.opened.set()
        results.wait_for(8)
        end = time.monotonic() + 20
        while num_threads() and time.monotonic() < end:
            time.sleep(0.02)
        assert num_threads() == 0


def test_no_more_requests_at_once_to_a_host_than_its_connections(site, results, pool_of, look_ups):
    look_ups[0].update({"photos.invalid": [["127.0.0.1"]], "photos.invalid.": [["127.0.0.1"]]})
    pool = pool_of(num_threads=12, max_connections_per_host=3)
    names = ["photos.invalid", "PHOTOS.invalid.", "u:p@photos.invalid"]  # one host, however it is written
    for number in range(24):
        pool.submit(number, f"http://{names[number % 3]}:{site.server_address[1]}/held")
    site.wait_for(3, "held")
    time.sleep(0.2)  # for a fourth that should not come
    site.opened.set()
    assert {fetched.status for fetched in results.wait_for(24).values()} == {"ok"}
    assert site.most_running == 3


def test_requests_to_a_host_keep_their_distance(site, results, pool_of):
    pool = pool_of(requests_per_second_per_host=10.0)
    started = time.monotonic()
    for number in range(6):
        pool.submit(number, f"{site.base}/{'moved' if number == 0 else 'ok'}")  # a redirect counts too
    results.wait_for(6)
    assert len(site.times) == 7
    assert site.times[-1] - started >= 0.6  # seven requests, 0.1 s apart


def test_a_slow_host_holds_up_no_other(site, results, pool_of, look_ups):
    look_ups[0]["slow.invalid"] = [["127.0.0.1"]]
    pool = pool_of(num_threads=8, max_connections_per_host=4)
    for number in range(40):
        pool.submit(f"slow {number}", f"http://slow.invalid:{site.server_address[1]}/silent")
    for number in range(40):
        pool.submit(f"fast {number}", f"{site.base}/ok")
    started = time.monotonic()
    finished = results.wait_for(40)
    assert time.monotonic() - started < 10.0
    assert all(str(key).startswith("fast") for key in finished)


def test_one_url_that_waits_for_its_next_attempt_holds_no_thread(site, results, pool_of, monkeypatch):
    monkeypatch.setattr("landmark_spark.core.fetching._FIRST_PAUSE", 1.0)  # half of it at least
    pool = pool_of(num_threads=1, max_attempts=2)
    pool.submit("failing", f"{site.base}/code/503")
    pool.submit("fine", f"{site.base}/ok")
    results.wait_for(2)
    assert [(key, fetched.status) for key, fetched in results.finished] == [("fine", "ok"), ("failing", "http_503")]


def test_a_wish_to_wait_holds_every_url_of_the_host(site, results, pool_of):
    pool = pool_of(num_threads=4, max_connections_per_host=1)
    pool.submit("later", f"{site.base}/later/1")
    for number in range(3):
        pool.submit(number, f"{site.base}/ok")
    finished = results.wait_for(4)
    assert {key: (fetched.status, fetched.num_attempts) for key, fetched in finished.items()} == {
        "later": ("ok", 2),
        **dict.fromkeys(range(3), ("ok", 1)),
    }
    assert site.times[1] - site.times[0] >= 1.0


def test_when_a_wait_is_over_all_threads_go_on(site, results, pool_of):
    pool = pool_of(num_threads=4)
    pool.submit("later", f"{site.base}/later/1")
    site.wait_for(1, "later")
    while pool._queue.free_from("127.0.0.1") < time.monotonic():  # until the wish has arrived
        time.sleep(0.005)
    for number in range(12):
        pool.submit(number, f"{site.base}/held")
    site.wait_for(4, "held")  # at once: none is answered yet
    site.opened.set()
    results.wait_for(13)
    assert site.most_running == 4
    assert site.times[1] - site.times[0] >= 1.0


def test_broken_pictures_do_not_make_a_host_unavailable(site, results, pool_of):
    pool = pool_of(num_threads=2, max_attempts=1)
    for number in range(30):
        pool.submit(number, f"{site.base}/closed_early")
    assert {fetched.status for fetched in results.wait_for(30).values()} == {"truncated"}


def test_a_wish_to_wait_too_long_ends_what_waits_for_the_host(site, results, pool_of):
    pool = pool_of(num_threads=2, max_connections_per_host=1)
    pool.submit("later", f"{site.base}/later/3600")
    for number in range(3):
        pool.submit(number, f"{site.base}/ok")
    finished = results.wait_for(4)
    assert finished.pop("later").status == "http_429"
    assert set(finished.values()) == {Fetched("host_unavailable", None, 0, 0, f"{site.base}/ok")}
    assert sum(site.requests.values()) == 1


def test_a_host_that_is_down_costs_twenty_requests_and_recovers(results, pool_of, monkeypatch):
    monkeypatch.setattr("landmark_spark.core.hosts._REST_SECONDS", 1.0)
    port = port_of_nobody()
    pool = pool_of(num_threads=1, max_attempts=1)
    for number in range(100):
        pool.submit(number, f"http://127.0.0.1:{port}/ok")
    finished = results.wait_for(100)
    assert Counter(fetched.status for fetched in finished.values()) == {"connection_failed": 20, "host_unavailable": 80}
    assert {fetched.num_attempts for fetched in finished.values() if fetched.status == "host_unavailable"} == {0}
    time.sleep(1.0)
    site = Site(port)
    server = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05})
    server.start()
    try:
        for number in range(10):
            pool.submit(("again", number), f"http://127.0.0.1:{port}/ok")
        finished = results.wait_for(10)
        assert {finished["again", number].status for number in range(10)} == {"ok"}
    finally:
        site.closing.set()
        site.shutdown()
        server.join()
        site.server_close()


def test_an_interim_answer_is_not_taken_for_the_answer(site, results, pool_of):
    pool = pool_of(max_connections_per_host=1)
    for name in ("hinted", "ok", "switching", "ok?2"):
        pool.submit(name, f"{site.base}/{name}")
    finished = results.wait_for(4)
    assert finished["hinted"].body == b"hinted" + BODY
    assert finished["ok"].body == finished["ok?2"].body == BODY
    assert finished["switching"].status == "http_101"


def test_a_host_is_asked_on_while_a_picture_is_decoded(site):
    ended = threading.Semaphore(0)

    at_once = threading.Barrier(4)

    def finish(key, fetched):
        at_once.wait(20)  # for the three others: one after another would wait in vain
        ended.release()

    limits = FetchLimits(allow_private_addresses=True, max_connections_per_host=1)
    pool = FetchPool(limits, num_threads=4, finish=finish)
    for number in range(8):
        pool.submit(number, f"{site.base}/ok?{number}")
    for _ in range(8):
        assert ended.acquire(timeout=30)
    pool.close()


def test_a_url_keeps_its_own_failure_when_its_host_becomes_unavailable(site, results, pool_of):
    pool = pool_of(num_threads=1, max_connections_per_host=1)
    for number in range(30):
        pool.submit(number, f"{site.base}/code/503")
    finished = results.wait_for(30)
    statuses = Counter((fetched.status, fetched.num_attempts) for fetched in finished.values())
    assert {status for status, number in statuses if number > 0} == {"http_503"}
    assert {status for status, number in statuses if number == 0} == {"host_unavailable"}
    assert sum(number * count for (_, number), count in statuses.items()) == site.requests["code"] == 20


def test_a_redirect_to_an_unavailable_host_ends_there(site, results, pool_of):
    pool = pool_of(num_threads=1, max_attempts=1)
    target = f"http://localhost:{port_of_nobody()}/"
    for number in range(20):
        pool.submit(number, target)
    results.wait_for(20)
    pool.submit("redirected", f"{site.base}/to/?{target}")
    assert results.wait_for(1)["redirected"] == Fetched("host_unavailable", None, 1, 0, target)


def test_a_url_that_waits_past_its_deadline_ends_with_what_it_had(site, results, pool_of):
    pool = pool_of(num_threads=4, max_connections_per_host=1, deadline=1.5)
    pool.submit("begun", f"{site.base}/code/503")
    pool.submit("blocks", f"{site.base}/silent")  # takes the host's only connection while the first one pauses
    finished = results.wait_for(2)
    assert (finished["begun"].status, finished["begun"].num_attempts) == ("http_503", 1)
    assert finished["blocks"].status == "timeout"
