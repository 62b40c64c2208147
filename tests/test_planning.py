import dataclasses

import pytest

from landmark_spark.commits import WHOLE, Commit
from landmark_spark.config import load_config
from landmark_spark.pipeline import STAGES, check_graph, expectations, stage_named, upstream_of
from landmark_spark.planning import (
    Inventory,
    PlanError,
    _shown,
    choose,
    damaged_inputs,
    foreign_inputs,
    input_digests,
    missing_inputs,
    mixed_inputs,
    plan_stages,
)
from landmark_spark.settings import Config, IndexSettings

NUM_SHARDS = 3
CONFIG = dataclasses.replace(Config(), index=IndexSettings(num_shards=NUM_SHARDS))


def commit_all(config, digest="d"):
    """An inventory in which every stage has run with the configuration."""
    expected = expectations(config)
    commits = {}
    for stage in STAGES:
        for output in stage.outputs:
            shards = range(config.index.num_shards) if output.sharded else [WHOLE]
            commits[output.name] = {}
            for shard in shards:
                read = input_digests(stage, shard if stage.sharded else WHOLE, Inventory(commits))
                stamp = expected[stage.name].stamp(read)
                commits[output.name][shard] = Commit(output.name, shard, 5, f"{digest}{shard}", (), stamp)
    return Inventory(commits)


def planned(config, inventory, **options):
    return {each.stage.name: each for each in plan_stages(config, choose(**options), inventory, expectations(config))}


def names_to_run(plans):
    return [name for name, each in plans.items() if each.shards]


def test_an_empty_store_needs_every_stage_in_order():
    plans = planned(CONFIG, Inventory({}))
    assert names_to_run(plans) == [
        "index_images",
        "download_images",
        "extract_bottlenecks",
        "train_top_model",
        "fine_tune",
        "predict_landmarks",
        "extract_global_descriptors",
        "train_retrieval",
        "retrieve_neighbours",
        "train_delf",
        "extract_local_features",
        "verify_landmarks",
        "fuse_evidence",
        "write_submission",
        "write_report",
    ]
    assert plans["download_images"].shards == (0, 1, 2)
    assert plans["train_top_model"].shards == (WHOLE,)


def test_a_finished_store_needs_nothing():
    plans = planned(CONFIG, commit_all(CONFIG))
    assert names_to_run(plans) == []
    assert {each.reason for each in plans.values()} == {"up to date"}


def test_an_input_read_whole_of_which_some_shards_have_other_settings_is_mixed():
    stage, inventory = stage_named("verify_landmarks"), commit_all(CONFIG)
    assert mixed_inputs(stage, inventory) == []
    commit = inventory.commits["local_features"][1]
    other = dataclasses.replace(commit, stamp=dataclasses.replace(commit.stamp, fingerprint="of another kind"))
    inventory.commits["local_features"][1] = other
    assert mixed_inputs(stage, inventory) == ["local_features"]
    assert mixed_inputs(stage_named("extract_bottlenecks"), inventory) == []


def test_our_own_delf_is_trained_once_it_is_the_kind_that_is_wanted():
    before = dataclasses.replace(load_config(None, ["local_features.kind=sift"]), index=CONFIG.index)
    names = names_to_run(planned(CONFIG, commit_all(before)))
    assert names == [
        "train_delf",
        "extract_local_features",
        "verify_landmarks",
        "fuse_evidence",
        "write_submission",
        "write_report",
    ]


@pytest.mark.parametrize(
    ("override", "first", "count"),
    [
        ("download.large_side=256", "download_images", 14),
        ("train.epochs=3", "train_top_model", 8),
        ("fine_tune.epochs=1", "fine_tune", 7),
        ("descriptors.flip=true", "extract_global_descriptors", 8),
        ("retrieval.shrinkage=2", "train_retrieval", 7),
        ("local_features.max_keypoints=500", "extract_local_features", 5),
        ("verify.min_inliers=20", "verify_landmarks", 4),
        ("fusion.penalty=0.01", "fuse_evidence", 3),
        ("submission.mode=decision", "write_submission", 2),
        ("report.num_examples=1", "write_report", 1),
    ],
)
def test_a_changed_setting_makes_its_stage_and_what_depends_on_it_stale(override, first, count):
    config = dataclasses.replace(load_config(None, [override]), index=CONFIG.index)
    plans = planned(config, commit_all(CONFIG))
    assert len(names_to_run(plans)) == count
    assert names_to_run(plans)[0] == first
    assert override.split("=")[0] + " changed from" in plans[first].reason


