"""Damage of each kind planted into a store: verify-store finds exactly that, and a repair mends it."""

import dataclasses
import json
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from chain_store import NUM_SHARDS, chain_config, make_chain, put_artifact, put_table, stamp_for
from fsspec.implementations.memory import MemoryFileSystem

from landmark_spark import store_verification
from landmark_spark.cli import main
from landmark_spark.commits import FORMAT, WHOLE, Mark, Note, StoreError
from landmark_spark.schemas import (
    BOTTLENECKS,
    CANDIDATES,
    GLOBAL_DESCRIPTORS,
    IMAGES,
    LANDMARKS,
    LOCAL_FEATURES,
    METRICS,
    PREDICTIONS,
    RECORDS,
    SCORES,
    TOP_MODEL,
    VERIFICATIONS,
)
from landmark_spark.store import Store
from landmark_spark.store_verification import verify_store


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


def verified(folder, *overrides, repair=False):
    return verify_store(chain_config(folder, *overrides), lambda _: None, repair=repair)


def faults(folder, *overrides):
    return [(each.output, each.shard, each.problem) for each in verified(folder, *overrides).faults]


def path_of(folder, table, shard):
    return folder / Store(str(folder)).commits(table)[shard].files[0].path


def recommit(folder, table, shard, **changes):
    store = Store(str(folder))
    store.commit(dataclasses.replace(store.commits(table)[shard], **changes))


# One table


def test_a_sound_store_has_no_fault_and_is_summed_up(folder):
    make_chain(folder)
    found = verified(folder)
    assert found.faults == ()
    counted = {each.output: (each.num_shards, each.num_wanted, each.num_rows) for each in found.outputs}
    assert counted["records"] == counted["images"] == (3, 3, 10)
    assert counted["bottlenecks"] == counted["local_features"] == (3, 3, 8)  # t1 and r5 were not fetched
    assert counted["predictions"] == (3, 3, 6)
    assert counted["global_descriptors"] == (3, 3, 8)
    assert counted["candidates"] == counted["verifications"] == (3, 3, 5)
    assert counted["scores"] == (3, 3, 4)
    assert counted["retrieval_model"] == counted["fusion"] == (1, 1, 0)
    assert counted["submission"] == (1, 1, 0)
    assert found.notes == ("report is not made yet",)
    (size,) = {each.num_bytes for each in found.outputs if each.output == "submission"}
    assert size == (folder / "submission.csv").stat().st_size


def test_a_store_in_memory_is_read_as_a_folder_is(folder, monkeypatch):
    monkeypatch.setattr(MemoryFileSystem, "store", {})
    monkeypatch.setattr(MemoryFileSystem, "pseudo_dirs", [""])
    make_chain("memory://chain")
    config = dataclasses.replace(chain_config(folder), store="memory://chain")
    assert verify_store(config, lambda _: None).faults == ()
    store = Store("memory://chain")
    entry = store.commits(IMAGES)[2].files[0]
    store.file_system.pipe_file(store.path(entry.path), store.read_bytes(entry.path)[:-1])
    (fault,) = verify_store(config, lambda _: None).faults
    assert (fault.output, fault.shard) == ("images", 2)


def test_an_empty_place_has_no_fault(folder):
    found = verified(folder)
    assert (found.faults, found.notes) == ((), ("nothing is in this store yet",))


def test_a_truncated_file_a_flipped_bit_and_a_lost_file_are_each_named(folder):
    make_chain(folder)
    truncated, flipped, lost = (path_of(folder, *each) for each in ((IMAGES, 0), (BOTTLENECKS, 2), (PREDICTIONS, 1)))
    size = truncated.stat().st_size
    os.truncate(truncated, size - 7)
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    lost.unlink()
    found = faults(folder)
    assert [each[:2] for each in found] == [("images", 0), ("bottlenecks", 2), ("predictions", 1)]
    assert found[0][2].endswith(f"should have {size} bytes and has {size - 7}")
    assert "SHA-256" in found[1][2]
    assert found[2][2].endswith("is missing")


