import dataclasses
import errno
import hashlib
import json
import os
import time
from datetime import datetime
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from store_rows import STAMP, Frame, rows, write, write_as_driver

from landmark_spark import partition_writer
from landmark_spark.commits import WHOLE, Commit, FileEntry, Mark, NewerFormatError, Note, Stamp, StoreError, digest_of
from landmark_spark.ledger import Ledger
from landmark_spark.leftovers import sweep, sweep_folder
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.schemas import LANDMARKS, PREDICTIONS, REPORT, SUBMISSION, TOP_MODEL
from landmark_spark.store import Store


def test_a_written_shard_is_read_back_with_its_digest_and_size(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(3, 600), rows(3, 600, 600)], [3])
    (commit,) = store.commits(PREDICTIONS).values()
    (file,) = commit.files
    data = (tmp_path / file.path).read_bytes()
    assert commit.num_rows == 1200
    assert file.num_bytes == len(data)
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    parquet = pq.ParquetFile(tmp_path / file.path)
    assert [parquet.metadata.row_group(k).num_rows for k in range(3)] == [512, 512, 176]
    assert store.read_arrow(PREDICTIONS, ["id"]).column("id").to_pylist() == [f"i{k}" for k in range(1200)]


def test_the_same_rows_give_the_same_bytes_however_they_are_batched(tmp_path):
    one, two = Store(str(tmp_path / "a")), Store(str(tmp_path / "b"))
    write(one, [rows(0, 700)], [0])
    write(two, [rows(0, 100), rows(0, 450, 100), rows(0, 150, 550)], [0])
    assert one.commits(PREDICTIONS)[0].digest == two.commits(PREDICTIONS)[0].digest


def test_one_partition_may_hold_several_whole_shards(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(1, 2), rows(5, 3, 2)], [1, 5])
    assert {shard: each.num_rows for shard, each in store.commits(PREDICTIONS).items()} == {1: 2, 5: 3}


def test_a_shard_is_committed_with_its_last_row_where_their_number_is_known(tmp_path):
    store = Store(str(tmp_path))
    seen = []

    def batches():
        for shard in (1, 5, 7):
            yield from [rows(shard, 2), rows(shard, 1, 2)]
            seen.append(set(store.commits(PREDICTIONS)))

    write(store, batches(), [1, 5, 7], {1: 3, 5: 3})
    assert seen == [{1}, {1, 5}, {1, 5}]
    assert set(store.commits(PREDICTIONS)) == {1, 5, 7}


def test_a_row_beyond_those_of_its_shard_is_refused(tmp_path):
    store = Store(str(tmp_path))
    with pytest.raises(StoreError, match="shard 2 of predictions should have 3 rows. Received: more"):
        write(store, [rows(2, 3), rows(2, 1, 3)], [2], {2: 3})


def test_a_shard_with_fewer_rows_than_its_input_is_not_committed(tmp_path):
    store = Store(str(tmp_path))
    with pytest.raises(StoreError, match="shard 2 of predictions should have 5 rows. Received: 4"):
        write(store, [rows(2, 4)], [2], {2: 5})
    assert store.commits(PREDICTIONS) == {}
    assert store.present_files(PREDICTIONS) == {}


def test_a_task_that_dies_midway_leaves_nothing_visible(tmp_path):
    store = Store(str(tmp_path))

    def dying():
        yield rows(0, 600)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write(store, dying(), [0])
    assert [each for each in (tmp_path / "predictions").rglob("*") if each.is_file()] == []
    assert store.commits(PREDICTIONS) == {}
    with pytest.raises(StoreError, match="predictions should have the shards asked for"):
        store.files(PREDICTIONS)


def test_a_null_where_a_value_is_due_is_refused(tmp_path):
    batch = rows(0, 2).to_pylist()
    batch[1]["landmark_id"] = None
    broken = pa.RecordBatch.from_pylist(batch, schema=rows(0, 1).schema)
    with pytest.raises(StoreError, match="predictions.landmark_id should have a value in every row"):
        write(Store(str(tmp_path)), [broken], [0])


