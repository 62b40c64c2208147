"""What a running stage tells, and what ``status`` says of a store."""

import json
import re
import threading
import time
from types import SimpleNamespace

import pytest

from landmark_spark.cli import main
from landmark_spark.commits import Commit, FileEntry, Note, Stamp, now
from landmark_spark.messages import teller
from landmark_spark.progress import Progress, listed_counts, told_progress
from landmark_spark.row_counts import count_by_first
from landmark_spark.run_events import Listener
from landmark_spark.schemas import IMAGES, METRICS
from landmark_spark.store import Store


def test_a_line_tells_rate_failures_and_time_left():
    progress = Progress(
        num_shards=8,
        num_done_shards=2,
        num_rows=3000,
        num_total=12000,
        num_failed=17,
        seconds=60.0,
        num_running_tasks=2,
        num_failed_tasks=1,
    )
    assert progress.rate == 50.0
    assert progress.seconds_left == 180.0  # 9,000 rows at 50 a second
    assert progress.line() == (
        "2 of 8 shards, 3,000 of 12,000 rows, 50 rows/s, 17 failed, 2 tasks running, 1 task attempt failed, "
        "about 3 min left"
    )


def test_a_stage_that_no_executor_works_on_says_where_to_look():
    def line(*, num_rows=0, seconds=60.0, is_waiting=True):
        return Progress(4, 0, num_rows, None, None, seconds, is_waiting=is_waiting).line()

    hint = "no executor takes a task: landmark-spark doctor --master MASTER says why"
    assert line() == f"0 of 4 shards, 0 rows, 0 rows/s, 0 tasks running, {hint}"
    assert hint not in line(seconds=59.0) + line(is_waiting=False) + line(num_rows=1)


def test_without_a_known_number_of_rows_the_shards_tell_the_time_left():
    progress = Progress(num_shards=4, num_done_shards=1, num_rows=10, num_total=None, num_failed=None, seconds=20.0)
    assert progress.seconds_left == 60.0
    assert progress.line() == "1 of 4 shards, 10 rows, 0 rows/s, 0 tasks running, about 60 s left"


def test_before_the_first_row_no_time_is_promised():
    progress = Progress(num_shards=4, num_done_shards=0, num_rows=0, num_total=40, num_failed=0, seconds=20.0)
    assert progress.seconds_left is None
    assert "left" not in progress.line()


@pytest.mark.parametrize(("seconds", "text"), [(89, "89 s"), (91, "2 min"), (7100, "118 min"), (9000, "2.5 h")])
def test_long_times_are_told_roughly(seconds, text):
    progress = Progress(1, 0, 1, 2, 0, float(seconds))
    assert progress.line().endswith(f"about {text} left")


def test_counts_add_up_over_shards_by_their_first_column():
    counts = [{"ok": {"a": 2, "b": 1}, "timeout": {"a": 1}}, {"ok": {"c": 4}}]
    assert count_by_first(counts) == {"ok": 7, "timeout": 1}
    assert listed_counts({"timeout": 1, "ok": 1234}) == "1,234 ok, 1 timeout"


def test_a_busy_accelerator_is_told_where_there_is_one():
    progress = Progress(4, 1, 10, None, None, 20.0, accelerator_busy=0.834)
    assert progress.line() == "1 of 4 shards, 10 rows, 0 rows/s, 0 tasks running, GPU 83% busy, about 60 s left"
    assert progress.fields() == {
        "shards_done": 1,
        "shards_total": 4,
        "rows": 10,
        "rows_total": None,
        "rows_per_second": 0.5,
        "failures": None,
        "seconds": 20.0,
        "eta_seconds": 60.0,
        "tasks_running": 0,
        "tasks_failed": 0,
        "accelerator_busy": 0.834,
    }


def fake_context(store, lines):
    stage = SimpleNamespace(numActiveTasks=2, numFailedTasks=0)
    tracker = SimpleNamespace(getActiveStageIds=lambda: [5], getStageInfo=lambda number: stage)
    spark = SimpleNamespace(sparkContext=SimpleNamespace(statusTracker=lambda: tracker))
    return SimpleNamespace(store=store, shards=(0, 1, 2), tell=lines.append, spark=spark)


def commit(shard, name, counts):
    rows = sum(sum(each.values()) for each in counts.values())
    stamp = Stamp("download_images", "f")
    return Commit(IMAGES.name, shard, rows, name, (FileEntry(name, 1, name),), stamp, counts=counts)


def test_progress_counts_what_this_run_has_committed_and_what_is_being_written(tmp_path):
    store = Store(str(tmp_path))
    store.commit(commit(0, "old", {"ok": {"h": 50}}))
    lines = []
    with told_progress(fake_context(store, lines), "download_images", IMAGES, {0: 50, 1: 30, 2: 20}, interval=0.05):
        store.commit(commit(1, "new", {"ok": {"h": 28}, "timeout": {"h": 2}}))
        note = Note(IMAGES.name, 2, 5, {"ok": {"h": 4}, "http_404": {"h": 1}}, now())
        store.write_bytes("_progress/images/shard=2.json", note.to_json().encode())
        deadline = time.monotonic() + 10
        while not any("35 of 100 rows" in line for line in lines) and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "download_images: 1 of 3 shards, 35 of 100 rows" in lines[-1]
    assert "3 failed, 2 tasks running" in lines[-1]
    assert "progress" not in [thread.name for thread in threading.enumerate()]