def replaced(folder, table, shard, rows, schema):
    """Put another file in a shard's place, and commit it as it is."""
    store = Store(str(folder))
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink)
    name = f"{table.name}/shard={shard}/part-other.parquet"
    entry = store.write_bytes(name, sink.getvalue().to_pybytes())
    recommit(folder, table, shard, files=(entry,), digest=entry.sha256)


def test_a_file_of_other_columns_is_named(folder):
    make_chain(folder)
    rows = pq.read_table(path_of(folder, PREDICTIONS, 2)).to_pylist()
    nullable = pa.schema([each.with_nullable(True) for each in PREDICTIONS.schema])
    replaced(folder, PREDICTIONS, 2, rows, nullable)
    ((output, shard, problem),) = faults(folder)
    assert (output, shard) == ("predictions", 2)
    assert "should have the columns id string not null" in problem


def test_a_file_that_is_no_parquet_though_its_digest_holds_is_named(folder):
    store = make_chain(folder)
    entry = store.write_bytes("predictions/shard=2/part-x.parquet", b"no parquet at all")
    recommit(folder, PREDICTIONS, 2, files=(entry,), digest=entry.sha256)
    ((output, shard, problem),) = faults(folder)
    assert (output, shard) == ("predictions", 2)
    assert "should be a whole Parquet file" in problem


def test_a_commit_with_another_number_of_rows_or_other_counts_is_named(folder):
    make_chain(folder)
    recommit(folder, PREDICTIONS, 2, num_rows=5)
    recommit(folder, IMAGES, 1, counts={"ok": {"elsewhere": 1}})
    found = faults(folder)
    assert ("predictions", 2, "should have 5 rows, as its commit says. Received: 4") in found
    assert ("images", 1, "has a commit whose counts by status, host are not those of its rows") in found
    assert len(found) == 2


def test_a_commit_with_another_digest_than_its_files_is_named(folder):
    make_chain(folder)
    recommit(folder, METRICS, WHOLE, digest="0")
    assert faults(folder) == [("metrics", WHOLE, "has a commit whose digest is not that of its files")]


def test_rows_out_of_order_and_in_the_wrong_shard_are_named(folder):
    store = make_chain(folder)
    rows = pq.read_table(path_of(folder, VERIFICATIONS, 2)).to_pylist()
    replaced(folder, VERIFICATIONS, 2, rows[::-1], VERIFICATIONS.schema)
    (fault,) = faults(folder)
    assert fault[:2] == ("verifications", 2)
    assert "order by id, landmark_id" in fault[2]
    put_table(store, VERIFICATIONS, rows, shard_for=lambda name, _: {"t0": 2, "t2": 1}[name])
    found = faults(folder)
    assert ("verifications", 1, "has 1 row with an id of another shard, the first of t2") in found


# Commits


def test_a_commit_that_is_none_is_named_and_moved_aside(folder):
    make_chain(folder)
    path = folder / "_commits" / "bottlenecks" / "shard=2.json"
    path.write_text("{ half a comm")
    found = verified(folder, repair=True)
    ((output, shard, problem),) = [(each.output, each.shard, each.problem) for each in found.faults]
    assert (output, shard) == ("bottlenecks", 2)
    assert problem.startswith("has a commit that is none")
    assert not path.exists()
    (aside,) = (folder / "_set_aside").rglob("*.json")
    assert aside.read_text() == "{ half a comm"
    assert found.repairs[0].startswith("moved aside: _commits/bottlenecks/shard=2.json to _set_aside/")
    assert verified(folder).faults[0].problem == "is not there any more, and others were made of it"
    assert list((folder / "bottlenecks" / "shard=2").iterdir())  # the data stays until gc