def test_a_shard_nobody_asked_for_is_refused(tmp_path):
    with pytest.raises(StoreError, match=r"should have shards \[0\]. Received: 1"):
        write(Store(str(tmp_path)), [rows(1, 1)], [0])


def test_a_commit_reads_back_as_it_was_written():
    commit = Commit("images", 4, 9, "ab", (), Stamp("download_images", "f", {"a": 1}, {"records": "c"}), "host", "now")
    assert Commit.from_json(commit.to_json()) == commit


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", json.dumps({"output": "x"})])
def test_a_broken_commit_is_a_store_error(text):
    with pytest.raises(StoreError, match="a commit should be the JSON"):
        Commit.from_json(text)


@pytest.mark.parametrize("data", [b"{", b"\xff\xfe\x00", b""])
def test_a_damaged_commit_counts_as_not_there_and_is_noted(tmp_path, data):
    store = Store(str(tmp_path))
    write(store, [rows(0, 1), rows(1, 1, 1)], [0, 1])
    (tmp_path / "_commits" / "predictions" / "shard=0.json").write_bytes(data)
    assert list(store.commits(PREDICTIONS)) == [1]
    (path,) = store.unreadable
    assert path.endswith("_commits/predictions/shard=0.json")


def test_a_folder_in_a_commits_place_counts_as_not_there_and_a_run_says_so_before_its_work(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(0, 1), rows(1, 1, 1)], [0, 1])
    place = tmp_path / "_commits" / "predictions" / "shard=0.json"
    place.unlink()
    place.mkdir()
    assert list(store.commits(PREDICTIONS)) == [1]
    assert store.unreadable == {str(place): "it is a folder"}
    message = f"a commit should be a file. Received: {place} is a folder; move it away"
    with pytest.raises(StoreError, match=message):
        store.write(None, PREDICTIONS, {0: STAMP})
    with pytest.raises(StoreError, match=message):
        store.check_places(PREDICTIONS, [1, 0])
    store.check_places(PREDICTIONS, [1, 2])


def test_a_folder_in_the_place_of_an_artifacts_commit_is_said(tmp_path):
    store = Store(str(tmp_path))
    (tmp_path / "_commits" / "report" / "whole.json").mkdir(parents=True)
    with pytest.raises(StoreError, match="a commit should be a file. Received: .*report/whole.json is a folder"):
        store.commit_artifact(REPORT, [], STAMP)


def test_a_folder_in_the_place_of_a_mark_or_a_note_hinders_no_commit(tmp_path):
    store = Store(str(tmp_path))
    for name in ("_marks", "_progress"):
        (tmp_path / name / "predictions" / "shard=0.json").mkdir(parents=True)
    write(store, [rows(0, 1)], [0])
    assert (list(store.commits(PREDICTIONS)), store.marks(PREDICTIONS), store.notes(PREDICTIONS)) == ([0], {}, {})
    assert set(store.unreadable.values()) == {"it is a folder"}


def test_a_commit_of_an_earlier_release_is_read(tmp_path):
    commit = Commit("predictions", 4, 9, "ab", (FileEntry("predictions/x", 1, "cd"),), Stamp("predict_landmarks", "f"))
    values = json.loads(commit.to_json())
    del values["format"]
    for name in ("version", "num_shards", "columns", "code"):
        del values["stamp"][name]
    assert Commit.from_json(json.dumps(values)) == commit


def test_a_commit_of_a_later_release_is_never_taken_for_one_that_is_not_there(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(0, 3)], [0])
    path = tmp_path / "_commits" / "predictions" / "shard=0.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"format": 3, "more": 1}))
    message = "format 2 or earlier: a later release .* format 3 for predictions shard 0"
    with pytest.raises(NewerFormatError, match=message):
        store.commits(PREDICTIONS)


@pytest.mark.parametrize(
    "path", ["../x", "/etc/x", "predictions/../../x", "predictions//x", "./x", "", "a/\0", 7, None, ["x"]]
)
def test_a_committed_file_outside_the_store_is_refused(path):
    commit = Commit("predictions", 4, 9, "ab", (FileEntry("predictions/x", 1, "cd"),), Stamp("predict_landmarks", "f"))
    values = json.loads(commit.to_json())
    values["files"][0]["path"] = path
    with pytest.raises(StoreError, match="a commit should be the JSON that the store wrote"):
        Commit.from_json(json.dumps(values))


