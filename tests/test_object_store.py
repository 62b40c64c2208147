"""A store on S3: a real server of its own process, reached as any other over the network."""

import contextlib
import dataclasses
import hashlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from chain_store import chain_config, make_chain
from store_rows import STAMP, read_ids, rows, write, write_as_driver

from landmark_spark.cli import main
from landmark_spark.commits import WHOLE, Note
from landmark_spark.feed import iterate_batches
from landmark_spark.garbage_collection import list_unneeded, remove_unneeded
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.schemas import BOTTLENECKS, LANDMARKS, PREDICTIONS, TOP_MODEL
from landmark_spark.store import Store, arrow_schema
from landmark_spark.store_verification import verify_store
from landmark_spark.table_reader import TaskReader

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def s3(tmp_path_factory):
    """The file system of a fresh S3 server with one bucket, which this process and those it starts reach as S3."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    with pytest.MonkeyPatch.context() as patch, log.open("w") as file:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        patch.setenv("AWS_ACCESS_KEY_ID", "anyone")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_CONFIG_FILE", os.devnull)
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=file, stderr=file)
        try:
            yield connect(port)
        finally:
            server.kill()
            server.wait()


def connect(port):
    import s3fs

    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            break
        assert time.monotonic() < deadline
        time.sleep(0.1)
    s3fs.S3FileSystem.clear_instance_cache()  # one made by an earlier test knows another server
    file_system = s3fs.S3FileSystem()
    file_system.mkdir("bucket")
    return file_system


@pytest.fixture
def store(s3, request):
    """An empty store."""
    s3.invalidate_cache()
    return Store(f"s3://bucket/{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}")


def objects(store):
    store.file_system.invalidate_cache()
    return sorted(name.removeprefix(store.path("")) for name in store.file_system.find(store.root))


def open_uploads(s3):
    return s3.call_s3("list_multipart_uploads", Bucket="bucket").get("Uploads", [])


def test_a_written_shard_is_read_back_with_its_digest_and_size(store):
    write(store, [rows(3, 600), rows(3, 600, 600)], [3])
    (commit,) = store.commits(PREDICTIONS).values()
    (file,) = commit.files
    data = store.read_bytes(file.path)
    assert (file.num_bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert commit.num_rows == 1200
    assert store.present_files(PREDICTIONS) == {file.path: len(data)}
    assert read_ids(store.url) == [f"i{k}" for k in range(1200)]
    assert objects(store) == ["_commits/predictions/shard=3.json", file.path]  # the note is gone


def test_a_replaced_shard_takes_its_old_file_with_it(store):
    for count in (2, 3):
        write_as_driver(store, [rows(0, count)], [0, 1])
    assert {shard: each.num_rows for shard, each in store.commits(PREDICTIONS).items()} == {0: 3, 1: 0}
    assert len(store.present_files(PREDICTIONS)) == 2
    assert read_ids(store.url) == ["i0", "i1", "i2"]


def test_shards_that_are_no_longer_go_with_their_files(store):
    write(store, [rows(0, 1), rows(1, 1, 1)], [0, 1])
    store.forget_shards(PREDICTIONS, 1)
    assert list(store.commits(PREDICTIONS)) == [0]
    assert list(store.present_files(PREDICTIONS)) == [store.commits(PREDICTIONS)[0].files[0].path]


def test_a_damaged_commit_counts_as_not_there_and_is_noted(store):
    write(store, [rows(0, 1), rows(1, 1, 1)], [0, 1])
    store.write_bytes("_commits/predictions/shard=0.json", b"{")
    assert list(store.commits(PREDICTIONS)) == [1]
    assert list(store.unreadable) == [store.path("_commits/predictions/shard=0.json")]


def test_a_new_artifact_replaces_the_old_one_and_its_files(store, tmp_path):
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "model.keras").write_text(f"model {number}")
        store.commit_artifact(TOP_MODEL, store.upload(folder, f"top_model/{number}"), STAMP)
    with store.local_files(store.commits(TOP_MODEL)[WHOLE]) as files:
        assert files["model.keras"].read_text() == "model 2"
    with store.local_file("top_model/2/model.keras") as file:
        assert file.read_text() == "model 2"
    assert list(store.present_files(TOP_MODEL)) == ["top_model/2/model.keras"]


def test_notes_tell_of_a_shard_under_way_until_it_is_committed(store):
    seen = []

    def batches():
        yield rows(4, 10)
        seen.append(Store(store.url).notes(PREDICTIONS))

    write(store, batches(), [4])
    (notes,) = seen
    assert (notes[4].num_rows, notes[4].pid) == (0, os.getpid())
    assert store.notes(PREDICTIONS) == {}
    store.leave_note(Note("predictions", 7, 1, {}, started="now"))
    store.forget_notes(PREDICTIONS, [1, 7])
    assert store.notes(PREDICTIONS) == {}


def test_a_task_that_dies_midway_leaves_no_object_and_no_upload(store, s3):
    def dying():
        yield rows(0, 600)
        raise OSError("connection lost")

    with pytest.raises(OSError, match="connection lost"):
        write(store, dying(), [0])
    assert objects(store) == ["_progress/predictions/shard=0.json"]
    assert open_uploads(s3) == []


def test_a_killed_writer_leaves_no_object_and_another_completes(store, s3, tmp_path):
    source = (
        "import sys, time\nfrom store_rows import rows, write\nfrom landmark_spark.store import Store\n"
        "def batches():\n"
        "    yield rows(0, 600)\n"
        "    print('there', flush=True)\n"
        "    time.sleep(600)\n"
        "write(Store(sys.argv[1]), batches(), [0])\n"
    )
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "TMPDIR": str(tmp_path),
    }
    store.leave_note(Note("predictions", 5, 1, {}, started="now"))
    assert list(store.notes(PREDICTIONS)) == [5]  # what another process writes from here on is seen all the same
    process = subprocess.Popen(
        [sys.executable, "-c", source, store.url], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        assert process.stdout.readline() == "there\n"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert list(tmp_path.iterdir()) == []
    assert store.notes(PREDICTIONS)[0].pid == process.pid
    assert objects(store) == [f"_progress/predictions/shard={shard}.json" for shard in (0, 5)]
    assert open_uploads(s3) == []
    write(store, [rows(0, 600)], [0])
    assert read_ids(store.url) == [f"i{k}" for k in range(600)]
    assert list(store.notes(PREDICTIONS)) == [5]


def test_a_store_in_a_bucket_that_is_not_there_fails_and_makes_none(s3):
    with pytest.raises(FileNotFoundError, match="bucket does not exist"):
        write(Store("s3://nosuch/run"), [rows(0, 1)], [0])
    s3.invalidate_cache()
    assert s3.ls("") == ["bucket"]


def test_tasks_read_a_shard_row_for_row_in_small_batches(store):
    write(store, [rows(0, 600), rows(2, 5, 600)], [0, 2])
    files = tuple((shard, each.files[0].path) for shard, each in store.commits(PREDICTIONS).items())
    reader = TaskReader(store.url, PREDICTIONS.schema, files)
    for number, (shard, ids) in enumerate([(0, range(600)), (2, range(600, 605))]):
        numbers = pa.RecordBatch.from_pydict({"id": [number]})
        batches = list(reader(iter([numbers])))
        assert max(each.num_rows for each in batches) <= 128
        table = pa.Table.from_batches(batches)
        assert table.schema.names == arrow_schema(PREDICTIONS).names
        assert table.column("id").to_pylist() == [f"i{k}" for k in ids]
        assert set(table.column("shard").to_pylist()) == {shard}


def test_an_unsharded_table_is_read_without_a_shard(store):
    batch = pa.RecordBatch.from_pylist(
        [{"landmark_id": 7, "class_index": 0, "num_train_images": 2, "name": "here"}], schema=LANDMARKS.schema
    )
    list(PartitionWriter(store.url, LANDMARKS, {WHOLE: STAMP}, {})(iter([batch])))
    reader = TaskReader(store.url, LANDMARKS.schema, ((WHOLE, store.files(LANDMARKS)[0]),))
    (read,) = reader(iter([pa.RecordBatch.from_pydict({"id": [0]})]))
    assert read.to_pylist() == batch.to_pylist()


def test_columns_that_nobody_asked_for_are_not_fetched(store, monkeypatch):
    import s3fs

    values = [
        {"landmark_id": 1, "class_index": k, "num_train_images": 2, "name": os.urandom(5000).hex()} for k in range(300)
    ]
    batch = pa.RecordBatch.from_pylist(values, schema=LANDMARKS.schema)
    list(PartitionWriter(store.url, LANDMARKS, {WHOLE: STAMP}, {})(iter([batch])))
    fetch, num_bytes = s3fs.S3File._fetch_range, []

    def counted(self, start, end):
        data = fetch(self, start, end)
        num_bytes.append(len(data))
        return data

    monkeypatch.setattr(s3fs.S3File, "_fetch_range", counted)
    assert store.read_arrow(LANDMARKS, ["class_index"]).column(0).to_pylist() == list(range(300))
    (whole,) = store.present_files(LANDMARKS).values()
    assert whole > 1_500_000  # the names: 5,000 random bytes each
    assert 0 < sum(num_bytes) < 200_000  # the footer and one small column


def write_bottlenecks(store):
    for shard in range(3):
        values = [
            {
                "id": f"id{k}",
                "split": "train",
                "landmark_id": k,
                "class_index": k % 7,
                "reference_rank": 1,
                "holdout": 0.5,
                "features": np.full(6, k, "<f2").tobytes(),
                "shard": shard,
            }
            for k in range(600 * shard, 600 * (shard + 1))
        ]
        batch = pa.RecordBatch.from_pylist(values, schema=arrow_schema(BOTTLENECKS))
        list(PartitionWriter(store.url, BOTTLENECKS, {shard: STAMP}, {})(iter([batch])))


def test_the_feed_gives_every_row_once_and_in_the_order_of_a_local_store(store, tmp_path):
    fed = {}
    for name, each in {"s3": store, "local": Store(str(tmp_path))}.items():
        write_bottlenecks(each)
        urls = [each.url_of(file) for file in each.files(BOTTLENECKS)]
        options = {"batch_size": 64, "validation_fraction": 0.0, "seed": 5, "shuffle_rows": 300}
        batches = list(iterate_batches(urls, "train", **options))
        fed[name] = [
            (int(row[0]), int(label))
            for features, labels in batches
            for row, label in zip(features, labels, strict=True)
        ]
    assert sorted(fed["s3"]) == [(k, k % 7) for k in range(1800)]
    assert fed["s3"] == fed["local"]
    assert fed["s3"] != sorted(fed["s3"])


def test_a_store_of_objects_is_verified_and_collected_by_the_servers_clock(store, tmp_path):
    make_chain(store.url)
    config = dataclasses.replace(chain_config(tmp_path / "unused"), store=store.url)
    assert verify_store(config, lambda _: None).faults == ()
    file = store.commits(BOTTLENECKS)[2].files[0]
    store.write_bytes(file.path, store.read_bytes(file.path)[:-1])
    store.write_bytes("images/shard=0/part-orphan.parquet", b"12345")
    (fault,) = verify_store(config, lambda _: None, repair=True).faults
    assert (fault.output, fault.shard, set(store.marks(BOTTLENECKS))) == ("bottlenecks", 2, {2})
    assert list_unneeded(config, min_age=3600.0).removable == ()
    found = list_unneeded(config, min_age=0.0)
    assert [each.entry.path for each in found.removable] == ["images/shard=0/part-orphan.parquet"]
    assert remove_unneeded(config, found, lambda _: None) == list(found.removable)
    assert "images/shard=0/part-orphan.parquet" not in objects(store)
    assert not any(name.startswith("_locks/") for name in objects(store))


@pytest.mark.jvm
@pytest.mark.timeout(1800)  # on a busy machine, where it is the first to need a finished run
def test_a_run_on_s3_gives_the_bytes_of_a_local_run(s3, finished, spark, tiny_arguments, monkeypatch, capsys):
    for name in [each for each in os.environ if each.startswith("AWS_")]:  # which a session opened now would pass on
        monkeypatch.setitem(spark.sparkContext.environment, name, os.environ[name])
    world = finished / "toy_world"
    csv_files = []
    for name in ("train", "test", "non_landmark", "solution"):
        s3.put_file(str(world / f"{name}.csv"), f"bucket/csv/{name}.csv")
        csv_files.append(f"inputs.{name}_csv=s3://bucket/csv/{name}.csv")
    arguments = tiny_arguments("run", "s3://bucket/run", f"serve_folder={world}", *csv_files)
    assert main(arguments) == 0
    remote = Store("s3://bucket/run")
    assert remote.read_bytes("submission.csv") == (finished / "submission.csv").read_bytes()
    assert len(remote.read_bytes("submission.csv").splitlines()) == 1 + 24
    assert remote.read_bytes("metrics.json") == (finished / "metrics.json").read_bytes()
    assert remote.read_bytes("report/index.html").startswith(b"<!")
    made, expected = (each.commits(BOTTLENECKS) for each in (remote, Store(str(finished))))
    assert {shard: each.digest for shard, each in made.items()} == {s: each.digest for s, each in expected.items()}
    capsys.readouterr()
    assert main(arguments) == 0
    assert "Nothing to do: everything is up to date." in capsys.readouterr().out