@pytest.mark.parametrize("contents", [[], ["x", "below/shard=2.json"]])
def test_a_folder_in_a_commits_place_is_named_and_moved_aside_with_what_is_in_it(folder, contents):
    make_chain(folder)
    place = folder / "_commits" / "images" / "shard=1.json"
    place.unlink()
    place.mkdir()
    for name in contents:
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("mine")
    assert ("images", 1, "has a commit that is none: it is a folder") in faults(folder)
    repaired = verified(folder, repair=True)
    (moved,) = [each for each in repaired.repairs if each.startswith("moved aside: _commits/images/shard=1.json to ")]
    aside = folder / moved.rpartition(" to ")[2]
    assert aside.is_dir() and not place.exists()
    assert sorted(str(each.relative_to(aside)) for each in aside.rglob("*") if each.is_file()) == sorted(contents)


def test_a_commit_that_names_files_of_another_shard_is_moved_aside_with_nothing_else(folder):
    store = make_chain(folder)
    other = store.commits(IMAGES)[0].files
    recommit(folder, IMAGES, 2, files=other)
    found = verified(folder, repair=True)
    assert [(each.output, each.shard, each.remedy) for each in found.faults] == [("images", 2, "set_aside")]
    assert store.marks(IMAGES) == {}
    assert (folder / other[0].path).exists()


def test_a_commit_copied_to_another_shards_place_is_named(folder):
    make_chain(folder)
    commits = folder / "_commits" / "images"
    shutil.copy(commits / "shard=0.json", commits / "shard=1.json")
    ((output, shard, problem),) = faults(folder)
    assert (output, shard) == ("images", 1)
    assert "it is the commit of images shard 0" in problem


def test_a_shard_beyond_those_there_are_is_named(folder):
    make_chain(folder)
    commits = folder / "_commits" / "predictions"
    values = json.loads((commits / "shard=1.json").read_text())
    (commits / "shard=9.json").write_text(json.dumps(values | {"shard": 9}))
    assert faults(folder) == [("predictions", 9, "should be one of 3 shards, as its commit says too")]


def test_a_commit_that_is_lost_is_told_from_what_is_not_made_yet(folder):
    store = make_chain(folder)
    (folder / "_commits" / "bottlenecks" / "shard=2.json").unlink()  # predictions were made of it
    (folder / "_commits" / "metrics" / "whole.json").unlink()  # of which nothing is made
    found = verified(folder, repair=True)
    assert [(each.output, each.shard, each.remedy) for each in found.faults] == [("bottlenecks", 2, "run")]
    assert "metrics is not made yet" in found.notes
    assert found.repairs == ()
    assert store.marks(BOTTLENECKS) == {}


def test_a_commit_of_a_later_format_is_refused(folder):
    make_chain(folder)
    path = folder / "_commits" / "records" / "shard=0.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": FORMAT + 1}))
    with pytest.raises(StoreError, match="a later release"):
        verified(folder)


# Between tables


def without(*ids):
    return lambda rows: [row for row in rows if row["id"] not in ids]


def with_values(image_id, **values):
    return lambda rows: [row | values if row["id"] == image_id else row for row in rows]


