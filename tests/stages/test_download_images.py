"""The download stage's task on Arrow batches, against real servers; no JVM."""

import ctypes
import dataclasses
import hashlib
import io
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from landmark_spark.commits import Stamp
from landmark_spark.core.statuses import STATUSES
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.schemas import IMAGES, RECORDS
from landmark_spark.settings import Config, ConfigError, DownloadSettings
from landmark_spark.stages import download_images as stage
from landmark_spark.stages.download_images import address_of
from landmark_spark.stages.download_worker import Job, Worker, worker_of
from landmark_spark.stages.earlier_attempts import Earlier
from landmark_spark.store import Store, arrow_schema
from landmark_spark.toy.server import serve_folder


def jpeg(width=60, height=40, colour=(200, 30, 30)):
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "JPEG")
    return file.getvalue()


PHOTO = jpeg()
POISON = PHOTO + b"poison"
HANG = PHOTO + b"hang"


class Site(BaseHTTPRequestHandler):
    """/photo, /poison and /hang are pictures; /gone and its like what their names say."""

    protocol_version = "HTTP/1.1"
    bodies: ClassVar = {
        "/photo": PHOTO,
        "/poison": POISON,
        "/hang": HANG,
        "/text.jpg": b"<html>no</html>",
        "/cut": PHOTO[:300],
    }

    def do_GET(self):
        self.server.asked.append(self.path)  # before the answer, after which the test may look
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/photo")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        path = "/photo" if self.path == "/private" else self.path
        if self.path == "/heals":
            self.server.num_heals += 1
            path = "/photo" if self.server.num_heals > 1 else "/gone"
        body = self.bodies.get(path)
        self.send_response(404 if body is None else 200)
        if self.path == "/private":
            self.send_header("X-Robots-Tag", "noai")
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    server.asked = []
    server.num_heals = 0
    server.base = f"http://127.0.0.1:{server.server_address[1]}/"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


SETTINGS = DownloadSettings(num_threads=4, deadline=10.0, decode_timeout=20.0)


def records(*urls, split="train", rank=-1):
    rows = [
        {
            "id": f"id{number}",
            "split": split,
            "url": url,
            "landmark_id": 7,
            "class_index": 0,
            "reference_rank": rank,
            "holdout": 0.5,
            "line_number": 0,
            "shard": 0,
        }
        for number, url in enumerate(urls)
    ]
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema(RECORDS))


def downloaded(batches, base, settings=SETTINGS, retry=(), worker=None, **more):
    worker = worker or worker_of(settings, base_url=base, num_tasks=1)
    more = {"earlier": Earlier("memory://none", {})} | more
    task = stage._Download(settings, base, worker, frozenset(retry), **more)
    rows = [row for batch in task(batches) for row in batch.to_pylist()]
    assert all(row["status"] in STATUSES or row["status"].startswith("http_") for row in rows)
    return rows


def statuses(rows):
    return [row["status"] for row in rows]


def test_every_record_ends_as_one_row_in_its_place(site):
    names = ["photo", "gone", "text.jpg", "cut", "private", "photo", "moved"]
    rows = downloaded([records(*names[:3]), records(*names[3:])], site.base)
    assert [row["url"] for row in rows] == names
    assert statuses(rows) == ["ok", "http_404", "not_an_image", "truncated", "opted_out", "ok", "ok"]


def test_a_row_tells_what_was_received(site):
    (row,) = downloaded([records("moved")], site.base)
    assert row["sha256"] == hashlib.sha256(PHOTO).hexdigest()
    assert (row["num_bytes"], row["width"], row["height"], row["num_attempts"]) == (len(PHOTO), 60, 40, 1)
    assert (row["host"], row["url"], row["final_url"]) == ("127.0.0.1", "moved", "photo")  # whatever the port is
    stored = np.asarray(Image.open(io.BytesIO(row["image"])))
    assert stored.shape == (128, 128, 3)
    assert np.abs(stored.astype(int) - (200, 30, 30)).max() <= 4
    assert Image.open(io.BytesIO(row["large_image"])).size == (60, 40)


