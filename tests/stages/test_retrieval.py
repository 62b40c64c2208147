"""The stages from descriptors to scores, on a few made-up images."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from landmark_spark.commits import Commit, Stamp
from landmark_spark.config import load_config
from landmark_spark.core.evidence_fusion import Fusion
from landmark_spark.core.retrieval_model import RetrievalModel
from landmark_spark.schemas import CANDIDATES, GLOBAL_DESCRIPTORS, RETRIEVAL_MODEL, VERIFICATIONS
from landmark_spark.settings import Config, ConfigError, RetrievalSettings
from landmark_spark.stages.extract_global_descriptors import descriptors_also, find_descriptor_networks
from landmark_spark.stages.fuse_evidence import fuse_evidence
from landmark_spark.stages.retrieve_neighbours import RetrievalTask
from landmark_spark.stages.train_retrieval import _learn, _Learning
from landmark_spark.store import Store, arrow_schema, spark_schema
from landmark_spark.table_reader import TaskReader

LANDMARKS = (700, 900)
SETTINGS = RetrievalSettings(dimensions=4, num_folds=2, candidates=1, num_neighbours=2)


def described_rows():
    """Four images of each of two landmarks, four of none, two test images: like the first, like nothing."""
    random = np.random.default_rng(0)
    kinds = [("train", 0)] * 4 + [("train", 1)] * 4 + [("non_landmark", -1)] * 4 + [("test", 0), ("test", 2)]
    centres = np.eye(6)[[0, 1, 2, 3]]
    vectors = [centres[kind if kind >= 0 else 3] + random.normal(0, 0.05, 6) for _, kind in kinds]
    columns = {
        "id": [f"{place:02x}" for place in range(len(kinds))],
        "split": [split for split, _ in kinds],
        "landmark_id": [LANDMARKS[kind] if split == "train" else -1 for split, kind in kinds],
        "class_index": [kind if split == "train" else -1 for split, kind in kinds],
        "reference_rank": [place % 4 if split == "train" else -1 for place, (split, _) in enumerate(kinds)],
        "descriptor": [(each / np.linalg.norm(each)).astype("<f2").tobytes() for each in vectors],
        "shard": [place % 3 for place in range(len(kinds))],
    }
    schema = arrow_schema(GLOBAL_DESCRIPTORS)
    return pa.RecordBatch.from_arrays([pa.array(columns[each.name], each.type) for each in schema], schema=schema)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The commit of a model that was learned on these images."""
    monkeypatch.setattr(TaskReader, "read", lambda _: iter([described_rows()]))
    files, num_images = _learn(_Learning(SETTINGS, str(tmp_path), ("one",), len(LANDMARKS)))
    assert num_images == 12
    stamp = Stamp(stage="train_retrieval", fingerprint="f", settings={}, inputs={})
    return Store(str(tmp_path)).commit_artifact(RETRIEVAL_MODEL, files, stamp)


def test_images_find_their_landmark_and_those_that_play_meet_what_has_not_seen_them(model, tmp_path):
    task = RetrievalTask(SETTINGS, str(tmp_path), model.to_json(), LANDMARKS)
    rows = pa.Table.from_batches(task([described_rows()])).to_pylist()
    assert all(set(row) == set(arrow_schema(CANDIDATES).names) for row in rows)
    best = {row["id"]: row for row in rows if row["rank"] == 0}
    assert set(best) == {f"{place:02x}" for place in range(14)}
    assert [best[f"{place:02x}"]["landmark_id"] for place in (*range(8), 12)] == [700] * 4 + [900] * 4 + [700]
    assert [best[f"{place:02x}"]["true_landmark_id"] for place in (0, 5, 8, 12)] == [700, 900, -1, -1]
    assert {row["fold"] for row in rows if row["split"] == "test"} == {-1}
    assert {row["fold"] for row in rows if row["split"] != "test"} == {0, 1}
    # None has met itself, to which it would be similar by 1; those of no landmark are near to each other.
    assert max(row["neighbours"] for row in rows if row["split"] == "train") < 2 ** (1 / 3)
    assert min(best[f"{place:02x}"]["non_landmark"] for place in range(8, 12)) > 0.9
    assert max(best[f"{place:02x}"]["non_landmark"] for place in range(8)) < 0.5
    assert [(row["id"], row["rank"]) for row in rows] == sorted((row["id"], row["rank"]) for row in rows)
    assert all(row["shard"] == int(row["id"], 16) % 3 for row in rows)


def test_the_rows_are_the_same_in_whatever_batches_they_come(model, tmp_path):
    task = RetrievalTask(SETTINGS, str(tmp_path), model.to_json(), LANDMARKS)
    whole = described_rows()
    found = pa.Table.from_batches(task([whole])).to_pylist()
    pieces = [task([whole.slice(place, 1)]) for place in range(whole.num_rows)]
    alone = pa.Table.from_batches(batch for piece in pieces for batch in piece).to_pylist()
    assert sorted(found, key=lambda row: (row["id"], row["rank"])) == sorted(
        alone, key=lambda row: (row["id"], row["rank"])
    )


def test_the_model_has_every_training_image_and_a_head_for_each_fold(model, tmp_path):
    assert isinstance(model, Commit)
    with Store(str(tmp_path)).local_files(model) as files:
        loaded = RetrievalModel.load(files)
    assert (len(loaded.vectors), len(loaded.non_landmarks), len(loaded.heads)) == (8, 4, 3)