@pytest.mark.parametrize(
    ("table", "change", "shard", "problem"),
    [
        (IMAGES, without("r5"), 2, "should have the ids of records, 7. Received: 1 missing, 0 others"),
        (
            BOTTLENECKS,
            without("r4"),
            0,
            "should have the ids of images with status ok, 2. Received: 1 missing, 0 others",
        ),
        (PREDICTIONS, without("t3"), 1, "the ids of test images with status ok, 1. Received: 1 missing, 0 others"),
        (LOCAL_FEATURES, without("t0"), 2, "the ids of test images with status ok, 2. Received: 1 missing, 0 others"),
        (
            LOCAL_FEATURES,
            lambda rows: [*rows, rows[-1] | {"id": "r5"}],
            2,
            "should have ids of images with status ok. Received: 1 others",
        ),
        (
            VERIFICATIONS,
            with_values("t3", landmark_id=71),
            1,
            "should have the landmarks named for each id that are verified, 1. Received: 1 missing, 1 others",
        ),
        (
            VERIFICATIONS,
            without("r1"),
            0,
            "should have the landmarks named for each id that are verified, 1. Received: 1 missing, 0 others",
        ),
        (
            VERIFICATIONS,
            lambda rows: [row for row in rows if row["landmark_id"] != 71],
            2,
            "should have the landmarks named for each id that are verified, 3. Received: 1 missing, 0 others",
        ),
        (
            GLOBAL_DESCRIPTORS,
            without("r4"),
            0,
            "should have the ids of images with a larger copy, 2. Received: 1 missing, 0 others",
        ),
        (
            GLOBAL_DESCRIPTORS,
            with_values("r1", descriptor=bytes(8)),
            0,
            "bytes in each descriptor, as the other shards",
        ),
        (
            CANDIDATES,
            lambda rows: [*rows, rows[-1] | {"id": "r5"}],
            2,
            "should have ids of images with a descriptor, each in its split. Received: 1 others",
        ),
        (
            CANDIDATES,
            with_values("r1", split="test", true_landmark_id=-1),
            0,
            "should have ids of images with a descriptor, each in its split. Received: 1 others",
        ),
        (
            SCORES,
            without("t3"),
            1,
            "should have the ids of test images with candidates, 1. Received: 1 missing, 0 others",
        ),
        (BOTTLENECKS, with_values("r1", features=bytes(8)), 0, "bytes in each feature map, as the other shards"),
        (
            LOCAL_FEATURES,
            with_values("r1", descriptors=bytes(512)),
            0,
            "values in each descriptor, as the other shards",
        ),
        (
            PREDICTIONS,
            lambda rows: [row for row in rows if (row["id"], row["rank"]) != ("t3", 1)],
            1,
            "should have 2 ranks for each id, as the other shards. Received: 1",
        ),
        (
            LANDMARKS,
            lambda rows: [rows[0] | {"num_train_images": 4}, rows[1]],
            WHOLE,
            "should count the training images of records. Received: 1 landmarks with another number",
        ),
    ],
)
def test_tables_that_do_not_fit_together_fault_the_one_downstream(folder, table, change, shard, problem):
    make_chain(folder, {table: change})
    found = [each for each in faults(folder) if each[0] == table.name]
    assert [each[:2] for each in found] == [(table.name, shard)]
    assert problem in found[0][2]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["t1,", "t3,70 0.75", "t0,70 0.75", "t2,70 0.75", "t9,"], "Received: another order"),
        (["t3,70 0.75", "t1,", "t0,70 0.75", "t2,70 0.75"], "the ids of test.csv, 5. Received: 1 missing, 0 others"),
        (["t3,70 0.75", "t1,", "t0,", "t2,70 0.75", "t9,"], "Received: 1 rows that do not fit"),
        (["t3,70 0.75", "t3,", "t0,", "t2,70 0.75", "t9,"], "line 3: id should be new"),
    ],
)
def test_a_submission_that_is_not_of_test_csv_is_named(folder, lines, problem):
    make_chain(folder, submission=lines)
    ((output, shard, found),) = faults(folder)
    assert (output, shard) == ("submission", WHOLE)
    assert problem in found


def test_what_was_made_of_other_inputs_is_stale_and_no_fault(folder):
    store = make_chain(folder)
    rows = pq.read_table(path_of(folder, IMAGES, 0)).to_pylist()
    gone = [
        row | {"status": "http_404", "image": None, "large_image": None} if row["id"] == "r4" else row for row in rows
    ]
    stamp = stamp_for(store, IMAGES, 0)
    replaced(folder, IMAGES, 0, gone, IMAGES.schema)
    recommit(folder, IMAGES, 0, stamp=stamp, counts={"http_404": {"h": 1}, "ok": {"h": 1}})
    found = verified(folder)
    assert found.faults == ()  # bottlenecks still have r4, of the images before
    assert "stale: bottlenecks shard 0: images changed since" in found.notes
    assert not any("stale: bottlenecks shards 0, " in each for each in found.notes)


def test_a_store_of_another_number_of_shards_is_stale_and_no_fault(folder):
    make_chain(folder)
    found = verified(folder, "index.num_shards=5")
    assert found.faults == ()
    assert "stale: images shards 0, 1, 2: made of 3 shards, index.num_shards is 5" in found.notes


