"""The benchmarks' arithmetic, lists, server and output. Whether anything is fast is no test's business."""

import collections
import http.client
import io
import json
import os
import socket
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from landmark_spark.core.records import Row, parse_rows, shard_of
from scripts.benchmarks import __main__ as command_line
from scripts.benchmarks import download, sample_pictures, scale
from scripts.benchmarks.challenge_csv import write_challenge
from scripts.benchmarks.img2dataset_side import find_environment, span_of
from scripts.benchmarks.pair_ratios import ratio_summary, take_turns
from scripts.benchmarks.picture_server import serve_pictures
from scripts.benchmarks.report_lines import BenchmarkError, LineWriter, rounded
from scripts.benchmarks.sample_pictures import encode_to_size, make_pictures
from scripts.benchmarks.scale import memory_ratios
from scripts.benchmarks.url_lists import dead_urls, dripping_urls, plain_urls, refusing_port

BASE = "http://127.0.0.1:8000/"


def test_the_ratio_is_the_median_of_the_ratios_within_the_pairs():
    summary = ratio_summary("ratio", [30.0, 20.0, 80.0], [10.0, 10.0, 20.0])
    assert summary == {"ratio": 3.0, "ratio_min": 2.0, "ratio_max": 4.0, "ratio_pairs": [3.0, 2.0, 4.0]}


def test_the_median_of_the_ratios_is_not_the_ratio_of_the_medians():
    # Ratios 1, 10 and 1; the medians are 10 and 5, the ratio of which would be 2.
    assert ratio_summary("ratio", [1.0, 50.0, 10.0], [1.0, 5.0, 10.0])["ratio"] == 1.0


def test_of_an_even_number_of_pairs_the_median_lies_halfway():
    assert ratio_summary("ratio", [1.0, 4.0], [1.0, 2.0])["ratio"] == 1.5


@pytest.mark.parametrize(("ours", "theirs"), [([1.0], [1.0, 2.0]), ([], []), ([1.0], [0.0])])
def test_sides_that_cannot_be_paired_are_refused(ours, theirs):
    with pytest.raises(ValueError, match="should"):
        ratio_summary("ratio", ours, theirs)


def test_who_begins_changes_from_pair_to_pair():
    calls = []
    ours, theirs = take_turns(
        lambda pair: calls.append(f"ours {pair}") or 10 + pair,
        lambda pair: calls.append(f"theirs {pair}") or 20 + pair,
        3,
    )
    assert calls == ["ours 0", "theirs 0", "theirs 1", "ours 1", "ours 2", "theirs 2"]
    assert (ours, theirs) == ([10, 11, 12], [20, 21, 22])


def test_img2dataset_is_timed_from_its_first_start_to_its_last_end():
    stats = [{"start_time": 12.0, "end_time": 20.0}, {"start_time": 10.0, "end_time": 15.0}]
    assert span_of(stats) == 10.0


def test_memory_is_compared_peak_by_peak():
    small = {"num_rows": 100, "seconds": 2.0, "jvm_peak_bytes": 400, "rows_per_second": 50.0}
    large = {"num_rows": 1000, "seconds": 5.0, "jvm_peak_bytes": 600, "rows_per_second": 200.0}
    assert memory_ratios(small, large) == {"num_rows_ratio": 10.0, "seconds_ratio": 2.5, "jvm_peak_ratio": 1.5}


def test_figures_have_four_significant_digits():
    assert rounded({"a": 123456.789, "b": [0.000123456, 7], "c": "1.23456"}) == {
        "a": 123500.0,
        "b": [0.0001235, 7],
        "c": "1.23456",
    }


def test_lines_alone_go_to_stdout_whatever_else_is_printed(capfd):
    with LineWriter() as write:
        os.write(1, b"from a child process\n")
        write("speed", "run", seconds=1.5)
    os.write(1, b"afterwards\n")
    printed = capfd.readouterr()
    assert printed.out == '{"benchmark": "speed", "what": "run", "seconds": 1.5}\nafterwards\n'
    assert printed.err == "from a child process\n"


