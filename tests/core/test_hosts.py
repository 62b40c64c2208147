import heapq
import itertools
import math
import time

import pytest

from landmark_spark.core.hosts import HostQueue, Turn


def queue_of(max_connections: int = 2, rate: float = 0.0, longest_wait: float = 30.0) -> HostQueue[str]:
    return HostQueue(max_connections=max_connections, requests_per_second=rate, longest_wait=longest_wait)


def taken(queue: HostQueue[str], now: float) -> list[tuple[str, str]]:
    """What can be taken now, as (job, reason)."""
    turns = list(iter(lambda: queue.take(now), None))
    return [(turn.job, turn.reason) for turn in turns]


def test_jobs_of_one_host_go_in_order_up_to_its_connections():
    queue = queue_of(max_connections=2)
    for job in ("a1", "a2", "a3"):
        queue.put("a", job, 0.0)
    assert taken(queue, 0.0) == [("a1", "ask"), ("a2", "ask")]
    assert queue.next_time(0.0) == math.inf  # only a release helps
    queue.release("a", 1.0, has_failed=False)
    assert queue.take(1.0) == Turn("a3", "a", "ask")
    assert queue.take(1.0) is None


def test_the_host_with_the_fewest_requests_under_way_is_next():
    queue = queue_of(max_connections=3)
    for job in ("a1", "a2", "a3", "b1", "b2"):
        queue.put(job[0], job, 0.0)
    assert [job for job, _ in taken(queue, 0.0)] == ["a1", "b1", "a2", "b2", "a3"]


def test_requests_to_a_host_are_spaced_by_its_rate():
    queue = queue_of(max_connections=9, rate=4.0)
    for job in ("a1", "a2", "a3", "b1"):
        queue.put(job[0], job, 10.0)
    assert taken(queue, 10.0) == [("a1", "ask"), ("b1", "ask")]
    assert queue.next_time(10.0) == 10.25
    assert taken(queue, 10.24) == []
    assert taken(queue, 10.25) == [("a2", "ask")]
    assert taken(queue, 11.0) == [("a3", "ask")]  # what went unused is not made up for
    queue.put("a", "a4", 11.0)
    assert taken(queue, 11.2) == []
    assert taken(queue, 11.25) == [("a4", "ask")]


def test_a_job_waits_for_its_own_time_and_then_goes_before_new_ones():
    queue = queue_of(max_connections=1)
    queue.put("a", "again", 0.0, not_before=2.0, ends_at=30.0)
    queue.put("a", "new 1", 0.0)
    queue.put("a", "new 2", 0.0)
    assert queue.take(0.0) == Turn("new 1", "a", "ask")
    queue.release("a", 2.0, has_failed=False)
    assert taken(queue, 2.0) == [("again", "ask")]


def test_nothing_waits_for_a_time_while_there_is_something_to_do():
    queue = queue_of()
    queue.put("a", "later", 0.0, not_before=2.0, ends_at=30.0)
    assert (queue.take(0.0), queue.next_time(0.0)) == (None, 2.0)
    queue.put("b", "now", 1.0)
    assert queue.next_time(1.0) == 1.0
    assert taken(queue, 1.0) == [("now", "ask")]
    assert queue.next_time(1.0) == 2.0


def test_a_begun_job_that_still_waits_at_its_end_expires():
    queue = queue_of(max_connections=1)
    queue.put("a", "first", 0.0)
    assert taken(queue, 0.0) == [("first", "ask")]
    queue.put("a", "begun", 0.0, ends_at=5.0)
    queue.put("a", "new", 0.0)
    assert queue.next_time(0.0) == 5.0
    assert taken(queue, 4.9) == []
    assert taken(queue, 5.0) == [("begun", "expired")]
    queue.release("a", 6.0, has_failed=False)
    assert taken(queue, 6.0) == [("new", "ask")]


def test_a_job_taken_in_time_does_not_expire():
    queue = queue_of()
    queue.put("a", "begun", 0.0, ends_at=5.0)
    assert taken(queue, 1.0) == [("begun", "ask")]
    assert (taken(queue, 6.0), queue.next_time(6.0)) == ([], math.inf)


def test_a_job_without_host_is_taken_at_once():
    queue = queue_of()
    queue.put("a", "waits", 0.0)
    queue.put_ended("bad")
    assert taken(queue, 0.0) == [("bad", "expired"), ("waits", "ask")]


