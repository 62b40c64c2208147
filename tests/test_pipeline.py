"""The whole pipeline on a tiny world, through the command line and a real HTTP server."""

import csv
import json
import re

import pytest

from landmark_spark.cli import main
from landmark_spark.commits import WHOLE
from landmark_spark.core.submission import parse_submission
from landmark_spark.retrieval_settings import FusionSettings
from landmark_spark.schemas import (
    BOTTLENECKS,
    CANDIDATES,
    GLOBAL_DESCRIPTORS,
    IMAGES,
    LOCAL_FEATURES,
    PREDICTIONS,
    RECORDS,
    REJECTS,
    SCORES,
    TOP_MODEL,
    VERIFICATIONS,
)
from landmark_spark.store import Store

pytestmark = pytest.mark.jvm


def stages_run(output):
    lines = output[output.index("\nstage ") :].splitlines()[2:]
    table = lines[: lines.index("")]
    return [line.split()[0] for line in table if line.split()[1] == "run"]


def test_every_test_id_has_one_row_in_the_order_of_the_csv(finished):
    with (finished / "toy_world" / "test.csv").open() as file:
        ids = [row["id"] for row in csv.DictReader(file)]
    with (finished / "submission.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == ids
    assert len(ids) == 24


def test_an_image_that_could_not_be_fetched_is_a_status_and_an_empty_cell(finished):
    images = Store(str(finished)).read_arrow(IMAGES, ["id", "split", "status", "image"]).to_pylist()
    failed = {row["id"] for row in images if row["split"] == "test" and row["status"] != "ok"}
    assert failed  # the world has dead URLs
    assert {row["status"] for row in images} == {"ok", "http_404"}
    assert all((row["image"] is None) == (row["status"] != "ok") for row in images)
    with (finished / "submission.csv").open() as file:
        cells = {row["id"]: row["landmarks"] for row in csv.DictReader(file)}
    assert {name for name, cell in cells.items() if not cell} == failed


def test_every_row_is_accounted_for_along_the_chain(finished):
    store = Store(str(finished))
    rows = {table.name: sum(c.num_rows for c in store.commits(table).values()) for table in TABLES}
    num_ok = sum(row["status"] == "ok" for row in store.read_arrow(IMAGES, ["status"]).to_pylist())
    tests_ok = len(parse_submission((finished / "submission.csv").read_bytes().splitlines(True), source="s"))
    assert rows["records"] == rows["images"] == 4 * 6 + 24 + 4  # the tiny world's non-landmark photos: a fifth of 24
    assert rows["rejects"] == 0
    assert rows["bottlenecks"] == num_ok
    assert rows["predictions"] == 4 * tests_ok  # top 5 of 4 landmarks
    assert rows["global_descriptors"] == num_ok
    named = store.read_arrow(CANDIDATES, ["id", "landmark_id"]).to_pylist()
    named += [
        row for row in store.read_arrow(PREDICTIONS, ["id", "landmark_id", "rank"]).to_pylist() if not row["rank"]
    ]
    assert rows["verifications"] == len({(row["id"], row["landmark_id"]) for row in named})


TABLES = (RECORDS, REJECTS, IMAGES, BOTTLENECKS, GLOBAL_DESCRIPTORS, PREDICTIONS, LOCAL_FEATURES, VERIFICATIONS)


def test_every_image_that_was_fetched_keeps_a_larger_copy(finished):
    for row in Store(str(finished)).read_arrow(IMAGES, ["status", "large_image"]).to_pylist():
        assert (row["large_image"] is not None) == (row["status"] == "ok")


def test_scores_of_an_image_sum_to_one_and_fall_with_rank(finished):
    rows = Store(str(finished)).read_arrow(PREDICTIONS, ["id", "rank", "score"]).to_pylist()
    by_id = {}
    for row in sorted(rows, key=lambda row: row["rank"]):
        by_id.setdefault(row["id"], []).append(row["score"])
    for scores in by_id.values():
        assert sum(scores) == pytest.approx(1.0, abs=1e-5)  # all 4 landmarks are among the 5 best
        assert scores == sorted(scores, reverse=True)


def test_verification_compares_with_the_references_of_the_predicted_landmark_only(finished):
    store = Store(str(finished))
    features = store.read_arrow(LOCAL_FEATURES, ["id", "landmark_id", "split"]).to_pylist()
    landmark_of = {row["id"]: row["landmark_id"] for row in features if row["split"] == "train"}
    verified = store.read_arrow(VERIFICATIONS, VERIFICATIONS.schema.names).to_pylist()
    for row in verified:
        assert row["num_comparisons"] <= row["num_references"] <= 5
        assert row["is_verified"] == (row["num_inliers"] > 35)
        if row["best_reference_id"] is not None:
            assert landmark_of[row["best_reference_id"]] == row["landmark_id"]


def test_each_cell_is_the_candidate_of_the_highest_probability(finished):
    scores = Store(str(finished)).read_arrow(SCORES, ["id", "rank", "landmark_id", "score"]).to_pylist()
    expected = {}
    for row in scores:
        assert 0.0 < row["score"] < 1.0
        if row["score"] > expected.get(row["id"], (0, 0.0))[1]:
            expected[row["id"]] = (row["landmark_id"], row["score"])
    written = parse_submission((finished / "submission.csv").read_bytes().splitlines(True), source="s")
    assert {each.id: each.landmark_id for each in written} == {name: best[0] for name, best in expected.items()}
    assert {each.id: each.score for each in written} == pytest.approx({n: best[1] for n, best in expected.items()})


def test_training_images_play_test_images_and_none_meets_itself(finished):
    store = Store(str(finished))
    candidates = store.read_arrow(CANDIDATES, ["id", "split", "fold", "true_landmark_id"]).to_pylist()
    playing = {row["id"]: row for row in candidates if row["split"] != "test"}
    assert {row["split"] for row in playing.values()} == {"train", "non_landmark"}
    assert {row["fold"] for row in playing.values()} == set(range(5))
    assert all((row["true_landmark_id"] >= 0) == (row["split"] == "train") for row in playing.values())
    verified = store.read_arrow(VERIFICATIONS, ["id", "best_reference_id"]).to_pylist()
    assert all(row["id"] != row["best_reference_id"] for row in verified)
    assert set(playing) <= {row["id"] for row in verified}
    fusion = json.loads((finished / "fusion.json").read_text())
    assert fusion["learned"] and set(fusion["evidence"]) == set(FusionSettings().evidence.split())


def test_the_model_folder_has_model_classes_history_and_seed(finished):
    store = Store(str(finished))
    with store.local_files(store.commits(TOP_MODEL)[WHOLE]) as files:
        names = {"model.keras", "classes.json", "history.json", "training.json", "events.out.tfevents.history"}
        assert set(files) - {"measured_model.keras"} == names
        assert len(json.loads(files["history.json"].read_text())["loss"]) == 4
        assert json.loads(files["training.json"].read_text())["seed"] == 0
        assert len(json.loads(files["classes.json"].read_text())["landmark_ids"]) == 4


def test_metrics_agree_with_evaluating_the_submission(finished, capsys):
    metrics = json.loads((finished / "metrics.json").read_text())
    assert main(["evaluate", str(finished / "submission.csv"), str(finished / "toy_world" / "solution.csv")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == pytest.approx(metrics["modes"]["learned"])
    assert set(told) == {"gap", "top1", "num_predictions", "num_positives"}
    assert (finished / "report" / "index.html").read_text().startswith("<!")


def test_the_report_shows_what_the_run_was_given_and_what_it_is_worth(finished):
    metrics = json.loads((finished / "metrics.json").read_text())
    page = (finished / "report" / "index.html").read_text()
    found = re.findall(r'id="chart-([a-z-]+)".*?<script type="application/json">(.*?)</script>', page, re.DOTALL)
    charts = {name: json.loads(text) for name, text in found}
    values = {
        name: dict(zip(chart["points"], chart["series"][0]["values"], strict=True)) for name, chart in charts.items()
    }
    assert values["ladder"] == pytest.approx(
        {each["name"]: each["gap"]["value"] for each in metrics["ladder"]}, rel=1e-5
    )
    assert list(charts["gains"]["points"]) == [each["name"] for each in metrics["ladder"][1:]]
    there = metrics["counts"]["images"] - metrics["counts"]["failed_downloads"]
    assert sum(values["hosts"].values()) == values["downloads"]["ok"] == there
    assert sum(charts["hosts"]["series"][1]["values"]) == metrics["counts"]["failed_downloads"]
    assert sum(values["class-sizes"].values()) == 4
    assert charts["training"]["series"][0]["values"][-1] > 0
    assert values["times"]["index_images"] > 0


def test_a_second_run_does_nothing_and_says_so(finished, capsys, tiny_arguments):
    before = (finished / "submission.csv").stat().st_mtime_ns
    assert main(tiny_arguments("run", finished)) == 0
    output = capsys.readouterr().out
    assert "Nothing to do: everything is up to date." in output
    assert stages_run(output) == []
    assert (finished / "submission.csv").stat().st_mtime_ns == before


def test_after_a_changed_setting_only_what_depends_on_it_runs(finished, capsys, tiny_arguments):
    assert main(tiny_arguments("run", finished, "submission.mode=decision")) == 0
    assert stages_run(capsys.readouterr().out) == ["write_submission", "write_report"]
    decided = parse_submission((finished / "submission.csv").read_bytes().splitlines(True), source="s")
    verified = Store(str(finished)).read_arrow(VERIFICATIONS, ["id", "landmark_id", "is_verified"]).to_pylist()
    accepted = {(row["id"], row["landmark_id"]) for row in verified if row["is_verified"]}
    best = Store(str(finished)).read_arrow(PREDICTIONS, ["id", "rank", "landmark_id"]).to_pylist()
    assert {(each.id, each.landmark_id) for each in decided} == {
        (row["id"], row["landmark_id"])
        for row in best
        if not row["rank"] and (row["id"], row["landmark_id"]) in accepted
    }
    assert main(tiny_arguments("run", finished)) == 0  # back again for the other tests
    assert stages_run(capsys.readouterr().out) == ["write_submission", "write_report"]


def test_a_lost_file_is_made_again_byte_for_byte(finished, capsys, tiny_arguments):
    store = Store(str(finished))
    commit = store.commits(BOTTLENECKS)[1]
    (finished / commit.files[0].path).unlink()
    assert main([*tiny_arguments("run", finished), "--only", "extract_bottlenecks"]) == 0
    assert "is missing (shards 1)" in capsys.readouterr().out
    assert store.commits(BOTTLENECKS)[1].digest == commit.digest
    assert main(tiny_arguments("run", finished)) == 0
    assert "Nothing to do" in capsys.readouterr().out  # the same bytes: nothing downstream is stale


def test_shards_made_apart_give_the_same_table(finished, tmp_path, capsys, tiny_arguments):
    apart = tmp_path / "store"
    for part in ("1/2", "2/2"):
        options = ["--to", "download_images", "--shard", part]
        assert main([*tiny_arguments("run", apart), *options]) == 0
    whole, parts = Store(str(finished)).commits(IMAGES), Store(str(apart)).commits(IMAGES)
    assert {shard: each.digest for shard, each in parts.items()} == {s: each.digest for s, each in whole.items()}


def test_a_stage_without_its_inputs_is_refused(tmp_path, capsys, tiny_arguments):
    assert main([*tiny_arguments("run", tmp_path / "store"), "--only", "verify_landmarks"]) == 2
    assert (
        "verify_landmarks should have predictions, candidates, landmarks, local_features, bottlenecks, not made yet"
        in capsys.readouterr().err
    )


def test_plan_says_what_would_run_and_why(finished, capsys, tiny_arguments):
    assert main(tiny_arguments("plan", finished, "verify.min_inliers=20")) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[1:]}
    assert "skip" in lines["extract_local_features"]
    assert "verify.min_inliers changed from 35 to 20" in lines["verify_landmarks"]
    assert "run" in lines["write_report"]
