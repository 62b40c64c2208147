"""Writers that are killed at each step, and two at once, with a reader looking all the time."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from store_rows import read_ids, rows, write

from landmark_spark.commits import StoreError
from landmark_spark.schemas import PREDICTIONS
from landmark_spark.store import Store

NUM_ROWS = 1500
WRITER = """
import os, sys, time
from store_rows import rows, write, write_as_driver
from landmark_spark import ledger
from landmark_spark.store import Store

url, step = sys.argv[1:]

def stop_here():
    print("there", flush=True)
    time.sleep(600)

def batches():
    for first in range(0, 1500, 100):
        if step == "writing" and first == 1200:  # two row groups are written, a third is not
            stop_here()
        yield rows(0, 100, first)

commit, flush = ledger.Ledger.commit, os.fsync

def before_the_commit(self, one):
    stop_here()

def after_the_commit(self, one):
    commit(self, one)
    stop_here()

def at_the_flush(descriptor):
    flush(descriptor)
    stop_here()

if step == "flushing":
    os.fsync = at_the_flush
if step == "placed":
    ledger.Ledger.commit = before_the_commit
if step == "committed":
    ledger.Ledger.commit = after_the_commit
if step == "again and again":
    write_as_driver(Store(url), batches(), [0])  # the first takes longest
print("begun", flush=True)
while step == "again and again":
    write_as_driver(Store(url), batches(), [0])
write(Store(url), batches(), [0])
"""
REWRITER = """
import sys, time
from store_rows import rows, write_as_driver
from landmark_spark.store import Store

url, first, num_rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("begun", flush=True)
sys.stdin.readline()
for _ in range(num_rounds):
    write_as_driver(Store(url), [rows(0, 100, first)], [0])
"""


@contextlib.contextmanager
def python(source, *arguments):
    """Run source in a process of its own; it is killed at the end of the block."""
    roots = [str(Path(__file__).parent.parent), str(Path(__file__).parent)]
    process = subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(roots)},
    )
    try:
        assert process.stdout.readline() == "begun\n"
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


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
        with python(WRITER, tmp_path, step) as process:
            assert process.stdout.readline() == "there\n"
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
            with python(WRITER, tmp_path, "again and again"):
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
        python(REWRITER, tmp_path, 0, 150) as one,
        python(REWRITER, tmp_path, 5000, 150) as other,
    ):
        for each in (one, other):
            each.stdin.write("go\n")
            each.stdin.flush()
        while one.poll() is None or other.poll() is None:
            assert store.commits(PREDICTIONS)[0].num_rows == 100  # there is one at any time
            time.sleep(0.002)
        assert (one.returncode, other.returncode) == (0, 0)
    assert reader.faults == []
    (commit,) = store.commits(PREDICTIONS).values()
    assert store.present_files(PREDICTIONS)[commit.files[0].path] == commit.files[0].num_bytes
    what_is_committed_is_one_of_two_writers(tmp_path)