def test_a_wish_to_wait_holds_the_whole_host_and_no_other():
    queue = queue_of()
    for job in ("a1", "a2", "b1"):
        queue.put(job[0], job, 0.0)
    assert queue.take(0.0) == Turn("a1", "a", "ask")
    queue.release("a", 1.0, has_failed=True, wait=30.0)  # the longest that is waited for
    assert queue.free_from("a") == 31.0
    assert taken(queue, 1.0) == [("b1", "ask")]
    assert queue.next_time(1.0) == 31.0
    assert taken(queue, 31.0) == [("a2", "ask")]


def test_a_shorter_wish_does_not_shorten_a_longer_one():
    queue = queue_of()
    for job in ("a1", "a2", "a3"):
        queue.put("a", job, 0.0)
    taken(queue, 0.0)
    queue.release("a", 1.0, has_failed=True, wait=20.0)
    queue.release("a", 2.0, has_failed=True, wait=1.0)
    assert taken(queue, 20.9) == []
    assert taken(queue, 21.0) == [("a3", "ask")]


def fail_in_a_row(queue: HostQueue[str], number: int, now: float) -> None:
    for _ in range(number):
        queue.put("a", "failing", now)
        assert queue.take(now) == Turn("failing", "a", "ask")
        queue.release("a", now, has_failed=True)


def test_nineteen_failures_and_an_answer_leave_a_host_available():
    queue = queue_of()
    for _ in range(3):
        fail_in_a_row(queue, 19, 0.0)
        queue.put("a", "answered", 0.0)
        queue.take(0.0)
        queue.release("a", 0.0, has_failed=False)
    queue.put("a", "next", 0.0)
    assert taken(queue, 0.0) == [("next", "ask")]


def test_twenty_failures_in_a_row_end_what_waits_and_what_comes_for_a_minute():
    queue = queue_of(max_connections=2)
    fail_in_a_row(queue, 19, 0.0)
    queue.put("a", "twentieth", 0.0)
    queue.put("b", "other", 0.0)
    queue.take(0.0)
    for job in ("waits 1", "waits 2"):
        queue.put("a", job, 0.0)
    queue.put("a", "has a time", 0.0, not_before=9.0, ends_at=30.0)
    queue.release("a", 1.0, has_failed=True)
    queue.put("a", "comes", 60.9)
    assert taken(queue, 60.9) == [
        ("has a time", "unavailable"),
        ("waits 1", "unavailable"),
        ("waits 2", "unavailable"),
        ("comes", "unavailable"),
        ("other", "ask"),
    ]
    queue.put("a", "after", 61.0)
    assert taken(queue, 61.0) == [("after", "ask")]


def test_after_its_rest_a_host_gets_one_request_at_a_time_until_one_is_answered():
    queue = queue_of(max_connections=2)
    fail_in_a_row(queue, 20, 0.0)
    for job in ("probe", "a1", "a2", "a3"):
        queue.put("a", job, 60.0)
    assert taken(queue, 60.0) == [("probe", "ask")]
    queue.release("a", 61.0, has_failed=True)  # one failure is enough now
    assert taken(queue, 61.0) == [("a1", "unavailable"), ("a2", "unavailable"), ("a3", "unavailable")]
    for job in ("probe", "a1", "a2", "a3"):
        queue.put("a", job, 121.0)
    assert taken(queue, 121.0) == [("probe", "ask")]
    queue.release("a", 122.0, has_failed=False)
    assert taken(queue, 122.0) == [("a1", "ask"), ("a2", "ask")]
    queue.release("a", 123.0, has_failed=True)
    assert taken(queue, 123.0) == [("a3", "ask")]  # its failures count from none again


def test_what_was_under_way_when_a_host_went_down_does_not_lengthen_its_rest():
    queue = queue_of(max_connections=3)
    fail_in_a_row(queue, 18, 0.0)
    for job in ("a1", "a2", "a3"):
        queue.put("a", job, 0.0)
    assert len(taken(queue, 0.0)) == 3
    for now in (0.0, 0.0, 50.0):
        queue.release("a", now, has_failed=True)
    queue.put("a", "after", 60.0)
    assert taken(queue, 60.0) == [("after", "ask")]


