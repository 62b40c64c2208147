"""Where a store stands: from its books alone, without Spark."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from landmark_spark.claims import ALL, Claim
from landmark_spark.cli import main
from landmark_spark.commits import WHOLE, Commit, FileEntry, Mark, Note, Stamp
from landmark_spark.config import load_config
from landmark_spark.pipeline import expectations, stage_named
from landmark_spark.planning import Choice, Inventory, input_digests
from landmark_spark.processes import this_process
from landmark_spark.run_command import metrics_lines
from landmark_spark.run_lock import Asking, held_lock
from landmark_spark.run_records import INTERRUPTED, RunRecord, read_record, write_record
from landmark_spark.runner import claimed, read_metrics
from landmark_spark.schemas import IMAGES
from landmark_spark.status import take_status
from landmark_spark.store import Store
from landmark_spark.toy_inputs import draw_inputs

NUM_SHARDS = 3


@pytest.fixture
def config(tmp_path):
    chosen = [f"store={tmp_path}", f"index.num_shards={NUM_SHARDS}", "toy.num_landmarks=2", "toy.photos_per_landmark=2"]
    return load_config(None, [*chosen, "toy.num_test=4", "backbone.weights=random"])


@pytest.fixture
def store(config):
    return Store(config.store)


def commit(config, store, stage_name, shards):
    """Commit what a stage would have made."""
    stage = stage_named(stage_name)
    expected = expectations(draw_inputs(config))[stage_name]
    commits = {each.output.name: store.commits(each.output) for each in stage.reads}
    for output in stage.outputs:
        for shard in shards if output.sharded else [WHOLE]:
            file = store.write_bytes(f"{output.name}/{shard}", b"x")
            stamp = expected.stamp(input_digests(stage, shard if stage.sharded else WHOLE, Inventory(commits)))
            store.commit(Commit(output.name, shard, 5, "d", (FileEntry(file.path, 1, file.sha256),), stamp))


def states(config):
    return {each.stage: each for each in take_status(config).stages}


def test_what_was_never_made_is_said(config):
    assert {each.state for each in states(config).values()} == {"not made"}


def test_a_partial_stage_says_which_shards_are_wanting(config, store, capsys):
    commit(config, store, "index_images", range(NUM_SHARDS))
    commit(config, store, "download_images", [1])
    write_record(store, RunRecord("index_images", 1, 15, 2.5, "records not made yet"))
    found = states(config)
    index, download = found["index_images"], found["download_images"]
    assert (index.state, index.num_rows, index.seconds) == ("up to date", 15, 2.5)
    assert (download.state, download.num_current_shards, download.wanting) == ("partial", 1, (0, 2))
    assert download.made.startswith("20")
    assert main(["status", *options(config)]) == 0
    assert "images not made yet (shards 0, 2)" in capsys.readouterr().out


def options(config):
    chosen = [f"store={config.store}", "index.num_shards=3", "toy.num_landmarks=2", "toy.photos_per_landmark=2"]
    words = [*chosen, "toy.num_test=4", "backbone.weights=random"]
    return [word for each in words for word in ("--set", each)]


def test_a_stale_stage_says_which_setting_changed(config, store):
    commit(config, store, "index_images", range(NUM_SHARDS))
    changed = dataclasses.replace(config, index=dataclasses.replace(config.index, seed=5))
    state = states(changed)["index_images"]
    assert (state.state, state.reason) == ("stale", "index.seed changed from 0 to 5")


def test_an_interrupted_stage_did_not_fail(config, store, capsys):
    write_record(store, RunRecord("index_images", 1, 0, 1.0, "records not made yet", error=INTERRUPTED))
    state = states(config)["index_images"]
    assert (state.state, state.reason, state.error) == ("interrupted", "records not made yet", "")
    assert main(["status", *options(config)]) == 0
    assert "failed" not in capsys.readouterr().out


def test_a_failed_stage_says_its_error_until_it_is_made(config, store, capsys):
    record = RunRecord("index_images", 1, 0, 1.0, "records not made yet", error="index_images failed: No space left")
    write_record(store, record)
    state = states(config)["index_images"]
    assert (state.state, state.error, state.seconds) == ("failed", "index_images failed: No space left", None)
    assert main(["status", *options(config)]) == 0
    assert "index_images failed in its last run: index_images failed: No space left" in capsys.readouterr().out
    commit(config, store, "index_images", range(NUM_SHARDS))
    assert (states(config)["index_images"].state, states(config)["index_images"].error) == ("up to date", "")


def test_the_runs_at_work_are_named_with_their_stage(config, store, capsys):
    choice = Choice((stage_named("index_images"),))
    with held_lock(store, Asking("landmark-spark run", *claimed(choice)), print) as lock:
        lock.at("index_images")
        assert states(config)["index_images"].state == "running"
        assert main(["status", *options(config), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
    (holder,) = told["holders"]
    assert (holder["command"], holder["stage"]) == ("landmark-spark run", "index_images")
    assert (holder["process"]["pid"], holder["known_to_live"]) == (os.getpid(), True)
    assert take_status(config).holders == ()


def claim_of_before_the_reboot(stage):
    process = dataclasses.replace(this_process(), machine="the boot before")
    return Claim("ab" * 16, "landmark-spark run", process, "then", {"records": ALL}, state="held", stage=stage)


def test_a_lock_of_before_a_reboot_or_of_another_machine_hides_no_failure_and_is_told_as_not_known(
    config, store, capsys
):
    store.write_bytes(f"_locks/{'ab' * 16}.json", claim_of_before_the_reboot("index_images").to_json().encode())
    assert states(config)["index_images"].state == "not made"
    write_record(store, RunRecord("index_images", 1, 0, 1.0, "records not made yet", error="No space left"))
    assert states(config)["index_images"].state == "failed"
    assert main(["status", *options(config)]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if each.startswith("a run is at work")]
    assert line.endswith("since then, now at index_images (it may have ended: that cannot be told from here)")
    assert main(["status", *options(config), "--json"]) == 0
    (holder,) = json.loads(capsys.readouterr().out)["holders"]
    assert (holder["stage"], holder["known_to_live"]) == ("index_images", False)


def plant(store, path, text, **changes):
    """Leave a file of the books as others could: with values that none of ours would write."""
    store.write_bytes(path, json.dumps(json.loads(text) | changes).encode())


def shown(config, capsys):
    """Return what status prints, as a terminal of UTF-8 gets it."""
    assert main(["status", *options(config)]) == 0
    printed = capsys.readouterr().out
    printed.encode()
    assert all(line.isprintable() for line in printed.splitlines())
    assert main(["status", *options(config), "--json"]) == 0
    json.loads(capsys.readouterr().out)
    return printed


EVIL = "\x1b[2J\udcff"


def test_texts_that_others_planted_reach_no_terminal_as_they_are(config, store, capsys):
    commit(config, store, "index_images", range(NUM_SHARDS))
    stamp = Stamp("download_images", "f", {EVIL: 1, "backbone.name": EVIL})
    counts = {EVIL: {EVIL: 3}, "ok": {"h.example": 2}}
    store.commit(Commit("images", 0, 5, "d", (), stamp, counts=counts))
    plant(store, "_progress/images/shard=1.json", Note("images", 1, 0, {}, "then").to_json(), host=EVIL)
    plant(store, f"_locks/{'ab' * 16}.json", claim_of_before_the_reboot("").to_json(), command=EVIL)
    plant(
        store, "_runs/extract_bottlenecks.json", '{"num_shards": 1, "num_rows": 1, "seconds": 1}', reason="", error=EVIL
    )
    plant(store, "_marks/images/shard=0.json", Mark("images", 0, "x").to_json(), reason=EVIL)
    (Path(config.store) / "_commits" / "images" / "\x1b[2J.json").write_bytes(b"{")
    printed = shown(config, capsys)
    assert "extract_bottlenecks failed in its last run: \ufffd[2J\ufffd" in printed
    assert [line.split() for line in printed.splitlines() if "h.example" in line] == [["h.example", "2", "0"]]
    assert "a status that this release does not know" in printed
    assert take_status(config).holders == ()


def test_a_setting_that_others_planted_into_a_commit_is_told_printable(config, store, capsys):
    commit(config, store, "index_images", range(NUM_SHARDS))
    store.commit(Commit("images", 0, 5, "d", (), Stamp("download_images", "f", {EVIL: EVIL})))
    assert "\ufffd[2J\ufffd changed from \ufffd[2J\ufffd to None" in shown(config, capsys)


@pytest.mark.parametrize(
    "counts", [{"ok": 5}, {"ok": {"h.example": {"more": 5}}}, {"ok": {"h.example": 2}, "timeout": 3}]
)
def test_a_commit_or_a_note_whose_counts_are_of_other_columns_counts_as_not_there(config, store, capsys, counts):
    stamp = Stamp("download_images", "f")
    store.commit(Commit("images", 0, 5, "d", (), stamp, counts=counts))
    store.commit(Commit("images", 2, 4, "d", (), stamp, counts={"ok": {"h.example": 4}}))
    store.leave_note(Note("images", 1, 5, counts, "then"))
    shown(config, capsys)
    assert dict(take_status(config).downloads.statuses) == {"ok": 4}
    reader = Store(store.url)
    assert (list(reader.commits(IMAGES)), reader.notes(IMAGES)) == ([2], {})
    assert list(reader.unreadable.values()) == ["its counts should be by status, host"]


def test_a_commit_without_counts_is_of_a_release_that_counted_nothing(store):
    store.commit(Commit("images", 0, 5, "d", (), Stamp("download_images", "f")))
    assert list(store.commits(IMAGES)) == [0]


METRICS = {
    "submission_mode": "fused",
    "modes": {"fused": {"gap": 0.5, "top1": 1, "num_predictions": 4}},
    "counts": {"rejects": 3, "failed_downloads": 2},
}
MODE = METRICS["modes"]["fused"]


@pytest.mark.parametrize(
    "metrics",
    [
        *([], 3, "x", None, {}),
        *(METRICS | {name: each} for name in METRICS for each in (None, 5, [], {"x": 1}, {EVIL: MODE}, EVIL)),
        *(
            METRICS | {"modes": {"fused": MODE | {name: each}}}
            for name in MODE
            for each in (None, "1", -1, 10**400, float("nan"))
        ),
        *(METRICS | {"counts": {"rejects": 3, "failed_downloads": each}} for each in (None, -1, 0.5, "2")),
    ],
)
def test_metrics_that_no_run_wrote_are_none(config, store, metrics):
    store.write_bytes("metrics.json", json.dumps(metrics).encode())
    assert read_metrics(config) is None


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_metrics_that_are_no_json_are_none(config, store, data):
    store.write_bytes("metrics.json", data)
    assert read_metrics(config) is None


def test_results_are_shown_also_in_a_mode_of_another_release(config, store):
    assert read_metrics(config) is None
    modes = {"fused": MODE, "by_hand": MODE | {"num_predictions": 9}}
    store.write_bytes("metrics.json", json.dumps(METRICS | {"modes": modes}).encode())
    lines = metrics_lines(config, read_metrics(config))
    assert lines[1] == "3 rows refused, 2 downloads failed (status --failed lists them)"
    assert [line.split()[-4:] for line in lines[4:6]] == [
        ["verification", "0.5000", "1.0000", "4"],
        ["by_hand", "0.5000", "1.0000", "9"],
    ]


def test_parts_that_run_side_by_side_keep_their_records_apart(store):
    write_record(store, RunRecord("download_images", 4, 40, 8.0, "images not made yet"))
    for index, error in ((1, ""), (2, "No space left")):
        write_record(store, RunRecord("download_images", 2, 20, 3.0, "changed", error), (index, 2))
    found = read_record(store, "download_images")
    assert (found.num_shards, found.num_rows, found.seconds, found.error) == (4, 40, 6.0, "No space left")
    write_record(store, RunRecord("download_images", 1, 10, 2.0, "changed"), (2, 2))
    assert read_record(store, "download_images").error == ""


@pytest.mark.parametrize("part", [None, (1, 4)])
def test_a_record_of_all_shards_or_of_other_parts_takes_the_place_of_parts(store, part):
    for index in (1, 2):
        write_record(store, RunRecord("download_images", 2, 20, 3.0, "changed", "No space left"), (index, 2))
    write_record(store, RunRecord("download_images", 1, 5, 1.0, "again"), part)
    found = read_record(store, "download_images")
    assert (found.num_rows, found.error) == (5, "")
    assert len(list((Path(store.root) / "_runs").iterdir())) == 1


def test_a_damaged_record_is_none(store):
    store.write_bytes("_runs/index_images.json", b'{"num_rows": "many"}')
    assert read_record(store, "index_images") is None
    store.write_bytes("_runs/index_images.json", b"[1]")
    assert read_record(store, "index_images") is None
