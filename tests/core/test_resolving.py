import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from landmark_spark.core.resolving import Resolver, can_heal


def failing(code: int):
    def fail():
        raise socket.gaierror(code, "no address")

    return fail


def test_an_answer_is_kept_for_a_minute(look_ups):
    answers, asked = look_ups
    answers["h.invalid"] = [["192.0.2.1", "192.0.2.2", "192.0.2.1"], ["192.0.2.3"]]
    now = [100.0]
    resolver = Resolver(clock=lambda: now[0])
    assert resolver.addresses("h.invalid", 5.0) == ("192.0.2.1", "192.0.2.2")
    now[0] = 159.9
    assert resolver.addresses("h.invalid", 5.0) == ("192.0.2.1", "192.0.2.2")
    assert len(asked) == 1
    now[0] = 160.0
    assert resolver.addresses("h.invalid", 5.0) == ("192.0.2.3",)


def test_that_there_is_no_such_host_is_kept_for_ten_seconds(look_ups):
    answers, asked = look_ups
    answers["h.invalid"] = [failing(socket.EAI_NONAME), ["192.0.2.1"]]
    now = [0.0]
    resolver = Resolver(clock=lambda: now[0])
    for now[0] in (0.0, 9.9):
        with pytest.raises(socket.gaierror):
            resolver.addresses("h.invalid", 5.0)
    assert len(asked) == 1
    now[0] = 10.0
    assert resolver.addresses("h.invalid", 5.0) == ("192.0.2.1",)


def test_a_failure_that_can_heal_is_not_kept(look_ups):
    answers, _ = look_ups
    answers["h.invalid"] = [failing(socket.EAI_AGAIN), ["192.0.2.1"]]
    resolver = Resolver()
    with pytest.raises(socket.gaierror) as raised:
        resolver.addresses("h.invalid", 5.0)
    assert can_heal(raised.value)
    assert resolver.addresses("h.invalid", 5.0) == ("192.0.2.1",)


def test_one_look_up_serves_all_who_wait_and_a_late_answer_those_who_come(look_ups):
    answers, asked = look_ups
    release = threading.Event()
    answers["h.invalid"] = [lambda: release.wait(10) and ["192.0.2.1"]]
    resolver = Resolver()

    def look_up(_):
        try:
            return resolver.addresses("h.invalid", 0.2)
        except TimeoutError:
            return "timeout"

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(look_up, range(8))) == ["timeout"] * 8
    release.set()
    assert resolver.addresses("h.invalid", 5.0) == ("192.0.2.1",)
    assert asked == ["h.invalid"]


def test_a_slow_host_does_not_hold_up_another(look_ups):
    answers, _ = look_ups
    release = threading.Event()
    answers.update({"slow.invalid": [lambda: release.wait(10) and []], "h.invalid": [["192.0.2.1"]]})
    resolver = Resolver()
    with pytest.raises(TimeoutError):
        resolver.addresses("slow.invalid", 0.05)
    assert resolver.addresses("h.invalid", 5.0) == ("192.0.2.1",)
    release.set()
    with pytest.raises(socket.gaierror):  # an answer without addresses
        resolver.addresses("slow.invalid", 5.0)


def test_no_more_than_a_few_thousand_hosts_are_remembered(monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: [(2, 1, 6, "", ("192.0.2.1", 0))])
    monkeypatch.setattr("landmark_spark.core.resolving._NUM_KEPT", 10)
    resolver = Resolver()
    for number in range(50):
        resolver.addresses(f"h{number}.invalid", 5.0)
    assert len(resolver._look_ups) <= 10
