"""kill -9 in the middle of a download on a real cluster: what was committed stays, and is not fetched again."""

import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from PIL import Image
from standalone import ROOT, environment, standalone_cluster, start_submit

from landmark_spark.cli import main
from landmark_spark.core.records import shard_of
from landmark_spark.schemas import IMAGES, RECORDS
from landmark_spark.store import Store

pytestmark = pytest.mark.jvm

NUM_SHARDS = 8
NUM_ROWS = 160


class SlowSite(BaseHTTPRequestHandler):
    """A picture at any path, after 0.2 seconds."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(0.2)
        with self.server.lock:
            self.server.asked[self.path.strip("/")] += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.photo)))
        self.end_headers()
        self.wfile.write(self.server.photo)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site():
    file = io.BytesIO()
    Image.new("RGB", (200, 150), "teal").save(file, "JPEG")
    server = ThreadingHTTPServer(("127.0.0.1", 0), SlowSite)
    server.daemon_threads = True
    server.photo = file.getvalue()
    server.asked = Counter()
    server.lock = threading.Lock()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    with standalone_cluster(folder) as master:
        yield master, folder


@pytest.fixture(scope="module")
def indexed(tmp_path_factory, spark):
    """The csv files, and a store that has their records."""
    folder = tmp_path_factory.mktemp("indexed")
    rows = [f"image{number:03d}" for number in range(NUM_ROWS)]
    (folder / "train.csv").write_text("id,url,landmark_id\n" + "".join(f"{each},{each},1\n" for each in rows))
    (folder / "test.csv").write_text("id,url\ntest,test\n")
    assert main(["run", *options(folder, folder / "store", "http://127.0.0.1:9/"), "--only", "index_images"]) == 0
    return folder


def options(folder, store, base_url):
    chosen = {
        "store": store,
        "base_url": base_url,
        "inputs.train_csv": folder / "train.csv",
        "inputs.test_csv": folder / "test.csv",
        "index.num_shards": NUM_SHARDS,
        "download.num_threads": 2,
        "spark.master": "local[2]",
    }
    return [word for key, value in chosen.items() for word in ("--set", f"{key}={value}")]


@pytest.fixture
def arguments(site, indexed, tmp_path):
    shutil.copytree(indexed / "store", tmp_path / "store")
    base_url = f"http://127.0.0.1:{site.server_address[1]}/"
    return options(indexed, tmp_path / "store", base_url)


@pytest.fixture
def drivers():
    """Starts drivers; none is left after the test, however it ends."""
    started = []

    def start(function, *words):
        started.append(function(*words))
        return started[-1]

    yield start
    for driver in started:
        if driver.poll() is None:
            os.killpg(driver.pid, signal.SIGKILL)
            driver.communicate()


def processes(folder, text):
    """Return the ids of the processes in a folder whose command line has a text."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        try:
            here = str((each / "cwd").readlink()).startswith(str(folder))
            if here and text in (each / "cmdline").read_bytes().decode().replace("\0", " "):
                found.append(int(each.name))
        except OSError:  # gone, or not ours
            continue
    return found


def python_workers(folder):
    """Return the Python workers that are downloading: the parents of the child processes."""
    children = processes(folder, "landmark_spark.child_process")
    return [int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in children]


def committed(store):
    return {shard: commit.num_rows for shard, commit in Store(str(store)).commits(IMAGES).items()}


def wait_for(condition, what, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} should have come"
        time.sleep(0.05)
    return found


def in_the_middle(site, store):
    """Wait until some shards are done and others under way; return those that are done."""

    def look():
        done, begun = set(committed(store)), {shard_of(name, NUM_SHARDS) for name in list(site.asked)}
        return done if len(done) >= 2 and begun - done else None

    return wait_for(look, "two shards done and others begun")


def assert_everything_is_there_and_was_fetched_once_if_committed(site, store, kept):
    rows = Store(str(store)).read_arrow(IMAGES, ["id", "status"]).to_pylist()
    assert Counter(row["id"] for row in rows) == dict.fromkeys([*(f"image{n:03d}" for n in range(NUM_ROWS)), "test"], 1)
    assert {row["status"] for row in rows} == {"ok"}
    again = {name for name, count in site.asked.items() if count > 1}
    assert not [name for name in again if shard_of(name, NUM_SHARDS) in kept]


def assert_all_files_are_readable(store):
    names = list(Path(store).glob("images/shard=*/part-*.parquet"))
    for name in names:
        pq.ParquetFile(name).metadata  # noqa: B018
    if names:
        assert ds.dataset(store / "images", format="parquet", partitioning="hive").count_rows() > 0


def finish(process):
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed


def test_a_killed_driver_costs_the_shards_in_flight(cluster, site, arguments, tmp_path, drivers):
    master, _ = cluster
    driver = drivers(start_submit, master, "download_images.py", arguments)
    kept = in_the_middle(site, tmp_path / "store")
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    time.sleep(3)  # what the executors still had to write is written
    kept |= set(committed(tmp_path / "store"))
    assert_all_files_are_readable(tmp_path / "store")
    assert len(kept) < NUM_SHARDS
    finish(drivers(start_submit, master, "download_images.py", arguments))
    assert_everything_is_there_and_was_fetched_once_if_committed(site, tmp_path / "store", kept)


def test_killed_processes_of_the_workers_do_not_end_the_run(cluster, site, arguments, tmp_path, drivers):
    master, folder = cluster
    driver = drivers(start_submit, master, "download_images.py", arguments)
    kept = in_the_middle(site, tmp_path / "store")
    kill_one(lambda: processes(folder, "landmark_spark.child_process"))
    wait_for(lambda: len(committed(tmp_path / "store")) > len(kept), "another shard")
    kill_one(lambda: python_workers(folder))
    kept = set(committed(tmp_path / "store"))
    assert_all_files_are_readable(tmp_path / "store")
    wait_for(lambda: len(committed(tmp_path / "store")) > len(kept), "another shard")
    kill_one(lambda: processes(folder, "CoarseGrainedExecutorBackend"))
    kept = set(committed(tmp_path / "store"))
    assert_all_files_are_readable(tmp_path / "store")
    finish(driver)
    assert_everything_is_there_and_was_fetched_once_if_committed(site, tmp_path / "store", kept)


def kill_one(find):
    os.kill(wait_for(find, "a process to kill")[0], signal.SIGKILL)


def test_two_drivers_on_one_store_end_with_one_sound_table(site, arguments, tmp_path, drivers):
    for driver in [drivers(local_driver, arguments) for _ in range(2)]:
        finish(driver)
    store = Store(str(tmp_path / "store"))
    assert_everything_is_there_and_was_fetched_once_if_committed(site, tmp_path / "store", set())
    assert sum(each.num_rows for each in store.commits(IMAGES).values()) == NUM_ROWS + 1
    assert set(store.commits(RECORDS)) == set(store.commits(IMAGES)) == set(range(NUM_SHARDS))


def local_driver(arguments):
    """Start a local run, as a second person at the same store would."""
    command = [sys.executable, ROOT / "jobs" / "download_images.py", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), start_new_session=True
    )
