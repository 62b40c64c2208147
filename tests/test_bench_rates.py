"""Rates from the books of finished stores: the arithmetic, and stores that are read without Spark."""

import json

import numpy as np
import pytest
from landmark_store import NUM_SHARDS, write_table

from landmark_spark.config import load_config
from landmark_spark.core.records import shard_of
from landmark_spark.rates import load_rates
from landmark_spark.run_records import RunRecord, write_record
from landmark_spark.schemas import CANDIDATES, LANDMARKS, LOCAL_FEATURES, PREDICTIONS, RECORDS, SCORES, VERIFICATIONS
from landmark_spark.store import Store
from scripts.benchmarks import __main__ as command_line
from scripts.benchmarks import rates, scale_tables
from scripts.benchmarks.rates import Finished, fit, read_finished
from scripts.benchmarks.report_lines import BenchmarkError

NUM_LANDMARKS, NUM_TRAIN, NUM_TEST = 6, 60, 20
STAGES = ("download_images", "extract_bottlenecks", "extract_local_features", "verify_landmarks")


def record(number):
    is_train = number < NUM_TRAIN
    landmark = number % NUM_LANDMARKS if is_train else -1
    return {
        "id": f"i{number:03}",
        "split": "train" if is_train else "test",
        "url": "x",
        "landmark_id": landmark,
        "class_index": landmark,
        "reference_rank": number // NUM_LANDMARKS if is_train else -1,
        "holdout": (number % 10) / 10,
        "line_number": 0 if is_train else number,
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A store of made-up tables, with the books of a run that took 10 s a stage."""
    folder = tmp_path_factory.mktemp("finished")
    store = Store(str(folder))
    write_table(store.url, RECORDS, sorted(map(record, range(NUM_TRAIN + NUM_TEST)), key=lambda row: row["id"]))
    sizes = [
        {"landmark_id": k, "class_index": k, "num_train_images": NUM_TRAIN // NUM_LANDMARKS, "name": ""}
        for k in range(NUM_LANDMARKS)
    ]
    write_table(store.url, LANDMARKS, sizes)
    settings = [f"index.num_shards={NUM_SHARDS}", "local_features.kind=sift", "backbone.weights=random"]
    config = load_config(None, [f"store={folder}", *settings])
    written = scale_tables.write_tables(config)
    candidates = store.read_arrow(CANDIDATES, ["id", "landmark_id"]).to_pylist()
    verified = {
        "num_inliers": 3,
        "num_comparisons": 4,
        "num_references": 5,
        "best_reference_id": None,
        "is_verified": False,
    }
    write_table(store.url, VERIFICATIONS, [row | verified for row in candidates])
    write_table(store.url, SCORES, [row | {"rank": 0, "num_inliers": 3, "score": 0.5} for row in candidates])
    for stage in STAGES:
        write_record(store, RunRecord(stage, 1, 1, 10.0, "x"))
    return config, written


def test_made_up_tables_have_the_rows_that_the_stages_would_make(finished):
    _, written = finished
    num_images = NUM_TRAIN + NUM_TEST
    assert written["images"] == written["bottlenecks"] == written["global_descriptors"] == num_images
    # every training image may play a test image, where there are fewer than 20,000
    assert written["local_features"] == num_images
    assert NUM_TEST <= written["predictions"] <= 5 * NUM_TEST


def test_no_landmark_is_named_twice_for_an_image_and_ranks_count_from_0(finished):
    config, _ = finished
    store = Store(config.store)
    for table in (PREDICTIONS, CANDIDATES):
        rows = store.read_arrow(table, ["id", "landmark_id", "rank"]).to_pylist()
        assert len({(row["id"], row["landmark_id"]) for row in rows}) == len(rows)
        by_image = {}
        for row in rows:
            by_image.setdefault(row["id"], []).append(row["rank"])
        assert all(ranks == list(range(len(ranks))) for ranks in by_image.values())


def test_made_up_rows_lie_in_their_shards_and_are_the_same_again(finished):
    config, _ = finished
    store = Store(config.store)
    maker = scale_tables.SyntheticShard(store.url, np.arange(6), np.arange(1, 7) / 6, 1.0)
    files = store.files(RECORDS)
    for shard in range(NUM_SHARDS):
        rows = maker.rows(LOCAL_FEATURES, shard, files[shard])
        assert rows.equals(maker.rows(LOCAL_FEATURES, shard, files[shard]))
        assert {shard_of(each, NUM_SHARDS) for each in rows["id"].to_pylist()} == {shard}


def test_work_and_shares_are_read_from_the_store(finished):
    config, written = finished
    found = read_finished(config)
    assert found.seconds == dict.fromkeys(STAGES, 10.0)
    assert found.work["extract_bottlenecks"] == 800.0  # 80 images of 10 GFLOP
    assert found.work["verify_landmarks"] == 4 * written["candidates"]
    assert found.shares["compared_share"] == 0.8
    assert found.shares["verified_share"] == 1.0
    assert found.shares["candidates_share"] == written["candidates"] / (80 * 6)  # three voices of two landmarks


def test_two_runs_give_the_start_and_the_rate():
    # 100 units in 15 s and 700 in 45 s on 2 cores: 10 units a second and core, and 10 s to start
    runs = [Finished({"s": 45.0}, {"s": 700.0}, {}), Finished({"s": 15.0}, {"s": 100.0}, {})]
    assert fit("s", runs, start="a", rate="b", cores=2) == {"a": 10.0, "b": 10.0}


def test_a_larger_run_that_was_no_slower_gives_none():
    runs = [Finished({"s": 45.0}, {"s": 100.0}, {}), Finished({"s": 15.0}, {"s": 700.0}, {})]
    with pytest.raises(BenchmarkError, match="s should take longer in the larger run"):
        fit("s", runs, start="a", rate="b", cores=2)


def test_a_run_that_has_not_finished_is_refused(tmp_path):
    with pytest.raises(BenchmarkError, match="download_images should have been run to its end"):
        read_finished(load_config(None, [f"store={tmp_path}"]))


def test_the_command_writes_what_it_found_into_the_file(finished, tmp_path, monkeypatch, capfd):
    config, _ = finished
    path = tmp_path / "rates.json"
    monkeypatch.setattr(rates, "RATES_FILE", path)
    yaml = tmp_path / "own.yaml"
    yaml.write_text("index: {num_shards: 3}\nlocal_features: {kind: sift}\n")
    assert command_line.main(["rates", "--config", str(yaml), "--store", config.store, "--write"]) == 0
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert {"name": "compared_share", "value": 0.8}.items() <= next(
        each for each in lines if each["name"] == "compared_share"
    ).items()
    before, after = load_rates(), load_rates(path)
    assert after["compared_share"].value == 0.8
    assert after["compared_share"].source == "scripts/bench rates"
    assert after["network_v100"] == before["network_v100"]
