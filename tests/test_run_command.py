import json
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from landmark_spark import runner
from landmark_spark.cli import main
from landmark_spark.pipeline import STAGES
from landmark_spark.run_events import Event
from landmark_spark.run_records import RunRecord

RECORDS = [
    RunRecord("download_images", 8, 1500, 12.0, "images not made yet"),
    RunRecord("train_top_model", 1, 0, 16.84, "forced"),
]


@pytest.fixture
def played(monkeypatch):
    """Plays a run of these records: it says a line, then what a stage would."""

    def play(config, choice, tell, *, wait, command):
        tell("download_images: warning: slow")
        tell.hear(Event("stage_end", "download_images: 1500 rows in 12.0 s", RECORDS[0].fields()))
        if isinstance(play.error, BaseException):
            failed = RunRecord("extract_bottlenecks", 3, 0, 2.0, "bottlenecks not made yet")
            tell.hear(Event("stage_error", fields={**failed.fields(), "error": str(play.error)}))
            raise play.error
        tell.hear(Event("stage_end", "", RECORDS[1].fields()))
        for stage, reason in (("fine_tune", "up to date"), ("download_images", "up to date")):  # once more
            tell.hear(Event("stage_skip", fields={"stage": stage, "reason": reason}))
        return []

    play.error = None
    monkeypatch.setattr(runner, "run", play)
    return play


def logged(printed):
    return [json.loads(line) for line in printed.splitlines()]


def test_the_table_says_of_every_stage_whether_it_was_run_and_why(played, tmp_path, capsys):
    assert main(["run", "--set", f"store={tmp_path}", "--to", "fine_tune"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["download_images: warning: slow", "download_images: 1500 rows in 12.0 s", ""]
    assert lines[3].split() == ["stage", "outcome", "shards", "rows", "seconds", "rows/s", "why"]
    table = {line.split()[0]: line.split()[1:] for line in lines[4 : 4 + len(STAGES)]}
    assert list(table) == [stage.name for stage in STAGES]
    # 1,500 rows in 12 s are 125 a second.
    assert table["download_images"] == ["run", "8", "1,500", "12.0", "125.0", "images", "not", "made", "yet"]
    assert table["train_top_model"] == ["run", "1", "16.8", "forced"]
    assert table["fine_tune"] == ["skipped", "up", "to", "date"]
    assert table["write_report"] == ["skipped", "not", "chosen"]
    assert len(lines) == 4 + len(STAGES)


def test_a_json_log_is_one_object_a_line_from_start_to_end(played, tmp_path, capsys):
    assert main(["run", "--set", f"store={tmp_path}", "--log-format", "json", "--only", "download_images"]) == 0
    printed = capsys.readouterr()
    log = logged(printed.out)
    assert printed.err == ""
    events = ["run_start", "message", "stage_end", "stage_end", "stage_skip", "stage_skip", "run_end"]
    assert [each["event"] for each in log] == events
    assert log[0]["stages"] == ["download_images"]
    assert log[0]["log_format"] == 1
    assert log[2] | {"time": ""} == {
        "time": "",
        "event": "stage_end",
        "stage": "download_images",
        "shards_total": 8,
        "rows": 1500,
        "rows_per_second": 125.0,
        "seconds": 12.0,
        "reason": "images not made yet",
    }
    stages = {each["stage"]: each for each in log[-1]["stages"]}
    assert list(stages) == [stage.name for stage in STAGES]
    outcomes = {name: (each["outcome"], each["reason"]) for name, each in stages.items()}
    assert outcomes["download_images"] == ("run", "images not made yet")
    assert outcomes["fine_tune"] == ("skipped", "up to date")
    assert outcomes["write_report"] == ("skipped", "not chosen")
    assert log[-1]["exit_status"] == 0
    assert log[-1]["seconds"] == 28.84  # 12 and 16.84


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "train.epoch=3"], "Did you mean train.epochs?"),
        (["--only", "nothing"], "a stage should be one of index_images"),
        (["--set", "serve_folder=/nowhere"], "serve_folder should be a folder"),
    ],
)
def test_the_callers_mistake_is_an_object_too_and_the_status_stays(tmp_path, capsys, options, message):
    assert main(["run", "--set", f"store={tmp_path}", "--log-format", "json", *options]) == 2
    printed = capsys.readouterr()
    error = logged(printed.out)[-1]
    assert printed.err == ""
    assert (error["event"], error["exit_status"]) == ("error", 2)
    assert message in error["error"]