@pytest.mark.parametrize("override", ["download.num_threads=3", "backbone.batch_size=8", "predict.batch_size=7"])
def test_a_setting_for_speed_alone_makes_nothing_stale(override):
    config = dataclasses.replace(load_config(None, [override]), index=CONFIG.index)
    assert names_to_run(planned(config, commit_all(CONFIG))) == []


def test_one_lost_shard_is_made_again_with_what_reads_it_and_no_other():
    inventory = commit_all(CONFIG)
    del inventory.commits["images"][1]
    plans = planned(CONFIG, inventory)
    assert plans["index_images"].shards == ()
    assert plans["download_images"].shards == (1,)
    assert plans["extract_bottlenecks"].shards == (1,)
    assert plans["train_top_model"].shards == (WHOLE,)  # reads all bottlenecks
    assert plans["predict_landmarks"].shards == (0, 1, 2)  # by another model


def test_a_damaged_file_is_named():
    inventory = Inventory(commit_all(CONFIG).commits, {"bottlenecks": {2: "part-1.parquet is missing"}})
    plans = planned(CONFIG, inventory)
    assert plans["extract_bottlenecks"].shards == (2,)
    assert "part-1.parquet is missing" in plans["extract_bottlenecks"].reason


def with_stamps(inventory, output, **changes):
    """The inventory with other stamps of one output."""
    commits = {
        shard: dataclasses.replace(commit, stamp=dataclasses.replace(commit.stamp, fingerprint="other", **changes))
        for shard, commit in inventory.commits[output].items()
    }
    return Inventory(dict(inventory.commits) | {output: commits}, inventory.damaged)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 7}, "made by version 7 of the stage, this release has version 1"),
        ({"num_shards": 8}, "the number of shards changed from 8 to 3"),
        (
            {
                "columns": {
                    "predictions": "id string False, rank int32 False, landmark_id int64 False, chance float False"
                }
            },
            "predictions: columns should be class_index int32, score float. Received: chance float",
        ),
        (
            {"version": 0, "num_shards": 0, "columns": {}},
            "made by an earlier release, or with another number of shards",
        ),
        ({}, "made by another release"),
    ],
)
def test_what_another_release_made_is_stale_and_said_so(changes, reason):
    plans = planned(CONFIG, with_stamps(commit_all(CONFIG), "predictions", **changes))
    assert plans["predict_landmarks"].reason == reason


def test_inputs_that_another_release_wrote_in_other_columns_are_named():
    expected = expectations(CONFIG)
    stage = stage_named("extract_bottlenecks")
    sound = commit_all(CONFIG)
    assert foreign_inputs(stage, [0, 1], CONFIG, sound, expected) == {}
    columns = sound.commits["images"][0].stamp.columns["images"].replace(", host string False", "")
    other = with_stamps(sound, "images", columns={"images": columns}, code="0.0.9+abc")
    fault = "columns should be host string. Received: none of these (0.0.9+abc)"
    assert foreign_inputs(stage, [0, 1], CONFIG, other, expected) == {"images": fault}


def test_damaged_inputs_are_those_that_are_read():
    inventory = Inventory(commit_all(CONFIG).commits, {"images": {2: "flipped"}, "top_model": {WHOLE: "cut"}})
    features, predict = stage_named("extract_bottlenecks"), stage_named("predict_landmarks")
    assert damaged_inputs(features, [0, 1], CONFIG, inventory) == {}
    assert damaged_inputs(features, [1, 2], CONFIG, inventory) == {"images": [2]}
    assert damaged_inputs(predict, [0], CONFIG, inventory) == {"top_model": [WHOLE]}
    assert damaged_inputs(stage_named("fine_tune"), [WHOLE], CONFIG, inventory) == {"images": [2], "top_model": [WHOLE]}


