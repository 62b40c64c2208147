"""A store answers where all that the answer depends on is made, by the settings of the configuration."""

from pathlib import Path

import pytest

from landmark_spark.commits import WHOLE, Commit, Mark, StoreError
from landmark_spark.config import load_config
from landmark_spark.inventory import take_inventory
from landmark_spark.pipeline import STAGES, expectations
from landmark_spark.planning import input_digests
from landmark_spark.readiness import check_ready
from landmark_spark.schemas import CANDIDATES, LOCAL_FEATURES, RETRIEVAL_MODEL
from landmark_spark.store import Store


@pytest.fixture
def made(tmp_path):
    """What makes the configuration of a store whose every stage is done, as far as its commits say."""
    for name in ("train", "test"):
        (tmp_path / f"{name}.csv").write_text("id,url,landmark_id\n")

    def config(*more):
        inputs = [f"inputs.{name}_csv={tmp_path}/{name}.csv" for name in ("train", "test")]
        settings = [f"store={tmp_path}/store", "index.num_shards=2", "backbone.weights=random", *inputs, *more]
        return load_config(None, settings)

    store = Store(f"{tmp_path}/store")
    expected = expectations(config())
    for stage in STAGES:
        for output in stage.outputs:
            for shard in range(2) if output.sharded else [WHOLE]:
                stamp = expected[stage.name].stamp(input_digests(stage, shard, take_inventory(store, config())))
                store.commit(Commit(output.name, shard, 0, f"{output.name} {shard}", (), stamp))
    return config, store


def check(config, store, last="fuse_evidence"):
    check_ready(config, store, last, wants="identify")


def test_a_finished_store_is_ready_though_its_csv_files_are_gone(made, tmp_path):
    config, store = made
    check(config(), store)
    for each in tmp_path.glob("*.csv"):
        each.write_text("id,url,landmark_id\nnew,row,1\n")
    check(config(), store)
    for each in tmp_path.glob("*.csv"):
        each.unlink()
    check(config("serve_folder=/elsewhere"), store)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("download.large_side=99", "download_images .* download.large_side changed from .* to 99"),
        ("index.seed=5", "index_images .* index.seed changed from 0 to 5"),
        ("index.num_shards=3", "index_images .* is not: records not made yet"),
        ("descriptors.sides=512", "extract_global_descriptors .* descriptors.sides changed from 256 to 512"),
        ("verify.min_inliers=36", "verify_landmarks .* verify.min_inliers changed from 35 to 36"),
        ("local_features.kind=sift", "train_delf .* backbone.precision changed from auto to None"),
        ("backbone.weights=imagenet", "extract_bottlenecks .* changed from random to imagenet"),
    ],
)
def test_a_setting_that_decides_the_answer_makes_it_stale(made, setting, reason):
    config, store = made
    with pytest.raises(StoreError, match=f"identify should have a store that is up to date .* Received: {reason}"):
        check(config(setting), store)


@pytest.mark.parametrize("setting", ["download.deadline=1", "descriptors.batch_size=1", "report.num_examples=1"])
def test_a_setting_that_does_not_decide_it_changes_nothing(made, setting):
    config, store = made
    check(config(setting), store)


def test_what_is_missing_or_damaged_or_made_of_other_inputs_is_named(made, tmp_path):
    config, store = made
    store.mark(Mark(CANDIDATES.name, 1, "its bytes are others"))
    with pytest.raises(StoreError, match=r"retrieve_neighbours .* is not: its bytes are others \(shards 1\); run"):
        check(config(), store)
    store.commit(store.commits(CANDIDATES)[1])  # which takes the mark away
    Path(tmp_path, "store", "_commits", LOCAL_FEATURES.name, "shard=0.json").unlink()
    with pytest.raises(StoreError, match=r"extract_local_features .* local_features not made yet \(shards 0\)"):
        check(config(), store)
    model = store.commits(RETRIEVAL_MODEL)[WHOLE]
    store.commit(Commit(model.output, WHOLE, 0, "another digest", (), model.stamp))
    with pytest.raises(StoreError, match="retrieve_neighbours .* is not: retrieval_model changed"):
        check(config(), store)


def test_only_what_the_answer_depends_on_must_be_there(made, tmp_path):
    config, store = made
    Path(tmp_path, "store", "_commits", "scores", "shard=0.json").unlink()
    check(config(), store, "verify_landmarks")
    with pytest.raises(StoreError, match="fuse_evidence .* scores not made yet"):
        check(config(), store)


def test_an_empty_store_is_not_ready(made, tmp_path):
    config, _ = made
    with pytest.raises(StoreError, match="index_images in .*/nothing is not: records not made yet; run landmark-spark"):
        check(config(), Store(f"{tmp_path}/nothing"))