def test_columns_of_another_release_are_stale_and_their_rows_not_looked_at(folder):
    store = make_chain(folder)
    rows = [{"id": "t3", "place": 1}]
    replaced(folder, PREDICTIONS, 1, rows, pa.schema([("id", pa.string()), ("place", pa.int32())]))
    stamp = store.commits(PREDICTIONS)[1].stamp
    stamp = dataclasses.replace(stamp, columns={"predictions": "id string True, place int32 True"}, code="0.0.9 abc")
    recommit(folder, PREDICTIONS, 1, stamp=stamp, num_rows=1)
    found = verified(folder)
    assert found.faults == ()
    assert any("stale: predictions shard 1: another release wrote it in other columns" in each for each in found.notes)


# Models


def test_a_model_that_holds_a_pickle_or_no_archive_is_named(folder):
    store = make_chain(folder)
    put_artifact(store, TOP_MODEL, "/2/", {"model.keras": b"\x80\x04not a zip", "classes.json": b"{"})
    found = faults(folder)
    assert [each[:2] for each in found] == [("top_model", WHOLE)] * 2
    assert {"should be a whole .keras file", "should be a whole .json file"} == {
        problem.split(". Received")[0].partition(" ")[2] for _, _, problem in found
    }


def test_metrics_that_do_not_parse_are_named(folder):
    store = make_chain(folder)
    for data in (b"{", b"[]"):
        put_artifact(store, METRICS, "", {"": data})
        ((output, shard, _),) = faults(folder)
        assert (output, shard) == ("metrics", WHOLE)


# Notes and the rest


def test_orphans_are_notes_with_their_bytes_and_no_faults(folder):
    store = make_chain(folder)
    (folder / "images" / "shard=0" / "part-orphan.parquet").write_bytes(bytes(100))
    (folder / "images" / "shard=1" / "_writing-part-x.parquet-1").write_bytes(bytes(10))
    (folder / "notes.txt").write_text("mine")
    store.leave_note(Note("images", 1, 0, {}, started="then"))
    found = verified(folder)
    assert found.faults == ()
    assert "not needed: 1 file, 100 bytes: named by no commit" in found.notes
    assert "not needed: 1 file, 10 bytes: unfinished: its writer ended, or is still at it" in found.notes
    assert any("the note of a task that has ended" in each for each in found.notes)
    assert not any("mine" in each or "notes.txt" in each for each in found.notes)


def test_a_mark_is_a_note_until_the_shard_is_made_anew(folder):
    make_chain(folder).mark(Mark("records", 1, "somebody said so"))
    found = verified(folder)
    assert found.faults == ()
    assert "records shard 1 is marked, and will be made anew: somebody said so" in found.notes


def test_a_repair_marks_each_faulty_shard_once_and_removes_nothing(folder):
    store = make_chain(folder)
    before = {path for path in folder.rglob("*") if path.is_file()}
    path_of(folder, IMAGES, 0).write_bytes(b"x")
    put_artifact(store, TOP_MODEL, "/1/", {"classes.json": b"{"})
    found = verified(folder, repair=True)
    assert set(found.repairs) == {"marked: images shard 0", "marked: top_model"}
    assert store.marks(IMAGES)[0].reason == found.faults[0].problem
    assert set(store.marks(TOP_MODEL)) == {WHOLE}
    assert before <= {path for path in folder.rglob("*") if path.is_file()}
    assert list((folder / "_locks").iterdir()) == []


def test_a_shard_that_a_run_replaces_meanwhile_is_looked_at_again(folder, monkeypatch):
    make_chain(folder)
    rows = pq.read_table(path_of(folder, VERIFICATIONS, 1)).to_pylist()
    check, replacements = store_verification.check_place, []

    def late(ledger, output, commit, num_shards):
        if output == VERIFICATIONS and commit.shard == 1 and not replacements:
            replacements.append(1)
            (folder / commit.files[0].path).unlink()
            replaced(folder, VERIFICATIONS, 1, rows, VERIFICATIONS.schema)
        return check(ledger, output, commit, num_shards)

    monkeypatch.setattr(store_verification, "check_place", late)
    assert faults(folder) == []
    assert replacements == [1]


