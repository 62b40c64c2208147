"""Writers that are killed at each step, and two at once, with a reader looking all the time."""

import contextlib
import random
import threading
import time

import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from store_rows import read_ids, rows, write
from store_writers import NUM_ROWS, rewriter, started, writer

from landmark_spark.commits import StoreError
from landmark_spark.schemas import PREDICTIONS
from landmark_spark.store import Store


class Reader:
    """Looks at a store all the time, in a thread; ``faults``: what it saw and should not have."""

    def __init__(self, folder, *looks):
        self.folder = folder
        self.looks = looks
        self.faults = []
        self.num_rounds = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _run(self):
        while not self._ended.is_set():
            for look in self.looks:
                try:
                    look(self.folder)
                except Exception as error:
                    self.faults.append(f"{look.__name__}: {type(error).__name__}: {error}")
            self.num_rounds += 1


def every_file_with_a_final_name_is_whole(folder):
    for name in folder.glob("predictions/*/part-*.parquet"):
        with contextlib.suppress(FileNotFoundError):  # superseded meanwhile
            assert pq.read_table(name, partitioning=None).num_rows % 100 == 0


def the_folder_can_be_read_as_a_dataset(folder):
    with contextlib.suppress(FileNotFoundError):
        pyarrow.dataset.dataset(f"{folder}/predictions", format="parquet").to_table()


def what_is_committed_is_whole(folder):
    with contextlib.suppress(StoreError):  # nothing is committed yet
        assert read_ids(str(folder)) == [f"i{k}" for k in range(NUM_ROWS)]


LOOKS = (every_file_with_a_final_name_is_whole, the_folder_can_be_read_as_a_dataset, what_is_committed_is_whole)


@pytest.mark.parametrize(
    ("step", "num_files", "is_committed"),
    [("writing", 0, False), ("flushing", 0, False), ("placed", 1, False), ("committed", 1, True)],
)
def test_a_writer_killed_at_any_step_leaves_whole_files_and_another_completes(tmp_path, step, num_files, is_committed):
    with Reader(tmp_path, *LOOKS) as reader:
        with started(writer, str(tmp_path), step) as (_, connection):
            assert connection.recv() == "there"
            seen = reader.num_rounds
            while reader.num_rounds < seen + 3:  # the reader looks while the writer stands still
                time.sleep(0.01)
        store = Store(str(tmp_path))
        assert bool(store.commits(PREDICTIONS)) == is_committed
        assert len(list(tmp_path.rglob("part-*.parquet"))) == num_files
        write(store, [rows(0, NUM_ROWS)], [0])
        assert read_ids(str(tmp_path)) == [f"i{k}" for k in range(NUM_ROWS)]
    assert reader.faults == []
    assert reader.num_rounds > 3


def test_a_writer_killed_at_any_moment_leaves_whole_files(tmp_path):
    moments = random.Random(0)
    with Reader(tmp_path, *LOOKS) as reader:
        for _ in range(10):
            with started(writer, str(tmp_path), "again and again"):
                time.sleep(moments.uniform(0, 0.1))  # the writer takes some 0.03 s
    assert reader.faults == []
    write(Store(str(tmp_path)), [rows(0, NUM_ROWS)], [0])
    assert read_ids(str(tmp_path)) == [f"i{k}" for k in range(NUM_ROWS)]


def what_is_committed_is_one_of_two_writers(folder):
    ids = read_ids(str(folder))
    assert ids in ([f"i{k}" for k in range(100)], [f"i{k}" for k in range(5000, 5100)])


def test_two_writers_of_one_shard_never_leave_a_commit_without_its_file(tmp_path):
    store = Store(str(tmp_path))
    write(store, [rows(0, 100)], [0])
    looks = (every_file_with_a_final_name_is_whole, what_is_committed_is_one_of_two_writers)
    with (
        Reader(tmp_path, *looks) as reader,
        started(rewriter, str(tmp_path), 0, 150) as (one, tell_one),
        started(rewriter, str(tmp_path), 5000, 150) as (other, tell_other),
    ):
        for tell in (tell_one, tell_other):
            tell.send("go")
        while one.is_alive() or other.is_alive():
            assert store.commits(PREDICTIONS)[0].num_rows == 100  # there is one at any time
            time.sleep(0.002)
        assert (one.exitcode, other.exitcode) == (0, 0)
    assert reader.faults == []
    (commit,) = store.commits(PREDICTIONS).values()
    assert store.present_files(PREDICTIONS)[commit.files[0].path] == commit.files[0].num_bytes
    what_is_committed_is_one_of_two_writers(tmp_path)