def test_where_it_is_asked_for_test_images_and_references_alone_keep_a_larger_copy(site):
    settings = dataclasses.replace(SETTINGS, large_images="references")
    (test,) = downloaded([records("photo", split="test")], site.base, settings)
    (last,) = downloaded([records("photo", rank=19)], site.base, settings)
    (beyond,) = downloaded([records("photo", rank=20)], site.base, settings)
    assert Image.open(io.BytesIO(test["large_image"])).size == (60, 40)
    assert last["large_image"] is not None
    assert beyond["large_image"] is None


def test_addresses_of_this_machine_are_refused_unless_the_base_url_is_there(site):
    url = site.base + "photo"
    (refused,) = downloaded([records(url)], "")
    (allowed,) = downloaded([records(url)], "", dataclasses.replace(SETTINGS, allow_private_addresses=True))
    (named,) = downloaded([records(url)], site.base)
    assert statuses([refused, allowed, named]) == ["forbidden_address", "ok", "ok"]
    assert len(site.asked) == 2


def test_an_opt_out_can_be_left_unheard(site):
    (row,) = downloaded([records("private")], site.base, dataclasses.replace(SETTINGS, opt_out=""))
    assert row["status"] == "ok"


def test_a_retry_fetches_what_failed_and_nothing_else(site):
    first = downloaded([records("photo", "heals", "text.jpg", "photo")], site.base)
    assert statuses(first) == ["ok", "http_404", "not_an_image", "ok"]
    stored = pa.RecordBatch.from_pylist(first, schema=arrow_schema(IMAGES))
    site.asked.clear()
    second = downloaded([stored], site.base, retry=["http_4xx"])
    assert statuses(second) == ["ok", "ok", "not_an_image", "ok"]
    assert site.asked == ["/heals"]
    assert second[1]["num_attempts"] == 2
    assert [second[number] for number in (0, 2, 3)] == [first[number] for number in (0, 2, 3)]
    assert second[1] | {"num_attempts": 1, "url": "photo", "id": "id0", "final_url": "photo"} == first[0]


def test_a_task_that_runs_again_fetches_only_what_its_earlier_attempt_had_not_committed(site, tmp_path, monkeypatch):
    shards = [
        pa.RecordBatch.from_pylist(
            [row | {"shard": shard, "id": f"{shard}-{row['id']}"} for row in records("photo", "gone").to_pylist()],
            schema=arrow_schema(RECORDS),
        )
        for shard in (0, 1, 2)
    ]
    store = Store(str(tmp_path))
    first = downloaded(shards, site.base)
    old = write_images(store, [row for row in first if row["shard"] == 2])  # of a run before this one
    write_images(store, [row for row in first if row["shard"] == 1])
    earlier = Earlier(store.url, {2: old.files})
    site.asked.clear()
    assert downloaded(shards, site.base, earlier=earlier) == first
    assert len(site.asked) == 6  # a first attempt fetches everything
    site.asked.clear()
    monkeypatch.setattr("landmark_spark.stages.earlier_attempts._attempt_number", lambda: 1)
    assert downloaded(shards, site.base, earlier=earlier) == first
    assert len(site.asked) == 4  # shards 0 and 2


def write_images(store, rows):
    """Commit some rows as their shard; return the commit."""
    (shard,) = {row["shard"] for row in rows}
    write = PartitionWriter(store.url, IMAGES, {shard: Stamp("download_images", "f")}, {})
    list(write([pa.RecordBatch.from_pylist(rows, schema=arrow_schema(IMAGES))]))
    return store.commits(IMAGES)[shard]


@pytest.mark.parametrize(
    ("num_shards", "num_cores", "num_tasks"),
    [(8, 2, 2), (3, 8, 3), (64, 2, 8), (1024, 200, 200), (65, 2, 9), (1, 1, 1)],
)
def test_a_task_has_several_shards_where_there_are_more_than_cores(num_shards, num_cores, num_tasks):
    assert stage._num_tasks(num_shards, num_cores) == num_tasks


def test_a_retry_that_fails_as_before_leaves_its_row_as_it_was(site):
    first = downloaded([records("gone")], site.base)
    stored = pa.RecordBatch.from_pylist(first, schema=arrow_schema(IMAGES))
    site.asked.clear()
    assert downloaded([stored], site.base, retry=["failed"]) == first
    assert site.asked == ["/gone"]