def test_a_commit_in_anothers_place_counts_as_not_there(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(0, 3)], [0])
    (tmp_path / "_commits/predictions/shard=0.json").rename(tmp_path / "_commits/predictions/shard=1.json")
    assert store.commits(PREDICTIONS) == {}
    assert list(store.unreadable.values()) == ["it is the commit of predictions shard 0"]


def test_a_mark_is_there_until_its_shard_is_made_anew(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(0, 3), rows(1, 3)], [0, 1])
    for shard in (0, 1):
        store.mark(Mark("predictions", shard, "a bit flipped"))
    found = {shard: mark.reason for shard, mark in store.marks(PREDICTIONS).items()}
    assert found == {0: "a bit flipped", 1: "a bit flipped"}
    write(store, [rows(0, 3)], [0])
    assert list(store.marks(PREDICTIONS)) == [1]


def test_a_table_that_lacks_a_shard_of_those_its_commits_speak_of_is_not_read(tmp_path):
    store = Store(str(tmp_path))
    stamp = dataclasses.replace(STAMP, num_shards=3)
    for shard in (0, 2):
        list(PartitionWriter(store.url, PREDICTIONS, {shard: stamp}, {})(iter([rows(shard, 3)])))
    with pytest.raises(StoreError, match=r"predictions should have the shards asked for. Missing: \[1\]"):
        store.read_arrow(PREDICTIONS, ["id"])
    list(PartitionWriter(store.url, PREDICTIONS, {1: stamp}, {})(iter([rows(1, 3)])))
    assert store.read_arrow(PREDICTIONS, ["id"]).num_rows == 9
    other = dataclasses.replace(STAMP, num_shards=4)
    list(PartitionWriter(store.url, PREDICTIONS, {1: other}, {})(iter([rows(1, 3)])))
    with pytest.raises(StoreError, match="predictions should be of one number of shards. Received: 3 and 4"):
        store.read_arrow(PREDICTIONS, ["id"])


def test_what_killed_writers_left_of_a_shard_is_swept_and_nothing_else(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(0, 3), rows(1, 3)], [0, 1])
    left = ["predictions/shard=0/_writing-part-a.parquet-1", "_commits/predictions/_writing-shard=0.json-2"]
    left += ["_progress/predictions/_writing-shard=0.json-3"]
    others = ["predictions/shard=1/_writing-part-a.parquet-1", "_commits/predictions/_writing-shard=1.json-2"]
    others += ["_commits/predictions/_writing-shard=10.json-2", "images/shard=0/_writing-part-b.parquet-1"]
    for name in left + others:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    assert sorted(sweep(store, PREDICTIONS, [0])) == sorted(left)
    assert all((tmp_path / name).exists() for name in others)
    assert store.read_arrow(PREDICTIONS, ["id"]).num_rows == 6


def test_what_a_killed_driver_left_of_a_result_is_swept(tmp_path):
    store = Store(str(tmp_path))
    for name in ("_writing-submission.csv-1", "_writing-metrics.json-1", "report/_writing-index.html-1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"half")
    assert sweep(store, SUBMISSION, [WHOLE]) == ["_writing-submission.csv-1"]
    assert sweep(store, REPORT, [0, 1]) == ["report/_writing-index.html-1"]
    assert (tmp_path / "_writing-metrics.json-1").exists()


def test_what_a_killed_training_left_of_a_checkpoint_is_swept(tmp_path):
    store = Store(str(tmp_path))
    assert sweep_folder(store, "_checkpoints/train_top_model") == []  # no such folder
    kept = ["_checkpoints/train_top_model/ab/kept.npz", "_checkpoints/fine_tune/cd/_writing-kept.npz-1"]
    left = "_checkpoints/train_top_model/ab/_writing-kept.npz-1"
    for name in (*kept, left):
        store.write_bytes(name, b"half")
    assert sweep_folder(store, "_checkpoints/train_top_model") == [left]
    assert not store.exists(left) and all(store.exists(name) for name in kept)


def test_shards_that_are_no_longer_go_with_their_files(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(0, 1), rows(1, 1, 1)], [0, 1])
    store.forget_shards(PREDICTIONS, 1)
    assert list(store.commits(PREDICTIONS)) == [0]
    assert list(store.present_files(PREDICTIONS)) == [store.commits(PREDICTIONS)[0].files[0].path]