def test_no_wish_keeps_a_host_away_for_more_than_ten_minutes():
    queue = queue_of(max_connections=1)
    queue.put("a", "asked", 0.0)
    assert [job for job, _ in taken(queue, 0.0)] == ["asked"]
    queue.release("a", 0.0, has_failed=True, wait=1e17)
    queue.put("a", "before", 599.0)
    queue.put("a", "after", 600.0)
    assert taken(queue, 600.0) == [("before", "unavailable"), ("after", "ask")]


def test_a_wish_to_wait_too_long_makes_a_host_unavailable_for_that_time():
    queue = queue_of(max_connections=3)
    for job in ("a1", "a2", "a3", "a4"):
        queue.put("a", job, 0.0)
    assert [job for job, _ in taken(queue, 0.0)] == ["a1", "a2", "a3"]
    queue.release("a", 0.0, has_failed=True, wait=500.0)
    assert taken(queue, 0.0) == [("a4", "unavailable")]
    queue.release("a", 1.0, has_failed=False)  # was under way: the wish stands
    queue.release("a", 1.0, has_failed=True)
    queue.put("a", "before", 499.0)
    queue.put("a", "after", 500.0)
    queue.put("a", "waits", 500.0)
    assert taken(queue, 500.0) == [("before", "unavailable"), ("after", "ask")]


def simulate(num_hosts: int, jobs_per_host: int) -> tuple[int, int, int]:
    """Serve all jobs, a third failing once, with 16 requests under way: asked, given up, most at once to a host."""
    queue = queue_of(max_connections=2, rate=1.0)
    for number in range(num_hosts * jobs_per_host):
        queue.put(f"host {number % num_hosts}", f"{number}", 0.0)
    now, num_asked, num_given_up, most = 0.0, 0, 0, 0
    running: list[tuple[float, int, Turn[str]]] = []
    at_host: dict[str, int] = {}
    last: dict[str, float] = {}
    ties = itertools.count()
    while True:
        while len(running) < 16 and (turn := queue.take(now)):
            if turn.reason != "ask":
                num_given_up += 1
                continue
            assert now - last.get(turn.host, -1.0) >= 1.0 - 1e-6
            last[turn.host] = now
            num_asked += 1
            at_host[turn.host] = at_host.get(turn.host, 0) + 1
            most = max(most, at_host[turn.host])
            heapq.heappush(running, (now + 0.01, next(ties), turn))
        if not running and queue.next_time(now) == math.inf:
            return num_asked, num_given_up, most
        now = max(
            now, min(queue.next_time(now) if len(running) < 16 else math.inf, running[0][0] if running else math.inf)
        )
        while running and running[0][0] <= now:
            turn = heapq.heappop(running)[-1]
            at_host[turn.host] -= 1
            fails = turn.job.isdigit() and int(turn.job) % 3 == 0
            queue.release(turn.host, now, has_failed=fails)
            if fails:
                queue.put(turn.host, f"{turn.job} again", now, not_before=now + 0.5, ends_at=now + 1e6)


def test_every_job_is_served_at_the_rate_and_the_work_for_thousands_of_hosts_is_no_more_for_each():
    started = time.process_time()
    assert simulate(num_hosts=10, jobs_per_host=300) == (4000, 0, 1)
    few = time.process_time() - started
    started = time.process_time()
    assert simulate(num_hosts=3000, jobs_per_host=1) == (4000, 0, 1)
    many = time.process_time() - started
    assert many < 10 * few + 1.0  # a scan over the hosts for each of them would be hundreds of times as long


def test_hosts_without_work_are_forgotten():
    queue = queue_of(rate=1.0)
    for number in range(20_000):
        queue.put(f"host {number}", "job", float(number))
        assert queue.take(float(number)) is not None
        queue.release(f"host {number}", float(number), has_failed=False)
    assert len(queue._hosts) <= 2048
    assert len(queue._free) + len(queue._soon) + len(queue._ends) <= 3 * (2 * 2048 + 64)


@pytest.mark.parametrize("ends_at", [5.0, math.inf])
def test_what_was_ended_is_not_taken_again(ends_at):
    queue = queue_of(max_connections=1)
    fail_in_a_row(queue, 19, 0.0)
    queue.put("a", "twentieth", 0.0)
    queue.take(0.0)
    queue.put("a", "waits", 0.0, ends_at=ends_at)
    queue.release("a", 0.0, has_failed=True)
    assert taken(queue, 0.0) == [("waits", "unavailable")]
    assert (taken(queue, 100.0), queue.next_time(100.0)) == ([], math.inf)
