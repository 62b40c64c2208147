"""Which images have features found, by what, and never twice; on the official graph in a session."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from delf_exports import fill_official_export, write_boxes_export

from landmark_spark.commits import Stamp
from landmark_spark.config import load_config
from landmark_spark.core.images import encode_jpeg
from landmark_spark.core.local_features import LocalFeatures, unpack_descriptors, unpack_keypoints
from landmark_spark.partition_writer import PartitionWriter
from landmark_spark.pipeline import expectations, stage_named
from landmark_spark.retrieval_settings import EVIDENCE
from landmark_spark.schemas import CANDIDATES, IMAGES, LOCAL_FEATURES, PREDICTIONS
from landmark_spark.settings import ConfigError, LocalFeatureSettings
from landmark_spark.stages import extract_local_features as stage
from landmark_spark.stages.context import Context
from landmark_spark.stages.feature_kinds import FeatureSource, find_features, ship_features
from landmark_spark.stages.kept_features import KeptFeatures, find_kept
from landmark_spark.store import Store, arrow_schema, spark_schema

STAGE = stage_named("extract_local_features")
NUM_SHARDS = 2


def picture(number, height=128, width=96):
    image = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    return encode_jpeg(image, 95)


def image_rows(shard, names):
    """Rows of images in their order: test images t0, t1, ...; a3 is the reference of landmark a of rank 3."""
    rows = []
    for name in names:
        is_test = name.startswith("t")
        number = sum(map(ord, name))
        rows.append(
            dict.fromkeys(IMAGES.schema.names)
            | {
                "id": name,
                "split": "test" if is_test else "train",
                "landmark_id": -1 if is_test else ord(name[0]),
                "class_index": -1,
                "reference_rank": -1 if is_test else int(name[1:]),
                "holdout": 0.5,
                "status": "ok",
                "large_image": picture(number),
                "shard": shard,
                **dict.fromkeys(("width", "height", "num_bytes", "num_attempts"), 1),
                **dict.fromkeys(("sha256", "host", "url", "final_url"), ""),
            }
        )
    return rows


def write(store, table, rows, stamp):
    """Write both shards of a table as a task does."""
    schema = arrow_schema(table)
    batch = pa.RecordBatch.from_pylist(rows, schema=schema)
    writer = PartitionWriter(store.url, table, dict.fromkeys(range(NUM_SHARDS), stamp), {})
    for shard in set(range(NUM_SHARDS)) - {row.as_py() for row in next(iter(writer(iter([batch]))))["shard"]}:
        writer.write_empty(shard)


def predict(store, landmark_of):
    """Write the best landmark of each test image."""
    rows = [
        {"id": name, "rank": 0, "landmark_id": ord(landmark), "class_index": 0, "score": 1.0, "shard": shard}
        for name, (landmark, shard) in sorted(landmark_of.items())
    ]
    write(store, PREDICTIONS, rows, Stamp("predict_landmarks", "f"))


def feature_row(name, shard=0, mark=0.0):
    return {
        "id": name,
        "split": "test" if name.startswith("t") else "train",
        "landmark_id": 1,
        "reference_rank": 0,
        "width": 10,
        "height": 10,
        "num_keypoints": 1,
        "keypoints": np.array([mark, 0], "<f4").tobytes(),
        "descriptors": np.ones(4, "<f2").tobytes(),
        "shard": shard,
    }


@pytest.fixture
def kept(tmp_path):
    """The features of t1, t3, a0 and a2 in shard 0 and of t2 in shard 1, marked by 7."""
    store = Store(str(tmp_path))
    rows = [feature_row(name, mark=7) for name in ("t1", "t3", "a0", "a2")] + [feature_row("t2", 1, mark=7)]
    write(store, LOCAL_FEATURES, rows, Stamp(STAGE.name, "f"))
    return KeptFeatures(
        store.url, {shard: tuple(f.path for f in each.files) for shard, each in store.commits(LOCAL_FEATURES).items()}
    )


def kept_ids(pairs):
    return [(row["id"], old is not None) for row, old in pairs]


def test_rows_that_were_made_are_given_with_those_wanted_now(kept):
    wanted = [feature_row(name) for name in ("t1", "t2", "t3", "a1", "a2", "a3")]
    pairs = list(kept.rows([*wanted, feature_row("t1", 1), feature_row("t2", 1)]))
    assert [name for name, _ in kept_ids(pairs)] == ["t1", "t2", "t3", "a1", "a2", "a3", "t1", "t2"]
    assert [row["id"] + f" of {row['shard']}" for row, old in pairs if old] == [
        "t1 of 0",
        "t3 of 0",
        "a2 of 0",
        "t2 of 1",
    ]
    assert all(unpack_keypoints(old["keypoints"])[0, 0] == 7 for _, old in pairs if old)
    assert all(old["id"] == row["id"] and old["shard"] == row["shard"] for row, old in pairs if old)


class Counting:
    """An extractor that finds one keypoint an image, and notes how many images each call had."""

    def __init__(self):
        self.calls = []

    def __call__(self, images):
        self.calls.append(len(images))
        return [
            LocalFeatures(np.zeros((1, 2), np.float32), np.ones((1, 4), np.float16), each.shape[1], each.shape[0])
            for each in images
        ]


@pytest.fixture
def counting(monkeypatch):
    extract = Counting()
    monkeypatch.setattr(FeatureSource, "load", lambda source: extract)
    return extract


def batches_of(rows, size):
    names = [*arrow_schema(LOCAL_FEATURES).names[:4], "shard", "large_image"]
    types = {each.name: each.type for each in arrow_schema(IMAGES)}
    columns = [pa.array([row[name] for row in rows], types[name]) for name in names]
    whole = pa.RecordBatch.from_arrays(columns, names=names)
    return [whole.slice(start, size) for start in range(0, len(rows), size)]


@pytest.mark.parametrize("size", [1, 2, 7])
def test_only_images_without_a_row_are_extracted_and_in_batches(kept, counting, size):
    rows = image_rows(0, ["t0", "t1", "t2", "t3", "a0", "a1"]) + image_rows(1, ["t2"])
    task = stage._Extraction(FeatureSource(LocalFeatureSettings(batch_size=4), kept.store_url), kept)
    made = pa.Table.from_batches(task(batches_of(rows, size)))
    assert made.schema == arrow_schema(LOCAL_FEATURES)
    assert made["id"].to_pylist() == [row["id"] for row in rows]
    marks = [unpack_keypoints(each)[0, 0] for each in made["keypoints"].to_pylist()]
    assert marks == [0, 7, 0, 7, 7, 0, 7]
    assert counting.calls == [2, 1]  # t0 and t2 of the first four rows, a1 of the others
    assert (made["width"][0].as_py(), made["height"][0].as_py()) == (96, 128)


def test_nothing_is_loaded_where_all_rows_are_kept(kept, monkeypatch):
    monkeypatch.setattr(FeatureSource, "load", lambda source: pytest.fail("an extractor was loaded"))
    task = stage._Extraction(FeatureSource(LocalFeatureSettings(), kept.store_url), kept)
    made = pa.Table.from_batches(task(batches_of(image_rows(0, ["t1", "a2"]), 2)))
    assert made["num_keypoints"].to_pylist() == [1, 1]


@pytest.fixture
def made(tmp_path):
    """A store with images, and features that were made of them with the settings of ``config``."""
    store, config = Store(str(tmp_path)), load_config(None, ["verify.max_comparisons=2"])
    write(store, IMAGES, image_rows(0, ["t1"]) + image_rows(1, ["t2"]), Stamp("download_images", "f"))
    digests = {shard: each.digest for shard, each in store.commits(IMAGES).items()}
    for shard, name in enumerate(["t1", "t2"]):
        stamp = Stamp(
            STAGE.name,
            "f",
            settings_now(config),
            {"images": digests[shard], "predictions": "old", "delf_model": "mine"},
        )
        writer = PartitionWriter(store.url, LOCAL_FEATURES, {shard: stamp}, {})
        batch = pa.RecordBatch.from_pylist([feature_row(name, shard)], schema=arrow_schema(LOCAL_FEATURES))
        list(writer(iter([batch])))
    return SimpleNamespace(store=store, config=config)


def settings_now(config):
    return expectations(config, (STAGE,))[STAGE.name].settings


def kept_shards(made, *, config=None, forced=False, needed=None):
    config = dataclasses.replace(config or made.config, check_inputs=False)  # which takes a Spark
    context = Context(None, made.store, config, (0, 1), print, forced=forced)
    return sorted(find_kept(context, settings_now(config), needed).files)


def test_rows_hold_while_images_and_settings_do_whatever_the_predictions(made):
    assert kept_shards(made) == [0, 1]
    assert kept_shards(made, config=load_config(None, ["verify.max_comparisons=3", "local_features.batch_size=2"])) == [
        0,
        1,
    ]


def test_rows_of_other_settings_or_images_and_lost_ones_are_not_kept(made):
    assert kept_shards(made, config=load_config(None, ["local_features.max_keypoints=999"])) == []
    assert kept_shards(made, config=load_config(None, ["local_features.kind=delf"])) == []
    assert kept_shards(made, forced=True) == []
    assert kept_shards(made, needed={"delf_model": "mine"}) == [0, 1]
    assert kept_shards(made, needed={"delf_model": "another"}) == []
    write_other_image(made.store)
    assert kept_shards(made) == [1]
    path = made.store.commits(LOCAL_FEATURES)[1].files[0].path
    made.store.write_bytes(path, made.store.read_bytes(path)[:-1])
    assert kept_shards(made) == []


def write_other_image(store):
    batch = pa.RecordBatch.from_pylist(image_rows(0, ["t3"]), schema=arrow_schema(IMAGES))
    list(PartitionWriter(store.url, IMAGES, {0: Stamp("download_images", "f")}, {})(iter([batch])))


def test_settings_of_delf_count_for_kind_delf_alone(tmp_path):
    def fingerprint(*overrides):
        return expectations(load_config(None, overrides), (STAGE,))[STAGE.name].fingerprint

    assert fingerprint() == fingerprint("local_features.delf_scales=1.0", f"local_features.delf_export={tmp_path}")
    delf = ["local_features.kind=delf", f"local_features.delf_export={tmp_path / 'export'}"]
    missing = fingerprint(*delf)
    assert missing != fingerprint()
    assert fingerprint(*delf, "local_features.delf_scales=1.0") != missing
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "saved_model.pb").write_bytes(b"one")
    found = fingerprint(*delf)
    assert found != missing
    (tmp_path / "export" / "saved_model.pb").write_bytes(b"two")
    assert fingerprint(*delf) != found
    assert fingerprint(*delf, "local_features.batch_size=3") == fingerprint(*delf)


def test_only_kinds_with_a_network_take_an_accelerator():
    assert not STAGE.on_accelerator(load_config(None, ["local_features.kind=sift"]))
    for kind in ("delf", "delf_vgg16"):
        assert STAGE.on_accelerator(load_config(None, [f"local_features.kind={kind}"]))
    assert stage_named("extract_bottlenecks").on_accelerator(load_config())


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([], "local_features.delf_export should be the folder of an official DELF export for kind delf; .* nothing"),
        (["local_features.delf_export=/nowhere"], "local_features.delf_export: a DELF export should be a folder"),
        (["local_features.delf_scales=1 a"], "delf_scales should be numbers above 0 and at most 8, .* Received: '1 a'"),
        (["local_features.delf_scales=0"], "delf_scales should be numbers above 0"),
        (["local_features.delf_scales=nan"], "delf_scales should be numbers above 0"),
    ],
)
def test_what_kind_delf_lacks_is_said_before_the_run(overrides, message):
    find_features(load_config())  # other kinds lack nothing
    with pytest.raises(ConfigError, match=message):
        find_features(load_config(None, ["local_features.kind=delf", *overrides]))


def test_an_export_that_cannot_work_is_found_before_the_run(tmp_path):
    chosen = ["local_features.kind=delf", f"local_features.delf_export={write_boxes_export(tmp_path, size=200)}"]
    with pytest.raises(
        ConfigError, match="local_features.delf_export: .* should have its PCA, .* Received: 200 values"
    ):
        find_features(load_config(None, chosen))


def test_an_export_that_works_passes(tmp_path):
    export = write_boxes_export(tmp_path)
    find_features(load_config(None, ["local_features.kind=delf", f"local_features.delf_export={export}"]))


def test_an_export_goes_through_any_store_and_is_shipped_once(tmp_path):
    config = load_config(None, [f"local_features.delf_export={write_boxes_export(tmp_path)}"])
    settings = dataclasses.replace(config.local_features, kind="delf", delf_scales="1 2", delf_score_threshold=1.0)
    store = Store("memory://shipped-export")
    source = ship_features(store, settings, None)
    times = {name: store.file_system.info(store.path(name))["created"] for name in source.files}
    assert ship_features(store, settings, None) == source
    assert {name: store.file_system.info(store.path(name))["created"] for name in source.files} == times
    black, white = source.load()([np.zeros((20, 20, 3), np.uint8), np.full((30, 40, 3), 255, np.uint8)])
    assert black.keypoints.tolist() == white.keypoints.tolist() == [[1, 2], [21, 12]]
    assert (black.width, white.width, white.height) == (20, 40, 30)
    assert black.descriptors[0, -1] == 0 < white.descriptors[0, -1]


def run_stage(spark, store, config, candidates=()):
    """Run the stage on a store as the runner does; return its commits. candidates: (id, split, landmark)."""
    inputs = {"images": None, "predictions": "whole", "candidates": "whole"}
    named = [
        (name, split, -1, -1, rank, ord(landmark), 0, *[0.0] * (len(EVIDENCE) - 1), 0)
        for rank, (name, split, landmark) in enumerate(candidates)
    ]
    frame = spark.createDataFrame(named, spark_schema(CANDIDATES))
    context = Context(spark, store, config, tuple(range(NUM_SHARDS)), print)
    images, predictions = (store.read(spark, each) for each in (IMAGES, PREDICTIONS))
    frame = stage.extract_local_features(context, images, predictions, frame, None)
    expected = expectations(config, (STAGE,))[STAGE.name]
    stamps = {
        shard: Stamp(STAGE.name, expected.fingerprint, expected.settings, inputs | {"images": each.digest})
        for shard, each in store.commits(IMAGES).items()
    }
    return store.write(frame, LOCAL_FEATURES, stamps)


def digests(commits):
    return {shard: each.digest for shard, each in commits.items()}


def calls(log):
    return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.mark.jvm
def test_changed_predictions_cost_the_images_that_are_new_and_give_the_bytes_of_a_fresh_run(spark, tmp_path):
    log = tmp_path / "calls"
    export = write_boxes_export(tmp_path / "export", log=log)
    config = load_config(
        None,
        [
            "local_features.kind=delf",
            f"local_features.delf_export={export}",
            "local_features.delf_score_threshold=0.5",
            "verify.max_comparisons=2",
        ],
    )
    images = image_rows(0, ["t0", "t1", "a0", "b1", "c0"]) + image_rows(1, ["t2", "a1", "a2", "b0"])
    stores = [Store(str(tmp_path / name)) for name in ("grown", "fresh")]
    for store in stores:
        write(store, IMAGES, images, Stamp("download_images", "f"))
    grown, fresh = stores
    predict(grown, {"t0": ("a", 0), "t1": ("a", 0), "t2": ("a", 1)})
    first = digests(run_stage(spark, grown, config))
    assert calls(log) == 5  # three test images, a0 and a1; a2 has no place among two comparisons
    assert ids(grown) == ["t0", "t1", "a0", "t2", "a1"]
    assert digests(run_stage(spark, grown, config)) == first
    assert calls(log) == 5  # nothing is done twice
    predict(grown, {"t0": ("a", 0), "t1": ("b", 0), "t2": ("a", 1)})
    second = digests(run_stage(spark, grown, config))
    assert calls(log) == 5 + 2  # b0 and b1
    predict(fresh, {"t0": ("a", 0), "t1": ("b", 0), "t2": ("a", 1)})
    assert digests(run_stage(spark, fresh, config)) == second
    assert calls(log) == 7 + 7
    more = dataclasses.replace(config, verify=dataclasses.replace(config.verify, max_comparisons=3))
    run_stage(spark, grown, more)
    assert calls(log) == 14 + 1  # a2
    assert ids(grown) == ["t0", "t1", "a0", "b1", "t2", "a1", "a2", "b0"]


@pytest.mark.jvm
def test_candidates_have_features_and_so_have_their_landmarks_references(spark, tmp_path):
    config = load_config(None, ["local_features.kind=sift", "verify.max_comparisons=1"])
    store = Store(str(tmp_path))
    one, other = image_rows(0, ["t0", "a0", "a1", "b0", "e3"]), image_rows(1, ["t1", "a2", "b1", "c0", "d0", "n0"])
    one[-1]["large_image"] = None
    other[-1] |= {"split": "non_landmark", "landmark_id": -1, "reference_rank": -1}
    write(store, IMAGES, one + other, Stamp("download_images", "f"))
    predict(store, {"t0": ("a", 0), "t1": ("a", 1)})
    alone = digests(run_stage(spark, store, config))
    assert ids(store) == ["t0", "a0", "t1"]
    candidates = [
        ("t0", "test", "b"),
        ("a2", "train", "c"),
        ("a2", "train", "a"),
        ("e3", "train", "c"),  # which keeps no larger copy
        ("n0", "non_landmark", "c"),
    ]
    run_stage(spark, store, config, candidates)
    assert ids(store) == ["t0", "a0", "b0", "t1", "a2", "c0", "n0"]
    rows = {row["id"]: row for row in store.read_arrow(LOCAL_FEATURES, LOCAL_FEATURES.schema.names).to_pylist()}
    assert (rows["a2"]["split"], rows["a2"]["reference_rank"], rows["n0"]["split"]) == ("train", 2, "non_landmark")
    assert digests(run_stage(spark, store, config)) == alone


def ids(store):
    return store.read_arrow(LOCAL_FEATURES, ["id"]).column("id").to_pylist()


@pytest.mark.jvm
def test_the_stage_finds_features_by_the_official_graph(spark, tmp_path, delf_fixtures):
    export = fill_official_export(delf_fixtures / "delf_v1_20171026", tmp_path / "export")
    config = load_config(None, ["local_features.kind=delf", f"local_features.delf_export={export}"])
    store = Store(str(tmp_path / "store"))
    write(store, IMAGES, image_rows(0, ["t0", "b0"]) + image_rows(1, ["a0"]), Stamp("download_images", "f"))
    predict(store, {"t0": ("a", 0)})
    commits = run_stage(spark, store, config)
    assert ids(store) == ["t0", "a0"]  # b is not predicted
    for row in store.read_arrow(LOCAL_FEATURES, LOCAL_FEATURES.schema.names).to_pylist():
        descriptors = unpack_descriptors(row["descriptors"], row["num_keypoints"])
        assert (row["width"], row["height"]) == (96, 128)
        assert descriptors.shape == (row["num_keypoints"], 40)
        assert row["num_keypoints"] > 20
        np.testing.assert_allclose(np.linalg.norm(descriptors.astype(np.float64), axis=1), 1.0, atol=1e-3)
        keypoints = unpack_keypoints(row["keypoints"])
        assert (keypoints >= 0).all() and (keypoints <= (96, 128)).all()
    shipped = store.file_system.find(store.path("_weights"))
    assert {Path(name).name for name in shipped} == {
        "saved_model.pb",
        "variables.index",
        "variables.data-00000-of-00001",
        "mean.datum",
        "pca_proj_mat.datum",
    }
    export.rename(tmp_path / "moved")
    moved = dataclasses.replace(config.local_features, delf_export=str(tmp_path / "moved" / "model"))
    again = run_stage(spark, store, dataclasses.replace(config, local_features=moved))
    assert digests(again) == digests(commits)  # the same export at another place