def test_a_new_artifact_replaces_the_old_one_and_its_files(tmp_path):
    store = Store(str(tmp_path / "store"))
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "model.keras").write_text(f"model {number}")
        store.commit_artifact(TOP_MODEL, store.upload(folder, f"top_model/{number}"), STAMP)
    commit = store.commits(TOP_MODEL)[WHOLE]
    with store.local_files(commit) as files:
        assert files["model.keras"].read_text() == "model 2"
    assert list(store.present_files(TOP_MODEL)) == ["top_model/2/model.keras"]


def test_digests_of_the_same_parts_are_equal_in_any_order():
    assert digest_of({1: "a", 2: "b"}) == digest_of({2: "b", 1: "a"}) != digest_of({1: "b", 2: "a"})


def test_an_object_store_keeps_the_same_contract(tmp_path):
    store = Store("memory://bucket/run")
    write(store, [rows(0, 3)], [0])
    assert store.commits(PREDICTIONS)[0].num_rows == 3
    assert store.present_files(PREDICTIONS) == {
        each.path: each.num_bytes for each in store.commits(PREDICTIONS)[0].files
    }
    assert store.read_arrow(PREDICTIONS, ["landmark_id"]).column(0).to_pylist() == [0, 1, 2]


def test_an_unsharded_table_is_one_part(tmp_path):
    store = Store(str(tmp_path))
    batch = pa.RecordBatch.from_pylist(
        [{"landmark_id": 7, "class_index": 0, "num_train_images": 2, "name": ""}], schema=LANDMARKS.schema
    )
    list(PartitionWriter(store.url, LANDMARKS, {WHOLE: STAMP}, {})(iter([batch])))
    assert store.commits(LANDMARKS)[WHOLE].num_rows == 1


def test_a_url_that_no_file_system_knows_is_refused():
    with pytest.raises(StoreError, match="store should be a folder or a URL"):
        Store("nosuch://x")


def test_a_store_that_cannot_be_reached_is_an_error_of_one_line(renaming, monkeypatch):
    def without_keys(*_, **__):
        raise RuntimeError("no credentials")

    monkeypatch.setattr(RenamingFileSystem, "ls", without_keys)
    with pytest.raises(StoreError, match=r"store should be reachable. Received: renaming://run \(no credentials\)"):
        renaming.commits(PREDICTIONS)


def test_a_relative_store_is_made_absolute_for_the_tasks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store("run").url == str(tmp_path / "run")


def test_a_store_may_lie_in_a_folder_whose_name_looks_like_a_pattern(tmp_path):
    store = Store(str(tmp_path / "run [1]*"))
    write(store, [rows(0, 2)], [0])
    assert store.commits(PREDICTIONS)[0].num_rows == 2
    assert store.read_arrow(PREDICTIONS, ["id"]).num_rows == 2


def test_a_shards_data_is_on_the_disk_before_its_name_and_its_name_before_the_commit(tmp_path, monkeypatch):
    steps = []
    flush, rename = os.fsync, Path.replace

    def noted_flush(descriptor):
        steps.append(("flush", Path(f"/proc/self/fd/{descriptor}").readlink().name[:8]))
        flush(descriptor)

    def noted_rename(source, target):
        steps.append(("rename", Path(target).name[:8]))
        rename(source, target)

    store = Store(str(tmp_path))
    monkeypatch.setattr(Ledger, "leave_note", lambda *_: None)
    monkeypatch.setattr(os, "fsync", noted_flush)
    monkeypatch.setattr(Path, "replace", noted_rename)
    write(store, [rows(0, 2)], [0])
    part = store.commits(PREDICTIONS)[0].files[0].path.rpartition("/")[2]
    data = [("flush", "_writing"), ("rename", part[:8]), ("flush", "shard=0")]
    assert steps == [*data, ("flush", "_writing"), ("rename", "shard=0."), ("flush", "predicti")]


