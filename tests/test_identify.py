"""A test image's own bytes are identified as the batch job has it in its tables, without Spark."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from landmark_spark import identify as module
from landmark_spark.cli import main
from landmark_spark.commits import StoreError
from landmark_spark.config import load_config
from landmark_spark.core.weights import WeightsNotFound
from landmark_spark.identify import load_identifier
from landmark_spark.schemas import CANDIDATES, IMAGES, PREDICTIONS, SCORES, VERIFICATIONS
from landmark_spark.settings import ConfigError
from landmark_spark.store import Store

KINDS = ("neighbours", "closest", "centroid", "head", "non_landmark")
FOUND = ("num_inliers", "num_comparisons", "num_references", "best_reference_id", "is_verified")
TOLERANCE = 2e-3  # of evidence: a network that describes images one by one may sum in another order than a batch


def by_image(store, table, columns):
    """Rows of test images by id and landmark."""
    rows = store.read_arrow(table, ["id", "landmark_id", *columns]).to_pylist()
    found = {}
    for row in rows:
        found.setdefault(row["id"], {})[row["landmark_id"]] = SimpleNamespace(**row)
    return found


@pytest.fixture(scope="module")
def world(finished, tiny_arguments):
    """The finished store, its configuration's settings, and the file of each test image that was downloaded."""
    store = Store(str(finished))
    rows = store.read_arrow(IMAGES, ["id", "split", "status", "url"]).to_pylist()
    files = {
        row["id"]: finished / "toy_world" / row["url"]
        for row in rows
        if row["split"] == "test" and row["status"] == "ok" and (finished / "toy_world" / row["url"]).is_file()
    }
    settings = [word for word in tiny_arguments("run", finished) if word not in ("run", "--set")]
    return SimpleNamespace(store=store, files=files, settings=settings)


@pytest.mark.jvm
def test_every_test_image_is_answered_as_the_batch_job_did(world):
    identify = load_identifier(load_config(None, world.settings))
    candidates = by_image(world.store, CANDIDATES, KINDS)
    verifications = by_image(world.store, VERIFICATIONS, FOUND)
    scores = by_image(world.store, SCORES, ["rank", "score"])
    assert len(world.files) >= 15
    for name, file in world.files.items():
        answer = identify(file)
        assert {each.landmark_id for each in answer.candidates} == set(candidates[name])
        ranks = [scores[name][each.landmark_id].rank for each in answer.candidates]
        assert ranks == list(range(len(ranks)))
        for each in answer.candidates:
            row = candidates[name][each.landmark_id]
            for kind in KINDS:
                assert each.evidence[kind] == pytest.approx(getattr(row, kind), abs=TOLERANCE)
            for column in FOUND:
                assert getattr(each, column) == getattr(verifications[name][each.landmark_id], column)
            assert each.score == pytest.approx(scores[name][each.landmark_id].score, abs=TOLERANCE)
    drawn = identify.draw(answer)
    assert drawn.ndim == 3
    assert drawn.shape[0] > 480  # the caption below
    # The same from bytes, and again.
    again = identify(file.read_bytes())
    assert again.candidates == answer.candidates


@pytest.mark.jvm
def test_the_other_modes_answer_by_the_classifier(world):
    settings = [*world.settings, "submission.mode=fused"]
    identify = load_identifier(load_config(None, settings))
    predictions = by_image(world.store, PREDICTIONS, ["rank", "score"])
    verifications = by_image(world.store, VERIFICATIONS, FOUND)
    for name, file in list(world.files.items())[:5]:
        best, *others = identify(file).candidates
        row = predictions[name][best.landmark_id]
        assert row.rank == 0  # verify.candidates = 1
        assert best.evidence["confidence"] == pytest.approx(row.score, abs=TOLERANCE)
        found = verifications[name][best.landmark_id]
        assert best.num_inliers == found.num_inliers
        fused = best.evidence["confidence"] + min(found.num_inliers, 35) / 35
        assert best.score == pytest.approx(fused)
        assert [predictions[name][each.landmark_id].rank for each in others] == list(range(1, len(others) + 1))
        assert {each.score for each in others} == {None}


@pytest.mark.jvm
def test_without_descriptors_the_same_references_are_compared(world, tmp_path):
    copy = Store(str(shutil.copytree(world.store.url, tmp_path / "store")))
    chosen = [each for each in world.settings if not each.startswith("store=")]
    settings = [f"store={copy.url}", *chosen, "descriptors.networks=none", "submission.mode=fused"]
    assert main(["run", *(word for each in settings for word in ("--set", each))]) == 0
    identify = load_identifier(load_config(None, settings))
    verifications = by_image(copy, VERIFICATIONS, FOUND)
    compared = 0
    for name, file in list(world.files.items())[:5]:
        best = identify(file).candidates[0]
        for column in FOUND:
            assert getattr(best, column) == getattr(verifications[name][best.landmark_id], column)
        compared += best.num_references
    assert compared > 0


@pytest.mark.jvm
def test_the_command_needs_no_java_and_leaves_the_store_as_it_is(world, tmp_path):
    def written():
        return {path: path.stat().st_mtime_ns for path in Path(world.store.url).rglob("*")}

    before = written()
    top = sorted(world.files.values())[:2]
    words = [word for each in world.settings for word in ("--set", each)]
    made = subprocess.run(
        [
            sys.executable,
            "-m",
            "landmark_spark",
            "identify",
            *map(str, top),
            str(tmp_path / "absent.jpg"),
            "--json",
            *words,
        ],
        env=os.environ | {"JAVA_HOME": "/nowhere", "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 1, made.stderr
    found = [json.loads(line) for line in made.stdout.splitlines()]
    assert [each["status"] for each in found] == ["ok", "ok", "unreadable_file"]
    total, *steps = found[0]["seconds"].values()
    assert total == pytest.approx(sum(steps), abs=1e-3)
    assert made.stderr == f"error: {tmp_path}/absent.jpg: {found[2]['error']}\n"
    assert written() == before


def test_a_store_that_is_not_finished_and_weights_that_are_not_there_are_said(tmp_path):
    with pytest.raises(StoreError, match="identify should have a store that is up to date .* records not made yet"):
        load_identifier(load_config(None, [f"store={tmp_path}", "backbone.weights=random"]))
    with pytest.raises((WeightsNotFound, ConfigError), match="weights"):
        load_identifier(load_config(None, [f"store={tmp_path}", f"backbone.weights={tmp_path}/absent.h5"]))


def test_files_that_the_stages_did_not_write_are_one_line(tmp_path, monkeypatch):
    def refuses(error):
        def raising(*_):
            raise error

        monkeypatch.setattr(module, "Identifier", raising)
        return load_config(None, [f"store={tmp_path}", "backbone.weights=random"])

    monkeypatch.setattr(module, "check_ready", lambda *_, **__: None)
    with pytest.raises(StoreError, match="identify should have models as the stages wrote them. Received: no head"):
        load_identifier(refuses(ValueError("no head")))
    with pytest.raises(ConfigError, match="a setting"):
        load_identifier(refuses(ConfigError("a setting")))