@pytest.mark.parametrize("kept", [slice(0, 0), slice(8, 12)])
def test_without_any_training_image_a_note_is_left_and_nothing_is_named(kept, tmp_path, monkeypatch):
    rows = described_rows().slice(kept.start, kept.stop - kept.start)
    monkeypatch.setattr(TaskReader, "read", lambda _: iter([rows] if len(rows) else []))
    files, num_images = _learn(_Learning(SETTINGS, str(tmp_path), ("one",), len(LANDMARKS)))
    assert num_images == 0 and [Path(each.path).name for each in files] == ["no_images.json"]
    commit = Store(str(tmp_path)).commit_artifact(
        RETRIEVAL_MODEL, files, Stamp(stage="train_retrieval", fingerprint="f", settings={}, inputs={})
    )
    assert list(RetrievalTask(SETTINGS, str(tmp_path), commit.to_json(), LANDMARKS)([described_rows()])) == []


def test_without_networks_nothing_can_be_learned_from_them():
    settings = ["descriptors.networks=none"]
    with pytest.raises(ConfigError, match="submission.mode should be fused, decision or classifier where descriptors"):
        find_descriptor_networks(load_config(None, settings))
    config = load_config(None, [*settings, "submission.mode=fused"])
    find_descriptor_networks(config)
    assert descriptors_also(config) == {}


@pytest.mark.parametrize("text", ["", "neighbours neighbours", "neighbours luck"])
def test_evidence_that_cannot_be_weighed_is_refused(text):
    with pytest.raises(ConfigError, match="fusion.evidence should be some of neighbours closest"):
        load_config(None, [f"fusion.evidence={text}"])
    assert Config().fusion.kinds == ("neighbours", "closest", "centroid", "head", "non_landmark", "inliers")


def candidate(name, split, true, rank, landmark, value, *, fold=-1):
    return (name, split, true, fold, rank, landmark, 0, value, value, value, value, 0.5, 0.5, 1.0, 0)


def scored(spark, tmp_path, candidates, verified=(), settings=()):
    config = load_config(None, ["index.num_shards=1", "fusion.evidence=neighbours inliers", *settings])
    said = []
    context = SimpleNamespace(config=config, store=Store(str(tmp_path)), tell=said.append)
    rows, files = fuse_evidence(
        context,
        spark.createDataFrame(candidates, spark_schema(CANDIDATES), verifySchema=False),
        spark.createDataFrame(list(verified), spark_schema(VERIFICATIONS), verifySchema=False),
    )
    (file,) = files
    return rows.orderBy("id", "rank").collect(), json.loads((Path(tmp_path) / file.path).read_text()), said


@pytest.mark.jvm
def test_scores_are_the_probabilities_by_the_learned_weights_and_rank_the_candidates(spark, tmp_path):
    playing = [
        candidate(f"p{image}", "train", 700, rank, landmark, 0.9 - 0.5 * rank - image / 50, fold=image % 2)
        for image in range(6)
        for rank, landmark in enumerate((700, 900))
    ]
    tests = [candidate("t", "test", -1, 0, 700, 0.3), candidate("t", "test", -1, 1, 900, 0.3)]
    verified = [("t", 900, 70, 1, 1, "r", True, 0), ("p0", 700, 10, 1, 1, "r", False, 0)]
    rows, described, said = scored(spark, tmp_path, [*playing, *tests], verified)
    fusion = Fusion.from_json(described)
    assert fusion.names == ("neighbours", "inliers")
    odds = fusion.score(np.array([[0.3, 1.0], [0.3, 0.0]], np.float32).astype(np.float64))  # 70 inliers count as 35
    assert [(row.id, row["rank"], row.landmark_id, row.num_inliers) for row in rows] == [
        ("t", 0, 900, 70),
        ("t", 1, 700, 0),
    ]
    np.testing.assert_allclose([row.score for row in rows], 1 / (1 + np.exp(-odds)), rtol=1e-5)
    assert described["cross_validated"] == {
        "gap": pytest.approx(1.0),
        "top1": 1.0,
        "num_landmark_images": 6,
        "num_non_landmark_images": 0,
    }
    assert len(said) == 2
    assert "no photo of no landmark plays a test image" in said[0]
    assert said[1].endswith("rest on few images: 6 of landmarks and 0 of none")


@pytest.mark.jvm
def test_where_nothing_can_be_learned_the_closest_images_decide_and_it_is_said(spark, tmp_path):
    tests = [
        candidate("t", "test", -1, 0, 700, 0.25),
        candidate("t", "test", -1, 1, 900, 1.0002),
    ]  # beyond, by rounding
    rows, described, said = scored(spark, tmp_path, tests)
    assert [(row.landmark_id, row.score) for row in rows] == [(900, 1.0), (700, 0.25)]
    assert described == {"learned": False, "alone": "closest"}
    assert len(said) == 1
    told = "fuse_evidence: warning: the evidence is not weighed, closest alone ranks the candidates: "
    assert said[0].startswith(told)


@pytest.mark.jvm
def test_a_landmark_that_is_the_answer_too_often_is_held_back_by_as_much(spark, tmp_path):
    tests = [candidate(f"t{place}", "test", -1, 0, 700, 0.5) for place in range(4)]
    tests += [candidate("t3", "test", -1, 1, 900, 0.25), candidate("t4", "test", -1, 0, 900, 0.25)]
    rows, _, _ = scored(spark, tmp_path, tests, settings=["fusion.max_answers=2"])
    # 700 is the best answer of four images, 900 of one; what comes second in an image counts for nothing.
    assert [(row.id, row["rank"], row.landmark_id, row.score) for row in rows] == [
        ("t0", 0, 700, 0.25),
        ("t1", 0, 700, 0.25),
        ("t2", 0, 700, 0.25),
        ("t3", 0, 700, 0.25),
        ("t3", 1, 900, 0.25),
        ("t4", 0, 900, 0.25),
    ]
