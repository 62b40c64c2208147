import io
import json
import threading
from datetime import UTC, datetime

import pytest

from landmark_spark.json_log import JsonLog, json_line
from landmark_spark.run_events import Event, Lines, QueuedListener, listener_of


def test_lines_are_those_of_the_events_that_have_one():
    said = []
    lines = listener_of(said.append)
    lines("a message")
    lines.hear(Event("stage_skip", fields={"stage": "fine_tune"}))
    lines.hear(Event("stage_end", "fine_tune: in 0.1 s"))
    assert said == ["a message", "fine_tune: in 0.1 s"]
    assert isinstance(lines, Lines)
    assert listener_of(lines) is lines


def test_an_event_is_one_object_in_one_line_whatever_it_quotes():
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    event = Event("message", "for people", {"level": "warning", "message": 'a "b"\nc\u2028\x1b[31mé'}, moment)
    assert json_line(event) == (
        '{"time": "2026-01-02T03:04:05.678Z", "event": "message", "level": "warning", '
        '"message": "a \\"b\\"\\nc\\u2028\\u001b[31m\\u00e9"}'
    )
    whole = Event("x", moment=datetime(2026, 1, 2, 3, 4, 5, 0, UTC))
    assert json.loads(json_line(whole))["time"] == "2026-01-02T03:04:05.000Z"


def test_a_log_holds_what_many_threads_say_each_in_a_line_and_in_its_order():
    stream = io.StringIO()
    with JsonLog(stream) as log:
        threads = [
            threading.Thread(target=lambda name=name: [log(f"{name} {number}") for number in range(200)])
            for name in "abc"
        ]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        log("stage: warning: the last")
    heard = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert len(heard) == 601
    for name in "abc":
        mine = [each["message"] for each in heard if each["message"].startswith(f"{name} ")]
        assert mine == [f"{name} {number}" for number in range(200)]
    assert [each["level"] for each in heard] == ["info"] * 600 + ["warning"]


class Deaf(QueuedListener):
    def __init__(self):
        super().__init__()
        self.closed = False

    def write(self, event):
        raise BrokenPipeError("nobody reads")

    def close(self):
        self.closed = True


def test_whoever_tells_learns_that_nobody_reads_any_more():
    deaf = Deaf()
    with pytest.raises(BrokenPipeError), deaf:
        deaf("one")
        deaf._thread.join(10)
        deaf("two")
    assert deaf.closed


def test_what_broke_at_the_last_event_is_raised_at_the_end():
    with pytest.raises(BrokenPipeError), Deaf() as deaf:
        deaf("one")


def test_what_went_wrong_in_the_block_is_what_counts():
    with pytest.raises(ValueError, match="a stage"), Deaf() as deaf:
        deaf("one")
        raise ValueError("a stage failed")
