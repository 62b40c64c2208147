"""kill -9 in the middle of a download on a real cluster: what was committed stays, and is not fetched again.

Nothing here depends on how fast anything is: the site answers for the first shards asked for and holds back its answers
for the others until it is told to go on, so that it is certain what is committed at a kill and what is in flight.
"""

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, islice
from pathlib import Path

import numpy as np
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

NUM_SHARDS = 8  # four for each of the two tasks
NUM_ANSWERED_SHARDS = 3  # two or three of one task, which has more
# A task's Python gives Spark its rows by 64, the last of which wait in a buffer of 64 KiB until more come; Spark gives
# them to the writer by 128, once it has another. So where a task is given all of two shards, the first is committed.
ROWS_A_SHARD = 128
IDS = [  # the first of them is the test image
    each
    for shard in range(NUM_SHARDS)
    for each in islice((f"image{k}" for k in count() if shard_of(f"image{k}", NUM_SHARDS) == shard), ROWS_A_SHARD)
]
NUM_THREADS = 2  # of a task: so many requests are held back when it can go no further


class Page(BaseHTTPRequestHandler):
    """A picture at any path, once the site lets it through."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.admit(self.path.strip("/"))
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.photo)))
        self.end_headers()
        self.wfile.write(self.server.photo)

    def log_message(self, *arguments):
        pass


class Site(ThreadingHTTPServer):
    """Answers for the first shards that it is asked for, and for the others once ``opened`` is set."""

    daemon_threads = True
    block_on_close = False

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        # Its square copy has 9 KB, so that 64 rows are more than the buffer holds.
        noise = np.random.default_rng(0).integers(0, 256, (20, 27, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).resize((200, 150), Image.Resampling.BICUBIC).save(file, "JPEG")
        self.photo = file.getvalue()
        self.opened = threading.Event()
        self.asked = Counter()
        self.answered_shards = set()
        self.held = []  # one name a request that was held back
        self.lock = threading.Lock()

    def admit(self, name):
        shard = shard_of(name, NUM_SHARDS)
        with self.lock:
            self.asked[name] += 1
            if len(self.answered_shards) < NUM_ANSWERED_SHARDS:
                self.answered_shards.add(shard)
            if shard in self.answered_shards or self.opened.is_set():
                return
            self.held.append(name)
        self.opened.wait()

    def wait_until_held(self, number):
        wait_for(lambda: len(self.held) >= number, f"{number} requests to hold back")

    def handle_error(self, request, client_address):
        pass  # who asked was killed


@pytest.fixture
def site():
    server = Site()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.opened.set()
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
    (folder / "train.csv").write_text("id,url,landmark_id\n" + "".join(f"{each},{each},1\n" for each in IDS[1:]))
    (folder / "test.csv").write_text(f"id,url\n{IDS[0]},{IDS[0]}\n")
    assert main(["run", *options(folder, folder / "store", "http://127.0.0.1:9/"), "--only", "index_images"]) == 0
    return folder


def options(folder, store, base_url):
    chosen = {
        "store": store,
        "base_url": base_url,
        "inputs.train_csv": folder / "train.csv",
        "inputs.test_csv": folder / "test.csv",
        "index.num_shards": NUM_SHARDS,
        "download.num_threads": NUM_THREADS,
        "download.deadline": 3600,  # longer than anything is held back
        "download.read_timeout": 3600,
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


def children(folder):
    return processes(folder, "landmark_spark.child_process")


def python_workers(folder):
    """Return the Python workers that are downloading: the parents of the child processes."""
    return [int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]) for pid in children(folder)]


def executors(folder):
    return processes(folder, "CoarseGrainedExecutorBackend")


def committed(store):
    return set(Store(str(store)).commits(IMAGES))


def wait_for(condition, what, seconds=200):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} should have come"
        time.sleep(0.05)
    return found


def in_the_middle(site, store):
    """Wait until both tasks can go no further, and one has committed a shard; return those that are done."""
    site.wait_until_held(2 * NUM_THREADS)
    return wait_for(lambda: committed(store), "a shard")


def assert_everything_is_there_and_was_fetched_once_if_committed(site, store, kept):
    rows = Store(str(store)).read_arrow(IMAGES, ["id", "status"]).to_pylist()
    assert Counter(row["id"] for row in rows) == dict.fromkeys(IDS, 1)
    assert {row["status"] for row in rows} == {"ok"}
    again = {name for name, number in site.asked.items() if number > 1}
    assert not [name for name in again if shard_of(name, NUM_SHARDS) in kept]
    assert set(site.held) <= again


def assert_everything_is_there_and_was_fetched_once(site, store):
    rows = Store(str(store)).read_arrow(IMAGES, ["id", "status"]).to_pylist()
    assert Counter(row["id"] for row in rows) == dict.fromkeys(IDS, 1)
    assert {row["status"] for row in rows} == {"ok"}
    assert site.asked == dict.fromkeys(IDS, 1)


def assert_all_files_are_readable(store):
    names = list(Path(store).glob("images/shard=*/part-*.parquet"))
    for name in names:
        pq.ParquetFile(name).metadata  # noqa: B018
    assert ds.dataset(names, format="parquet").count_rows() >= ROWS_A_SHARD


def finish(process):
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed


def test_a_killed_driver_costs_the_shards_in_flight(cluster, site, arguments, tmp_path, drivers):
    master, folder = cluster
    driver = drivers(start_submit, master, "download_images.py", arguments)
    in_the_middle(site, tmp_path / "store")
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    wait_for(lambda: not processes(folder, ""), "the end of the executors, with what they still had to write")
    kept = committed(tmp_path / "store")
    assert_all_files_are_readable(tmp_path / "store")
    assert kept <= site.answered_shards
    site.opened.set()
    assert main(["run", *arguments, "--only", "download_images"]) == 0
    assert_everything_is_there_and_was_fetched_once_if_committed(site, tmp_path / "store", kept)


def test_killed_processes_of_the_workers_do_not_end_the_run(cluster, site, arguments, tmp_path, drivers):
    master, folder = cluster
    driver = drivers(start_submit, master, "download_images.py", arguments)
    kept = in_the_middle(site, tmp_path / "store")
    for find, number in ((children, 2), (python_workers, 2), (executors, 1)):  # of two, each of which has a task
        num_held = len(site.held)
        found = wait_for(lambda find=find: len(pids := find(folder)) == 2 and pids, "two processes to kill")
        for pid in found[:number]:
            os.kill(pid, signal.SIGKILL)
        site.wait_until_held(num_held + number * NUM_THREADS)  # what takes their place is as far as they were
        assert kept <= committed(tmp_path / "store") <= site.answered_shards
        assert_all_files_are_readable(tmp_path / "store")
    assert driver.poll() is None
    site.opened.set()
    finish(driver)
    assert_everything_is_there_and_was_fetched_once_if_committed(site, tmp_path / "store", kept)


def test_a_second_driver_on_the_same_shards_is_refused_or_waits(spark, site, arguments, tmp_path, drivers, capsys):
    other = drivers(local_driver, arguments)
    site.wait_until_held(2 * NUM_THREADS)
    assert main(["run", *arguments, "--only", "download_images"]) == 1
    refusal = capsys.readouterr().err
    assert f"host {socket.gethostname()}, process {other.pid}, since 20" in refusal
    assert "for images" in refusal
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(main, ["run", *arguments, "--only", "download_images", "--wait"])
        wait_for(lambda: "waiting for" in capsys.readouterr().out, "the line of who waits")
        site.opened.set()
        finish(other)
        assert waiting.result() == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert_everything_is_there_and_was_fetched_once(site, tmp_path / "store")


def test_two_drivers_on_parts_of_one_store_end_with_one_sound_table(spark, site, arguments, tmp_path, drivers):
    other = drivers(local_driver, [*arguments, "--shard", "1/2"])
    site.wait_until_held(NUM_THREADS)  # of its four shards three are answered for
    with ThreadPoolExecutor() as pool:
        opened = pool.submit(open_when_both_are_in_the_middle, site)
        assert main(["run", *arguments, "--only", "download_images", "--shard", "2/2"]) == 0
        opened.result()
    finish(other)
    assert_everything_is_there_and_was_fetched_once(site, tmp_path / "store")
    store = Store(str(tmp_path / "store"))
    assert sum(each.num_rows for each in store.commits(IMAGES).values()) == len(IDS)
    assert set(store.commits(RECORDS)) == set(store.commits(IMAGES)) == set(range(NUM_SHARDS))


def open_when_both_are_in_the_middle(site):
    try:
        site.wait_until_held(NUM_THREADS + 2 * NUM_THREADS)
    finally:
        site.opened.set()


def local_driver(arguments):
    """Start a local run, as a second person at the same store would."""
    command = [sys.executable, ROOT / "jobs" / "download_images.py", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(), start_new_session=True
    )