def test_of_long_settings_the_part_is_shown_where_they_differ():
    before, after = "a" * 40 + "b" + "c" * 40, "a" * 40 + "d" + "c" * 40
    assert _shown(before, after) == "...aaaaaaaabccccccccccccccccccccc... to ...aaaaaaaadccccccccccccccccccccc..."
    assert _shown("short", "shorter") == "short to shorter"


def test_an_input_whose_contents_changed_makes_only_its_shard_stale():
    inventory = commit_all(CONFIG)
    old = inventory.commits["images"][0]
    inventory.commits["images"][0] = dataclasses.replace(old, digest="other")
    plans = planned(CONFIG, inventory)
    assert plans["download_images"].shards == ()
    assert plans["extract_bottlenecks"].shards == (0,)
    assert "images changed" in plans["extract_bottlenecks"].reason


def test_an_output_of_other_settings_is_stale_wherever_it_stands():
    # A run with another seed that died after its first shards: the outputs written last are still those of before.
    inventory = commit_all(CONFIG)
    other = dataclasses.replace(CONFIG, index=IndexSettings(num_shards=NUM_SHARDS, seed=5))
    inventory.commits["records"][0] = commit_all(other).commits["records"][0]
    plans = planned(CONFIG, inventory)
    assert plans["index_images"].shards == (WHOLE,)
    assert "index.seed changed from 5 to 0" in plans["index_images"].reason


def test_a_stage_that_gave_the_same_bytes_again_makes_nothing_stale():
    inventory = commit_all(CONFIG)
    other = dataclasses.replace(load_config(None, ["download.jpeg_quality=94"]), index=CONFIG.index)
    inventory.commits["images"] = commit_all(other).commits["images"]  # same digests, other settings
    assert names_to_run(planned(other, inventory)) == []


def test_upstream_is_everything_a_stage_hangs_on():
    assert [each.name for each in upstream_of(stage_named("predict_landmarks"))] == [
        "index_images",
        "download_images",
        "extract_bottlenecks",
        "train_top_model",
        "fine_tune",
    ]


def test_missing_inputs_are_named_with_their_shards():
    inventory = commit_all(CONFIG)
    del inventory.commits["bottlenecks"][1]
    train = stage_named("train_top_model")
    assert missing_inputs(train, (WHOLE,), CONFIG, inventory) == ["bottlenecks (shards 1)"]
    del inventory.commits["landmarks"][WHOLE]
    assert missing_inputs(train, (WHOLE,), CONFIG, inventory) == ["bottlenecks (shards 1)", "landmarks"]


def test_force_only_shard_and_range_choose():
    inventory = commit_all(CONFIG)
    assert names_to_run(planned(CONFIG, inventory, only="verify_landmarks", force=True)) == ["verify_landmarks"]
    part = planned(CONFIG, Inventory({}), only="download_images", shard="2/2")
    assert part["download_images"].shards == (1,)  # shards s with s % 2 == 1
    ranged = planned(CONFIG, Inventory({}), first="train_top_model", last="predict_landmarks")
    assert names_to_run(ranged) == ["train_top_model", "fine_tune", "predict_landmarks"]


def test_shards_of_all_parts_are_disjoint_and_complete():
    config = dataclasses.replace(Config(), index=IndexSettings(num_shards=10))
    parts = [planned(config, Inventory({}), only="download_images", shard=f"{i}/4") for i in (1, 2, 3, 4)]
    assert sorted(shard for part in parts for shard in part["download_images"].shards) == list(range(10))


@pytest.mark.parametrize(
    "options",
    [
        {"only": "nothing"},
        {"only": "write_report", "first": "index_images"},
        {"first": "write_report", "last": "index_images"},
        {"shard": "0/3"},
        {"shard": "4/3"},
        {"shard": "a/b"},
        {"shard": "3"},
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(options):
    with pytest.raises(PlanError):
        choose(**options)


def test_the_graph_refuses_an_input_that_no_earlier_stage_makes():
    with pytest.raises(ValueError, match="download_images reads records"):
        check_graph((stage_named("download_images"),))
    with pytest.raises(ValueError, match="records should have one maker"):
        check_graph((STAGES[0], STAGES[0]))