def test_so_is_a_mistake_in_the_options(monkeypatch, capsys):
    words = ["run", "--log-format=json", "--bogus"]
    monkeypatch.setattr(sys, "argv", ["landmark-spark", *words])
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert logged(printed.out)[0]["error"] == "unrecognized arguments: --bogus"
    assert "unrecognized arguments: --bogus" in printed.err


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (runner.StageError("fine_tune failed: no space"), 1, "fine_tune failed: no space"),
        (runner.Interrupted(), 130, "interrupted"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_a_run_that_fails_says_so_in_its_last_line(played, tmp_path, capsys, error, status, said):
    played.error = error
    assert main(["run", "--set", f"store={tmp_path}", "--log-format", "json"]) == status
    log = logged(capsys.readouterr().out)
    assert [each["event"] for each in log] == ["run_start", "message", "stage_end", "stage_error", "error"]
    assert (log[-1]["error"], log[-1]["exit_status"]) == (said, status)


def test_a_run_that_fails_shows_how_far_it_came(played, tmp_path, capsys):
    played.error = runner.StageError("extract_bottlenecks failed: no space")
    assert main(["run", "--set", f"store={tmp_path}", "--from", "download_images"]) == 1
    printed = capsys.readouterr()
    assert printed.err == "error: extract_bottlenecks failed: no space\n"
    table = {line.split()[0]: " ".join(line.split()[1:]) for line in printed.out.splitlines() if line}
    assert table["index_images"] == "skipped not chosen"
    assert table["download_images"] == "run 8 1,500 12.0 125.0 images not made yet"
    assert table["extract_bottlenecks"] == "failed 3 2.0 bottlenecks not made yet"
    assert table["train_top_model"] == "not reached"


def test_a_fault_of_the_program_is_logged_and_raised(played, tmp_path, capsys):
    played.error = RuntimeError("what nobody thought of")
    with pytest.raises(RuntimeError):
        main(["run", "--set", f"store={tmp_path}", "--log-format", "json"])
    assert logged(capsys.readouterr().out)[-1]["error"] == "RuntimeError: what nobody thought of"


def test_an_interrupted_run_says_no_more_than_it_did(played, tmp_path, capsys):
    played.error = runner.Interrupted()
    assert main(["run", "--set", f"store={tmp_path}"]) == 130
    printed = capsys.readouterr()
    assert printed.err == ""
    assert printed.out.splitlines() == ["download_images: warning: slow", "download_images: 1500 rows in 12.0 s"]


def test_results_come_with_the_end_where_the_report_was_made(played, tmp_path, capsys, monkeypatch):
    modes = {"fused": {"gap": 0.9, "top1": 0.8, "num_predictions": 117}}
    metrics = {"modes": modes, "counts": {"rejects": 1, "failed_downloads": 4}, "submission_mode": "fused"}
    monkeypatch.setattr(runner, "read_metrics", lambda config: metrics)
    monkeypatch.setattr(runner, "run", lambda *_, **__: [])
    assert main(["run", "--set", f"store={tmp_path}", "--log-format", "json"]) == 0
    assert logged(capsys.readouterr().out)[-1]["results"] == modes
    assert main(["run", "--set", f"store={tmp_path}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-8:-4] == [
        "1 row refused, 4 downloads failed (status --failed lists them)",
        "",
        "result                   GAP     top-1   predictions",
        "fused with verification  0.9000  0.8000  117",
    ]
    assert lines[-3:] == [
        f"submission: {tmp_path}/submission.csv (fused)",
        f"metrics:    {tmp_path}/metrics.json",
        f"report:     {tmp_path}/report/index.html",
    ]


def test_a_log_that_nobody_reads_ends_the_run_as_printing_would(played, tmp_path, monkeypatch):
    class Pipe(SimpleNamespace):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Pipe(fileno=lambda: 99, isatty=lambda: False))
    monkeypatch.setattr("os.dup2", lambda *_: None)
    assert main(["run", "--set", f"store={tmp_path}", "--log-format", "json"]) == 141


def documented():
    """The fields of each event, as docs/progress.md lists them."""
    text = (Path(__file__).resolve().parent.parent / "docs" / "progress.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| `")]
    lists = {event.strip("`"): re.sub(r": [^,]*", "", fields) for event, _, fields in rows}
    return {event: set(re.findall(r"`(\w+)`", fields)) for event, fields in lists.items()}


@pytest.mark.jvm
def test_every_event_of_a_run_has_the_fields_that_are_documented(finished, tiny_arguments, tmp_path, capsys):
    store = tmp_path / "store"
    shutil.copytree(finished, store)
    words = [*tiny_arguments("run", store), "--log-format", "json"]
    assert main([*words, "--only", "download_images", "--force"]) == 0
    assert main([*words, "--only", "download_images"]) == 0
    shutil.rmtree(store / "records")
    assert main([*words, "--only", "download_images", "--force"]) == 1
    log = logged(capsys.readouterr().out)
    fields = documented()
    for each in log:
        assert set(each) - {"time", "event"} == fields[each["event"]], each["event"]
    events = [each["event"] for each in log if each["event"] not in ("progress", "message")]
    assert events == [
        *("run_start", "stage_start", "stage_end", "run_end"),
        *("run_start", "stage_skip", "run_end"),
        *("run_start", "stage_error", "error"),
    ]
    end = next(each for each in log if each["event"] == "stage_end")
    assert end | {"time": "", "seconds": 0, "rows_per_second": 0} == {
        "time": "",
        "event": "stage_end",
        "stage": "download_images",
        "shards_total": 3,
        "rows": 52,
        "rows_per_second": 0,
        "failures": 4,
        "seconds": 0,
        "reason": "forced",
        "counts": {"ok": 48, "http_404": 4},
    }
    assert end["rows_per_second"] == pytest.approx(52 / end["seconds"], rel=0.01)