class RenamingFileSystem(MemoryFileSystem):
    """A file is visible as it grows, a rename is one step: as on hdfs."""

    protocol = "renaming"
    store = {}  # noqa: RUF012
    pseudo_dirs = [""]  # noqa: RUF012
    renamed = []  # noqa: RUF012

    def mv(self, path1, path2, **_):
        assert not self.exists(path2)
        self.store[path2] = self.store.pop(path1)
        self.renamed.append(path2)


@pytest.fixture
def renaming():
    fsspec.register_implementation("renaming", RenamingFileSystem, clobber=True)
    yield Store("renaming://run")
    RenamingFileSystem.store.clear()
    RenamingFileSystem.renamed.clear()


def test_where_a_file_is_visible_as_it_grows_it_is_written_under_another_name(renaming):
    seen = []

    def batches():
        yield rows(0, 600)
        seen.extend(renaming.present_files(PREDICTIONS))

    write(renaming, batches(), [0])
    write(renaming, [rows(0, 3)], [0])
    assert [name.split("/")[-1][:8] for name in seen] == ["_writing"]
    assert renaming.commits(PREDICTIONS)[0].num_rows == 3
    assert not [name for name in renaming.file_system.store if "_writing" in name]
    assert len([name for name in renaming.file_system.renamed if name.endswith(".parquet")]) == 2
    assert renaming.read_arrow(PREDICTIONS, ["id"]).num_rows == 3


def test_a_task_that_dies_there_removes_what_it_wrote(renaming):
    with pytest.raises(StoreError, match="should have 700 rows"):
        write(renaming, [rows(0, 600)], [0], {0: 700})
    assert renaming.present_files(PREDICTIONS) == {}


def test_a_reader_from_whom_a_file_is_taken_looks_for_the_new_commit(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    write_as_driver(store, [rows(0, 2)], [0])
    look = Store.files
    num_looks = []

    def and_then_replaced(self, table, shards=None):
        names = look(self, table, shards)
        if len(num_looks) < 3:
            write_as_driver(Store(str(tmp_path)), [rows(0, 3 + len(num_looks))], [0])
        num_looks.append(names)
        return names

    monkeypatch.setattr(Store, "files", and_then_replaced)
    assert store.read_arrow(PREDICTIONS, ["id"]).num_rows == 5  # 2, 3, 4 rows were replaced in turn
    assert len(num_looks) == 4


def test_a_commit_whose_file_stays_away_is_an_error(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(0, 2)], [0])
    (tmp_path / store.files(PREDICTIONS)[0]).unlink()
    with pytest.raises(StoreError, match="predictions should have the files of its commits"):
        store.read_arrow(PREDICTIONS, ["id"])


