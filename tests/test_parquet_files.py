"""Reading a store on a local disk starts no thread of pyarrow's, which might abort the program at its end."""

import subprocess
import sys

import pytest
from landmark_store import NUM_SHARDS, make_store

_PROGRAM = """
import os, sys, time
import pyarrow, pyarrow.compute, pyarrow.parquet
from landmark_spark.place_checks import check_place
from landmark_spark.row_lookup import look_up
from landmark_spark.schemas import LOCAL_FEATURES
from landmark_spark.store import Store
from landmark_spark.table_reader import TaskReader

url, num_shards = sys.argv[1], int(sys.argv[2])
store = Store(url)
before = set(os.listdir("/proc/self/task"))
if sys.argv[3] == "columns":
    num_rows = store.read_arrow(LOCAL_FEATURES, ["id", "keypoints", "descriptors"]).num_rows
elif sys.argv[3] == "tasks":
    files = tuple((shard, each.files[0].path) for shard, each in store.commits(LOCAL_FEATURES).items())
    num_rows = sum(each.num_rows for each in TaskReader(url, LOCAL_FEATURES.schema, files).read())
elif sys.argv[3] == "place":
    found = [check_place(store, LOCAL_FEATURES, each, num_shards) for each in store.commits(LOCAL_FEATURES).values()]
    assert not any(each.faults for each in found), found
    num_rows = sum(each.commit.num_rows for each in found)
else:
    num_rows = len(look_up(store, LOCAL_FEATURES, ["t0", "r1_2"], columns=["descriptors"], num_shards=num_shards))
until = time.monotonic() + 1  # the threads of look_up's own pool are gone a moment after they ended; pyarrow's stay
while (left := set(os.listdir("/proc/self/task")) - before) and time.monotonic() < until:
    time.sleep(0.01)
print(num_rows, len(left))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("threads") / "store"
    make_store(folder)
    return folder


@pytest.mark.parametrize(("reader", "num_rows"), [("columns", 15), ("tasks", 15), ("place", 15), ("rows", 2)])
def test_a_local_disk_is_read_without_threads(folder, reader, num_rows):
    # 3 test images and 12 references of the store; look_up is asked for 2
    command = [sys.executable, "-c", _PROGRAM, str(folder), str(NUM_SHARDS), reader]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, [str(num_rows), "0"]), done.stderr