def test_a_final_url_counts_from_the_base_with_or_without_its_last_slash(site):
    (row,) = downloaded([records("photo")], site.base.rstrip("/"))
    assert (row["status"], row["final_url"]) == ("ok", "photo")


def test_passwords_of_the_base_url_are_not_told():
    config = dataclasses.replace(Config(), base_url="https://bob:secret@h.io/img")
    task = stage._Download(SETTINGS, config.base_url, None, frozenset(), Earlier("memory://none", {}))
    job = Job("https://bob:secret@h.io/img/1", with_large=False)
    worker = worker_of(SETTINGS, base_url=config.base_url, num_tasks=1)
    assert address_of(config)["base_url"] == "https://h.io/img"
    assert "secret" not in repr((config, task, job, worker))
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(config, base_url="ftp://bob:secret@h.io/")
    assert "ftp://h.io/" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_task_that_outlives_the_server_of_its_run_fails_and_blames_no_picture(tmp_path):
    (tmp_path / "photo").write_bytes(PHOTO)
    with serve_folder(tmp_path) as base:
        assert statuses(downloaded([records("photo", "gone")], base, serves=True)) == ["ok", "http_404"]
    with pytest.raises(stage.ServerGoneError, match=f"from {base}: .*refused"):
        downloaded([records("photo")], base, serves=True)
    assert statuses(downloaded([records("photo")], base)) == ["connection_failed"]  # a web server of the person's own


def test_a_failure_while_the_server_of_the_run_answers_is_the_picture_s(site):
    assert statuses(downloaded([records("cut", "photo")], site.base, serves=True)) == ["truncated", "ok"]


class Fragile(Worker):
    """Decodes as the real one does, but for two pictures on which native code would crash or hang."""

    def _decode(self, job, fetched):
        if fetched.body == POISON:
            ctypes.string_at(0)
        if fetched.body == HANG:
            time.sleep(3600)
        return super()._decode(job, fetched)


def test_a_picture_that_crashes_the_decoder_loses_its_row_and_no_other(site):
    sound = worker_of(SETTINGS, base_url=site.base, num_tasks=1)
    worker = Fragile(sound.limits, sound.plan, sound.num_threads)
    urls = ["photo"] * 30
    urls[11] = "poison"
    rows = downloaded([records(*urls)], site.base, worker=worker)
    assert statuses(rows) == ["ok"] * 11 + ["decoder_crash"] + ["ok"] * 18


def test_a_picture_that_hangs_the_decoder_loses_its_row_and_no_other(site):
    settings = dataclasses.replace(SETTINGS, decode_timeout=1.0)
    sound = worker_of(settings, base_url=site.base, num_tasks=1)
    worker = Fragile(sound.limits, sound.plan, sound.num_threads)
    rows = downloaded([records("photo", "hang", "photo")], site.base, settings, worker=worker)
    assert statuses(rows) == ["ok", "decoder_timeout", "ok"]


def test_tasks_share_what_a_host_may_be_asked():
    settings = DownloadSettings(max_connections_per_host=10, max_requests_per_second_per_host=6.0)
    limits = worker_of(settings, base_url="", num_tasks=4).limits
    assert (limits.max_connections_per_host, limits.requests_per_second_per_host) == (2, 1.5)
    assert worker_of(settings, base_url="", num_tasks=40).limits.max_connections_per_host == 1


def test_a_toy_world_drawn_anew_is_another_address(tmp_path):
    config = dataclasses.replace(Config(), serve_folder=str(tmp_path))
    plain = address_of(config)
    (tmp_path / "world.json").write_text('{"seed": 1}')
    first = address_of(config)
    (tmp_path / "world.json").write_text('{"seed": 2}')
    assert len({str(each) for each in (plain, first, address_of(config))}) == 3


def test_the_address_of_urls_is_their_base():
    config = dataclasses.replace(Config(), base_url="https://h/a")
    assert address_of(config) == {"base_url": "https://h/a", "serve_folder": ""}