def test_columns_that_nobody_asked_for_are_not_read(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    values = [
        {"landmark_id": 1, "class_index": k, "num_train_images": 2, "name": os.urandom(5000).hex()} for k in range(300)
    ]
    batch = pa.RecordBatch.from_pylist(values, schema=LANDMARKS.schema)
    list(PartitionWriter(store.url, LANDMARKS, {WHOLE: STAMP}, {})(iter([batch])))
    num_bytes = []
    opened = type(store.file_system).open

    def counted(self, path, *arguments, **options):
        file = opened(self, path, *arguments, **options)
        read = file.read

        def counted_read(*size):
            data = read(*size)
            num_bytes.append(len(data))
            return data

        file.read = counted_read
        return file

    monkeypatch.setattr(type(store.file_system), "open", counted)
    assert store.read_arrow(LANDMARKS, ["class_index"]).column(0).to_pylist() == list(range(300))
    (whole,) = store.present_files(LANDMARKS).values()
    assert whole > 1_500_000  # the names: 5,000 random bytes each
    assert 0 < sum(num_bytes) < 200_000  # the footer and one small column


# Notes


def test_the_note_of_a_shard_is_there_when_it_is_opened_then_every_few_seconds(tmp_path, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr(partition_writer.time, "monotonic", lambda: clock[0])
    store = Store(str(tmp_path))
    seen = []

    def batches():
        for seconds in (0, 4.9, 0.2, 1):
            clock[0] += seconds
            yield rows(2, 10)
            seen.append(store.notes(PREDICTIONS)[2].num_rows)

    write(store, batches(), [2])
    assert seen == [0, 0, 30, 30]
    assert store.notes(PREDICTIONS) == {}


def test_a_note_says_who_writes_since_when(tmp_path):
    store = Store(str(tmp_path))
    before = time.time()
    seen = []

    def batches():
        yield rows(2, 10)
        seen.append(json.loads((tmp_path / "_progress" / "predictions" / "shard=2.json").read_text()))

    write(store, batches(), [2])
    (note,) = seen
    assert note["pid"] == os.getpid()
    assert note["host"] == os.uname().nodename
    assert (note["output"], note["shard"], note["counts"]) == ("predictions", 2, {})
    assert before - 1 <= datetime.fromisoformat(note["started"]).timestamp() <= time.time()
    assert note["started"] <= note["updated"]


def test_a_damaged_note_is_passed_over(tmp_path):
    store = Store(str(tmp_path))
    store.leave_note(Note("predictions", 1, 5, {}, started="now"))
    for number, data in enumerate([b"", b"{", b"[]", b"{}", b"null", b"\xff"]):
        (tmp_path / "_progress" / "predictions" / f"shard={10 + number}.json").write_bytes(data)
    assert {shard: note.num_rows for shard, note in store.notes(PREDICTIONS).items()} == {1: 5}


def test_a_note_that_cannot_be_written_fails_nothing(tmp_path):
    (tmp_path / "_progress").write_text("a file where the folder should be")
    store = Store(str(tmp_path))
    write(store, [rows(0, 5)], [0])
    assert store.commits(PREDICTIONS)[0].num_rows == 5


def test_the_driver_removes_the_notes_of_tasks_that_died(tmp_path):
    store = Store(str(tmp_path))
    for shard in (0, 1, 2):
        store.leave_note(Note("predictions", shard, 5, {}, started="now"))
    write_as_driver(store, [rows(0, 5)], [0, 1])
    assert list(store.notes(PREDICTIONS)) == [2]
    store.forget_shards(PREDICTIONS, 2)
    assert store.notes(PREDICTIONS) == {}


def test_a_shard_without_rows_is_committed_and_a_replaced_one_takes_its_file_with_it(tmp_path):
    store = Store(str(tmp_path))
    write_as_driver(store, [rows(0, 5)], [0, 1])
    before = store.commits(PREDICTIONS)
    done = store.write(Frame([rows(0, 2)]), PREDICTIONS, {0: STAMP})
    assert {shard: each.num_rows for shard, each in before.items()} == {0: 5, 1: 0}
    assert done == {0: store.commits(PREDICTIONS)[0]}
    assert set(store.present_files(PREDICTIONS)) == {done[0].files[0].path, before[1].files[0].path}


@pytest.mark.jvm
def test_spark_passes_over_what_is_being_written(tmp_path, spark):
    store = Store(str(tmp_path))
    write(store, [rows(0, 5)], [0])
    seen = []

    def batches():
        yield rows(1, 600)
        seen.extend(name for name in store.present_files(PREDICTIONS) if "/_writing-" in name)
        seen.append(spark.read.parquet(str(tmp_path / "predictions")).count())

    write(store, batches(), [1])
    assert len(seen) == 2
    assert seen[1] == 5
    assert spark.read.parquet(str(tmp_path / "predictions")).count() == 605
    assert store.read(spark, PREDICTIONS).count() == 605


def test_a_full_disk_is_said_with_the_file_that_found_it(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}/predictions/shard=0/part-.*\.parquet'"):
        write(Store(str(tmp_path)), [rows(0, 3)], [0])
    assert not list(tmp_path.rglob("part-*"))