def test_the_plain_list_has_every_picture_once_and_equal_shards():
    rows = plain_urls(BASE, 40)
    assert [row.url for row in rows] == [f"{BASE}{number}.jpg" for number in range(40)]
    assert [row.shard for row in rows] == [shard for shard in range(8) for _ in range(5)]
    assert all(shard_of(row.id, 8) == row.shard for row in rows)
    assert len({row.id for row in rows}) == 40


def test_a_fifth_of_the_dead_list_is_dead_half_missing_and_half_refused():
    rows = dead_urls(BASE, 80, 9)
    kinds = collections.Counter(
        "missing" if "/missing/" in row.url else "refused" if ":9/" in row.url else "there" for row in rows
    )
    assert kinds == {"there": 64, "missing": 8, "refused": 8}
    assert [row.shard for row in rows] == [row.shard for row in plain_urls(BASE, 80)]
    assert len({urlsplit(row.url).hostname for row in rows if ":9/" in row.url}) == 8


@pytest.mark.parametrize(("spread", "shards"), [(True, [0, 1, 2, 3, 4]), (False, [0, 0, 0, 0, 0])])
def test_drips_come_on_top_of_the_plain_list_in_the_shards_wanted(spread, shards):
    rows = dripping_urls(BASE, 40, num_drips=5, seconds=60.0, spread=spread)
    drips = [row for row in rows if "/drip/" in row.url]
    assert [row.shard for row in drips] == shards
    assert all(shard_of(row.id, 8) == row.shard and row.url.endswith("?seconds=60") for row in drips)
    assert [row for row in rows if row not in drips] == plain_urls(BASE, 40)
    assert len({row.id for row in rows}) == 45


def test_a_refusing_port_refuses():
    with refusing_port() as port, pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.1.0.9", port), timeout=10)


def test_the_server_gives_pictures_and_404_over_one_connection(tmp_path):
    with serve_pictures([b"first", b"second one"], tmp_path) as server:
        connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=30)
        answers = []
        for path in ("/0.jpg", "/3.jpg", "/missing/0.jpg", "/0.jpg"):
            connection.request("GET", path)
            answer = connection.getresponse()
            answers.append((answer.status, answer.read()))
        assert answers == [(200, b"first"), (200, b"second one"), (404, b"not found\n"), (200, b"first")]
        assert server.cpu_seconds() > 0
        connection.close()
        netloc = urlsplit(server.base_url)
    with pytest.raises(ConnectionRefusedError):  # its process has ended
        socket.create_connection((netloc.hostname, netloc.port), timeout=10)


def test_a_drip_sends_its_head_at_once_and_ends_when_asked_to(tmp_path):
    with serve_pictures([b"first"], tmp_path) as server:
        connection = http.client.HTTPConnection(urlsplit(server.base_url).netloc, timeout=30)
        started = time.monotonic()
        connection.request("GET", "/drip/0.jpg?seconds=2")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Content-Length")) == (200, "160000")
        with pytest.raises(http.client.IncompleteRead) as short:
            answer.read()
        assert short.value.partial == b"\xff\xd8\xff\0\0"  # the start of a JPEG, then a byte for each second
        assert time.monotonic() - started > 1.5