def command(folder, *more):
    config = chain_config(folder)
    chosen = [f"store={folder}", f"index.num_shards={NUM_SHARDS}"]
    chosen += [f"inputs.{name}={getattr(config.inputs, name)}" for name in ("train_csv", "test_csv")]
    return ["verify-store", *(word for each in chosen for word in ("--set", each)), *more]


def test_the_command_tells_faults_the_table_and_the_next_run(folder, capsys):
    make_chain(folder)
    assert main(command(folder)) == 0
    output = capsys.readouterr().out
    assert "0 faults" in output
    path_of(folder, IMAGES, 0).unlink()
    assert main(command(folder)) == 1
    output = capsys.readouterr().out
    assert output.startswith("fault: images shard 0: images/shard=0/part-")
    assert "verify-store --repair marks what is wrong" in output
    (line,) = [each for each in output.splitlines() if each.startswith("images ")]
    assert line.split()[1:3] == ["3/3", "10"]
    assert line.split()[-1] == "1"


def test_the_command_writes_one_object_for_machines(folder, capsys):
    make_chain(folder)
    path_of(folder, IMAGES, 0).unlink()
    assert main(command(folder, "--json")) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(each["output"], each["shard"], each["remedy"]) for each in found["faults"]] == [("images", 0, "mark")]
    assert {"store", "outputs", "notes", "repairs", "next_run"} <= set(found)


# A whole run, with Spark


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.jvm
@pytest.mark.timeout(1800)
def test_damage_is_found_marked_and_made_anew_to_the_same_submission(finished, tmp_path, capsys, tiny_arguments):
    copy = tmp_path / "store"
    shutil.copytree(finished, copy)
    served = [
        f"serve_folder={finished / 'toy_world'}",
        "inputs.landmarks_csv=" + str(finished / "toy_world/landmarks.csv"),
    ]
    served += [f"inputs.{name}_csv={finished / 'toy_world' / name}.csv" for name in ("train", "test", "non_landmark")]
    served += [f"inputs.solution_csv={finished / 'toy_world/solution.csv'}"]
    assert main(tiny_arguments("verify-store", copy, *served)) == 0
    assert "the next run has nothing to do" in capsys.readouterr().out
    flip(path_of(copy, BOTTLENECKS, 1))
    os.truncate(path_of(copy, VERIFICATIONS, 0), 100)
    path_of(copy, RECORDS, 2).unlink()
    (copy / "_commits" / "local_features" / "shard=1.json").write_text("{")
    flip(copy / "submission.csv")
    damaged = {("bottlenecks", 1), ("verifications", 0), ("records", 2), ("local_features", 1), ("submission", WHOLE)}
    assert main([*tiny_arguments("verify-store", copy, *served), "--repair", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {(each["output"], each["shard"]) for each in found["faults"]} == damaged
    before = {table.name: Store(str(copy)).commits(table) for table in (IMAGES, BOTTLENECKS, PREDICTIONS)}
    assert main(tiny_arguments("run", copy, *served)) == 0
    after = {table.name: Store(str(copy)).commits(table) for table in (IMAGES, BOTTLENECKS, PREDICTIONS)}
    assert after["images"] == before["images"]
    assert after["predictions"] == before["predictions"]
    assert {shard for shard in range(3) if after["bottlenecks"][shard] != before["bottlenecks"][shard]} == {1}
    assert (copy / "submission.csv").read_bytes() == (finished / "submission.csv").read_bytes()
    capsys.readouterr()
    assert main(tiny_arguments("verify-store", copy, *served)) == 0
    assert "the next run has nothing to do" in capsys.readouterr().out
    assert main([*tiny_arguments("gc", copy, *served), "--yes", "--min-age", "0"]) == 0
    capsys.readouterr()
    assert main(tiny_arguments("verify-store", copy, *served)) == 0
    assert "not needed" not in capsys.readouterr().out
    assert main(tiny_arguments("plan", copy, *served)) == 0
    assert " run " not in capsys.readouterr().out
