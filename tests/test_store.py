import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from landmark_spark.commits import WHOLE, Commit, Stamp, StoreError, digest_of
from landmark_spark.schemas import LANDMARKS, PREDICTIONS, TOP_MODEL
from landmark_spark.store import Store, _PartitionWriter

STAMP = Stamp("predict_landmarks", "f")


def rows(shard, count, first=0):
    schema = PREDICTIONS.schema.append(pa.field("shard", pa.int32()))
    values = [
        {"id": f"i{k}", "rank": 0, "landmark_id": k, "class_index": k, "score": 0.5, "shard": shard}
        for k in range(first, first + count)
    ]
    return pa.RecordBatch.from_pylist(values, schema=schema)


def write(store, batches, shards, expected=None):
    writer = _PartitionWriter(store.url, PREDICTIONS, dict.fromkeys(shards, STAMP), expected or {})
    return list(writer(iter(batches)))


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


def test_a_shard_with_fewer_rows_than_its_input_is_not_committed(tmp_path):
    store = Store(str(tmp_path))
    with pytest.raises(StoreError, match="shard 2 of predictions should have 5 rows. Received: 4"):
        write(store, [rows(2, 4)], [2], {2: 5})
    assert store.commits(PREDICTIONS) == {}


def test_a_task_that_dies_midway_leaves_nothing_visible(tmp_path):
    store = Store(str(tmp_path))

    def dying():
        yield rows(0, 600)
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        write(store, dying(), [0])
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
    list(_PartitionWriter(store.url, LANDMARKS, {WHOLE: STAMP}, {})(iter([batch])))
    assert store.commits(LANDMARKS)[WHOLE].num_rows == 1


def test_a_url_that_no_file_system_knows_is_refused():
    with pytest.raises(StoreError, match="store should be a folder or a URL"):
        Store("nosuch://x")


def test_a_relative_store_is_made_absolute_for_the_tasks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Store("run").url == str(tmp_path / "run")