def test_a_textured_picture_becomes_a_jpeg_of_about_160_kb():
    noise = np.random.default_rng(0).integers(0, 256, (768, 1024), np.uint8)
    data = encode_to_size(Image.merge("RGB", [Image.fromarray(noise // 4)] * 3))
    assert 144_000 <= len(data) <= 176_000
    assert Image.open(io.BytesIO(data)).size == (1024, 768)


def test_a_plain_picture_cannot_be_made_as_large_as_wanted():
    assert encode_to_size(Image.new("RGB", (1024, 768))) is None


@pytest.fixture
def few_pictures(monkeypatch):
    """Three pictures in place of 48, which take half a minute to draw."""
    monkeypatch.setattr(sample_pictures, "NUM_PICTURES", 3)


@pytest.mark.usefixtures("few_pictures")
def test_without_photos_the_pictures_are_drawn_and_kept(tmp_path):
    pictures, source = make_pictures(tmp_path, tmp_path / "nowhere")
    assert source == "drawn textures"
    assert len(set(pictures)) == 3
    assert all(144_000 <= len(data) <= 176_000 for data in pictures)
    assert make_pictures(tmp_path, tmp_path / "nowhere") == (pictures, source)
    next(tmp_path.glob("*/*.jpg")).unlink()
    with pytest.raises(BenchmarkError, match="should have 3 pictures"):
        make_pictures(tmp_path, tmp_path / "nowhere")


def test_a_quick_run_makes_no_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("IMG2DATASET_PYTHON", raising=False)
    assert find_environment(tmp_path / "img2dataset", may_make=False) is None
    assert not list(tmp_path.iterdir())


def test_the_synthetic_csv_files_are_valid_and_follow_zipf(tmp_path):
    train_csv, test_csv = write_challenge(tmp_path, num_train=20_000, num_test=50)
    with train_csv.open("rb") as file:
        rows = list(parse_rows(file, with_landmark=True, allow_relative=False))
    assert len({row.id for row in rows if isinstance(row, Row)}) == 20_000
    counts = collections.Counter(row.landmark_id for row in rows)
    # The harmonic number H(15,000) is ln(15,000) + 0.5772 = 10.193: the first landmark has 1 / 10.193 of the images,
    # 1,962 with a standard deviation of 42; the second has half as many.
    assert counts[0] == pytest.approx(1962, abs=170)
    assert counts[1] == pytest.approx(981, abs=125)
    with test_csv.open("rb") as file:
        assert len(list(parse_rows(file, with_landmark=False, allow_relative=False))) == 50
    again, _ = write_challenge(tmp_path / "again", num_train=20_000, num_test=50)
    assert again.read_bytes() == train_csv.read_bytes()


@pytest.mark.parametrize("arguments", [["download", "--images", "39"], ["download", "--only", "heat"], ["nothing"]])
def test_a_wrong_option_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        command_line.main(arguments)
    assert refused.value.code == 2
    assert capsys.readouterr().out == ""


def _lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_a_check_that_fails_ends_the_benchmark_with_its_reason(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(download, "_CACHE", tmp_path)
    (tmp_path / "pictures" / "drawn_textures").mkdir(parents=True)
    monkeypatch.setattr(download, "_PHOTOS", tmp_path / "nowhere")
    assert command_line.main(["download", "--quick", "--only", "floor"]) == 1
    printed = capfd.readouterr()
    assert [line["what"] for line in _lines(printed.out)] == ["machine"]
    assert "error: " in printed.err
    assert "should have 48 pictures" in printed.err


@pytest.mark.jvm
def test_the_quick_download_benchmark_prints_every_part_as_json_lines(
    tmp_path, monkeypatch, capfd, few_pictures, spark
):
    monkeypatch.setattr(download, "_CACHE", tmp_path)
    monkeypatch.setattr(download, "find_environment", lambda *_, **__: None)
    assert command_line.main(["download", "--quick", "--images", "40"]) == 0
    lines = _lines(capfd.readouterr().out)
    assert all({"benchmark", "what"} <= line.keys() for line in lines)
    pictures = next(line for line in lines if line["what"] == "pictures")
    assert 144_000 <= pictures["mean_bytes"] <= 176_000
    assert "reason" in next(line for line in lines if line["what"] == "img2dataset_left_out")
    runs = [line for line in lines if line["what"] == "run" and line["benchmark"] != "download.floor"]
    for run in runs:
        assert run["images_per_second"] == pytest.approx(run["num_urls"] / run["seconds"], rel=1e-3)
        assert run["wall_images_per_second"] <= run["images_per_second"]
        assert run["server_cpu_seconds"] > 0
        assert (run["side"], run["spark_master"], run["max_attempts"]) == ("landmark_spark", "local[2]", 3)
    assert [(run["benchmark"], run["num_urls"], run["statuses"]) for run in runs] == [
        ("download.speed", 40, {"ok": 40}),
        ("download.dead", 40, {"connection_failed": 4, "http_404": 4, "ok": 32}),
        ("download.drip", 40, {"ok": 40}),
        ("download.drip", 45, {"ok": 40, "timeout": 5}),
    ]
    summaries = {line["benchmark"]: line for line in lines if line["what"] == "summary"}
    assert list(summaries) == ["download.floor", "download.speed", "download.dead", "download.drip"]
    drip = summaries["download.drip"]
    assert drip["seconds_over_deadline"] == pytest.approx(
        drip["seconds_with"] - drip["seconds_without"] - drip["deadline_seconds"], abs=0.01
    )
    assert summaries["download.floor"]["ratio_of_quarter_to_full"] > 0
    assert not list(tmp_path.glob("run-*"))


def test_the_quick_retrieval_benchmark_tells_what_the_challenge_would_take(capfd):
    assert command_line.main(["retrieval", "--quick"]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    (search,) = [line for line in lines if line["what"] == "search"]
    assert (search["num_references"], search["num_queries"]) == (1000, 100)
    wanted = search["processor_seconds"] * 1_225_029 * 117_703 / (1000 * 100) / 3600
    assert search["core_hours_at_the_challenges_size"] == pytest.approx(wanted, rel=0.01)


def test_the_quick_scale_benchmark_compares_two_sizes_of_both_stages(monkeypatch, capfd):
    asked = []

    def run(size, num_shards, write):
        asked.append((size, num_shards))
        peaks = {"jvm_live_heap_peak_bytes": 100 + 20 * len(asked)}
        return [{"stage": each, "num_rows": sum(size), **peaks} for each in ("index_images", "download_images")]

    monkeypatch.setattr(scale, "_run", run)
    assert command_line.main(["scale", "--quick", "--only", "first"]) == 0
    # a thousandth and a hundredth of 1,225,029 and 117,703, rounded down
    assert asked == [((1225, 117), 4), ((12250, 1177), 4)]
    summary = {"benchmark": "scale", "what": "summary", "num_rows": 13427}
    ratios = {"num_rows_ratio": 10.01, "jvm_live_heap_peak_ratio": 1.167}  # 13427 / 1342 and 140 / 120
    assert _lines(capfd.readouterr().out) == [
        summary | {"stage": stage} | ratios for stage in ("index_images", "download_images")
    ]


def test_the_whole_store_is_benchmarked_with_as_many_shards_as_are_asked_for(monkeypatch, capfd):
    asked = []
    monkeypatch.setattr(scale, "_run_whole", lambda size, num_shards, write: asked.append((size, num_shards)))
    for options in (["--quick"], ["--shards", "64"], []):
        assert command_line.main(["scale", "--only", "whole", *options]) == 0
    assert asked == [((12250, 1177), 4), ((1_225_029, 117_703), 64), ((1_225_029, 117_703), 1024)]


@pytest.mark.jvm
def test_a_store_of_made_up_tables_is_planned_verified_fused_and_reported(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(scale, "_CACHE", tmp_path)
    steps = scale._run_whole((3000, 300), 2, lambda *names, **values: lines.append((names, values)))
    found = {each["stage"]: each for each in steps}
    assert found["index_images"]["num_rows"] == 3300
    assert found["plan"]["num_rows"] == 15  # every stage is up to date, the made-up ones too
    made_up = next(values for names, values in lines if names == ("scale", "made_up"))
    assert made_up["images"] == made_up["bottlenecks"] == 3300
    # each candidate of the 300 test images and the 3,000 that play one is verified, and some predictions besides
    assert made_up["candidates"] <= found["verify_landmarks"]["num_rows"] <= made_up["candidates"] + 300
    assert 3 * 300 < found["fuse_evidence"]["num_rows"] <= 4 * 300
    for each in steps:
        assert 0 < each["jvm_live_heap_peak_bytes"] < each["jvm_peak_bytes"]
    assert not list(tmp_path.iterdir())


@pytest.mark.jvm
def test_a_run_of_the_scale_benchmark_measures_both_stages_in_a_driver_of_its_own(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(scale, "_CACHE", tmp_path)
    stages = scale._run((1225, 117), 4, lambda *names, **values: lines.append((names, values)))
    settings = {"num_train": 1225, "num_test": 117, "num_shards": 4}
    assert lines == [(("scale", "run"), settings | each) for each in stages]
    assert [(each["stage"], each["num_rows"]) for each in stages] == [("index_images", 1342), ("download_images", 1342)]
    for each in stages:
        assert each["rows_per_second"] == pytest.approx(each["num_rows"] / each["seconds"], rel=1e-3)
        assert 0 < each["jvm_live_heap_peak_bytes"] < each["jvm_peak_bytes"]
        assert each["driver_python_peak_bytes"] > 0
    assert not list(tmp_path.iterdir())
