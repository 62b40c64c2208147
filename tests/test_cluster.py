"""The pipeline through spark-submit on a real standalone cluster with two workers."""

import csv

import pytest
from standalone import spark_submit, standalone_cluster

from landmark_spark.cli import main
from landmark_spark.schemas import PREDICTIONS, VERIFICATIONS
from landmark_spark.store import Store

pytestmark = pytest.mark.jvm


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as master:
        yield master


def rows_by_key(store, table, columns, key):
    rows = Store(str(store)).read_arrow(table, columns).to_pylist()
    return {tuple(row[name] for name in key): row for row in rows}


def assert_same_answers(one, two):
    key = ("id", "rank")
    columns = ["id", "rank", "landmark_id", "score"]
    first, second = rows_by_key(one, PREDICTIONS, columns, key), rows_by_key(two, PREDICTIONS, columns, key)
    assert first.keys() == second.keys()
    for name, row in first.items():
        assert row["score"] == pytest.approx(second[name]["score"], abs=1e-4)
    best = {name: row["landmark_id"] for name, row in first.items() if name[1] == 0}
    assert best == {name: row["landmark_id"] for name, row in second.items() if name[1] == 0}
    inliers = ["id", "landmark_id", "num_inliers", "num_comparisons", "best_reference_id"]
    assert rows_by_key(one, VERIFICATIONS, inliers, ("id",)) == rows_by_key(two, VERIFICATIONS, inliers, ("id",))
    assert_same_cells(one / "submission.csv", two / "submission.csv")


def assert_same_cells(one, two):
    with one.open() as first, two.open() as second:
        pairs = list(zip(csv.DictReader(first), csv.DictReader(second), strict=True))
    assert pairs
    for left, right in pairs:
        assert left["id"] == right["id"]
        cells = [each["landmarks"].split() for each in (left, right)]
        assert cells[0][:1] == cells[1][:1]
        assert [float(each) for each in cells[0][1:]] == pytest.approx([float(each) for each in cells[1][1:]], abs=1e-4)


def test_a_cluster_gives_the_landmarks_and_scores_of_a_local_run(cluster, finished, tiny_arguments, tmp_path):
    store = tmp_path / "store"
    printed = spark_submit(cluster, "pipeline.py", tiny_arguments("run", store)[1:])
    assert "fused with verification" in printed
    assert_same_answers(finished, store)


def test_one_job_file_runs_one_stage(cluster, tiny_arguments, tmp_path):
    printed = spark_submit(cluster, "index_images.py", tiny_arguments("run", tmp_path / "store")[1:])
    assert "index_images  1       52" in printed  # 24 training, 24 test and 4 non-landmark photos
    assert "download_images" not in printed


@pytest.fixture
def photo_arguments(photos, tmp_path):
    """A run on some of the real photos: the first 12 landmarks and the first 120 test photos."""
    with (photos / "train.csv").open() as file:
        train = list(csv.DictReader(file))
    landmarks = sorted({row["landmark_id"] for row in train}, key=int)[:12]
    write_csv(tmp_path / "train.csv", [row for row in train if row["landmark_id"] in landmarks])
    with (photos / "test.csv").open() as file:
        write_csv(tmp_path / "test.csv", list(csv.DictReader(file))[:120])

    def arguments(store):
        settings = [f"store={store}", f"serve_folder={photos}", "spark.master=local[2]", "index.num_shards=4"]
        settings += [f"inputs.{name}_csv={tmp_path / name}.csv" for name in ("train", "test")]
        return [word for each in settings for word in ("--set", each)]

    return arguments


def write_csv(path, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.photos
def test_a_cluster_gives_the_answers_of_a_local_run_on_real_photos(cluster, photo_arguments, tmp_path, spark):
    local, remote = tmp_path / "local", tmp_path / "remote"
    assert main(["run", *photo_arguments(local)]) == 0
    spark_submit(cluster, "pipeline.py", photo_arguments(remote))
    assert_same_answers(local, remote)
