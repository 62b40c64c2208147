"""The references of landmarks come from the store as verification compares them, whether they have features or not."""

import numpy as np
import pytest
from landmark_store import NUM_SHARDS, make_store, scene, write_table

from landmark_spark import reference_lookup
from landmark_spark.commits import StoreError
from landmark_spark.config import load_config
from landmark_spark.core.images import decode_jpeg, encode_jpeg
from landmark_spark.core.local_features import load_extractor, one_by_one
from landmark_spark.core.similarity import round_features
from landmark_spark.reference_lookup import ReferenceLookup
from landmark_spark.schemas import BOTTLENECKS, LOCAL_FEATURES
from landmark_spark.store import Store

EXTRACT = one_by_one(load_extractor("sift", max_keypoints=150))


def bottleneck(number):
    return np.array([np.cos(number), np.sin(number)], "<f2").tobytes()


def full_store(folder, *, without_features=()):
    """``make_store`` with bottlenecks, and without the features of some images."""
    store = make_store(folder)
    kept = store.read_arrow(LOCAL_FEATURES, LOCAL_FEATURES.schema.names).to_pylist()
    images = [{name: row[name] for name in ("id", "split", "landmark_id", "reference_rank")} for row in kept]
    images = [row | {"class_index": row["landmark_id"], "holdout": 0.0} for row in images]
    write_table(store.url, BOTTLENECKS, [row | {"features": bottleneck(place)} for place, row in enumerate(images)])
    write_table(store.url, LOCAL_FEATURES, [row for row in kept if row["id"] not in without_features])
    return Store(store.url), {row["id"]: place for place, row in enumerate(images)}


def config(store, *more):
    return load_config(None, [f"store={store.url}", f"index.num_shards={NUM_SHARDS}", *more])


def test_the_references_of_least_rank_are_read_with_their_bottlenecks(tmp_path):
    store, places = full_store(tmp_path)
    lookup = ReferenceLookup(store, config(store, "verify.max_comparisons=3"), EXTRACT)
    assert lookup.num_references == 9  # 3 landmarks x 3 of 4
    found = lookup.of([2, 0, 77])
    assert list(found) == [2, 0, 77]
    assert [(rank, name) for rank, name, _ in found[2].features] == [(0, "r2_0"), (1, "r2_1"), (2, "r2_2")]
    assert found[2].ids == {"r2_0", "r2_1", "r2_2"}
    assert found[77].features == []
    for name, rounded in found[0].bottlenecks.items():
        assert (rounded == round_features(bottleneck(places[name]))).all()
    assert set(found[0].bottlenecks) == {"r0_0", "r0_1", "r0_2"}
    assert lookup.of([2])[2] is found[2]  # in memory


def test_without_an_order_by_similarity_no_bottleneck_is_read(tmp_path):
    store, _ = full_store(tmp_path)
    found = ReferenceLookup(store, config(store, "verify.reference_order=hash"), EXTRACT).of([1])
    assert found[1].bottlenecks == {}
    assert len(found[1].features) == 4


def test_references_without_features_in_the_store_are_looked_at_now(tmp_path):
    store, _ = full_store(tmp_path, without_features={"r1_0", "r1_2"})
    (tmp_path / "whole").mkdir()
    whole, _ = full_store(tmp_path / "whole")
    found = ReferenceLookup(store, config(store, "local_features.batch_size=1"), EXTRACT).of([1])[1]
    expected = ReferenceLookup(whole, config(whole), EXTRACT).of([1])[1]
    assert [each[:2] for each in found.features] == [each[:2] for each in expected.features]
    stored = EXTRACT([decode_jpeg(encode_jpeg(scene(1), 95))])[0]  # as the store has r1_0
    assert (found.features[0][2].descriptors == stored.descriptors).all()
    assert (found.features[1][2].descriptors == expected.features[1][2].descriptors).all()


def test_landmarks_asked_for_long_ago_are_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(reference_lookup, "_REFERENCES_KEPT", 8)  # of two landmarks
    store, _ = full_store(tmp_path)
    lookup = ReferenceLookup(store, config(store), EXTRACT)
    first = lookup.of([0, 1])
    lookup.of([0])
    assert set(lookup.of([0, 1, 2])) == {0, 1, 2}  # what is asked for is there, however many
    again = lookup.of([1, 2])
    assert again[1] is first[1]
    assert lookup.of([0])[0] is not first[0]


def test_a_store_that_another_run_has_changed_is_refused(tmp_path):
    store, _ = full_store(tmp_path)
    lookup = ReferenceLookup(store, config(store), EXTRACT)
    for name in store.files(LOCAL_FEATURES):
        (tmp_path / name).unlink()
    with pytest.raises(StoreError, match="local_features should have the files of its commits"):
        lookup.of([1])


def test_the_picture_of_a_reference(tmp_path):
    store, _ = full_store(tmp_path)
    lookup = ReferenceLookup(store, config(store), EXTRACT)
    assert np.abs(decode_jpeg(lookup.picture("r2_1")).astype(int) - scene(2, 12)).mean() < 12
    with pytest.raises(StoreError, match="gone should have a larger copy"):
        lookup.picture("gone")