class Heard(Listener):
    interval = 0.02

    def __init__(self):
        self.events = []

    def hear(self, event):
        self.events.append(event)

    def wait_for(self, wanted):
        deadline = time.monotonic() + 10
        while not any(map(wanted, self.events)):
            assert time.monotonic() < deadline, self.events
            time.sleep(0.01)


def test_whoever_listens_hears_events_as_often_as_it_wants(tmp_path):
    heard = Heard()
    context = fake_context(Store(str(tmp_path)), [])
    context.tell = heard
    with told_progress(context, "download_images", IMAGES, {0: 50, 1: 30, 2: 20}, busy=lambda: 0.25):
        context.store.commit(commit(1, "new", {"ok": {"h": 28}, "timeout": {"h": 2}}))
        heard.wait_for(lambda event: event.fields.get("rows") == 30)
    event = heard.events[-1]
    assert event.name == "progress"
    assert event.line.startswith("download_images: 1 of 3 shards, 30 of 100 rows")
    found = {key: event.fields[key] for key in ("stage", "shards_done", "shards_total", "rows_total", "failures")}
    assert found == {
        "stage": "download_images",
        "shards_done": 1,
        "shards_total": 3,
        "rows_total": 100,
        "failures": 2,
    }
    assert event.fields["accelerator_busy"] == 0.25
    assert event.fields["eta_seconds"] == pytest.approx(event.fields["seconds"] * 7 / 3, abs=0.2)  # 70 rows after 30


def test_where_the_accelerators_are_elsewhere_the_tasks_say_how_busy_they_are(tmp_path):
    heard = Heard()
    context = fake_context(Store(str(tmp_path)), [])
    context.tell = heard
    for shard, busy in ((0, 0.5), (1, None), (2, 1.0)):
        context.store.leave_note(Note(IMAGES.name, shard, 5, {}, now(), accelerator_busy=busy))
    with told_progress(context, "download_images", IMAGES, None):
        heard.wait_for(lambda event: event.name == "progress")
    assert heard.events[-1].fields["accelerator_busy"] == 0.75


def test_of_results_made_whole_machines_hear_the_time_and_what_tasks_say(tmp_path):
    heard = Heard()
    context = fake_context(Store(str(tmp_path)), [])
    context.tell = heard
    teller(str(tmp_path), "fine_tune")("half the batch: the memory is full")
    with told_progress(context, "fine_tune", METRICS, None, busy=lambda: 1.0):
        heard.wait_for(lambda event: event.name == "progress")
    assert heard.events[0].line == "fine_tune: half the batch: the memory is full"
    event = next(each for each in heard.events if each.name == "progress")
    assert event.line == ""
    assert (event.fields["shards_done"], event.fields["shards_total"], event.fields["rows"]) == (0, 1, 0)
    assert event.fields["accelerator_busy"] == 1.0


def test_progress_ends_quietly_where_nobody_reads(tmp_path):
    class Gone(Listener):
        interval = 0.01
        asked = 0

        def hear(self, event):
            self.asked += 1
            raise BrokenPipeError

    gone = Gone()
    context = fake_context(Store(str(tmp_path)), [])
    context.tell = gone
    with told_progress(context, "download_images", IMAGES, None):
        deadline = time.monotonic() + 10
        while "progress" in [thread.name for thread in threading.enumerate()] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert time.monotonic() < deadline
    assert gone.asked == 1


def test_a_look_that_fails_does_not_end_the_stage(tmp_path):
    lines = []
    context = fake_context(Store(str(tmp_path)), lines)
    context.spark = None
    with told_progress(context, "download_images", IMAGES, None, interval=0.01):
        deadline = time.monotonic() + 10
        while not lines and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "progress is not known" in lines[0]


def test_results_made_whole_tell_no_progress(tmp_path):
    lines = []
    with told_progress(fake_context(Store(str(tmp_path)), lines), "write_report", METRICS, None, interval=0.0):
        pass
    assert lines == []


@pytest.mark.jvm
def test_status_says_where_a_finished_store_stands(finished, tiny_arguments, capsys):
    assert main(tiny_arguments("status", finished)) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^download_images +up to date  3/3     52 ", printed, re.MULTILINE)
    assert "downloads: 52 of 52 rows" in printed
    assert main([*tiny_arguments("status", finished), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert {each["state"] for each in status["stages"]} == {"up to date"}
    assert sum(status["downloads"]["statuses"].values()) == 52
    assert status["downloads"]["hosts"]["127.0.0.1"] == status["downloads"]["statuses"]
    assert status["in_work"] == []


@pytest.mark.jvm
def test_status_says_what_a_changed_setting_makes_stale(finished, tiny_arguments, capsys):
    assert main([*tiny_arguments("status", finished, "verify.min_inliers=20"), "--json"]) == 0
    states = {each["stage"]: each for each in json.loads(capsys.readouterr().out)["stages"]}
    assert states["verify_landmarks"]["state"] == "stale"
    assert states["verify_landmarks"]["reason"] == "verify.min_inliers changed from 35 to 20"
    assert states["download_images"]["state"] == "up to date"


def test_status_of_an_empty_store_says_that_nothing_is_made(tmp_path, tiny_arguments, capsys):
    assert main([*tiny_arguments("status", tmp_path / "store"), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert {each["state"] for each in status["stages"]} == {"not made"}
    assert status["downloads"]["num_rows"] == 0
