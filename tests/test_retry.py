"""``--retry``: which shards and rows are fetched again."""

import dataclasses

import pytest
from test_planning import CONFIG, commit_all

from landmark_spark.pipeline import expectations
from landmark_spark.planning import Inventory, PlanError, choose, plan_stages
from landmark_spark.schemas import IMAGES

COUNTS = {
    0: {"ok": {"a.org": 5}},
    1: {"ok": {"a.org": 1}, "timeout": {"a.org": 1, "b.org": 1}, "http_503": {"b.org": 2}},
    2: {"ok": {"a.org": 4}, "http_404": {"(others)": 1}},
}


def inventory(damaged=()):
    found = commit_all(CONFIG)
    images = {
        shard: dataclasses.replace(commit, counts=COUNTS[shard])
        for shard, commit in found.commits[IMAGES.name].items()
        if shard not in damaged
    }
    return Inventory({**found.commits, IMAGES.name: images})


def planned(found, **options):
    plans = plan_stages(CONFIG, choose(**options), found, expectations(CONFIG))
    return {each.stage.name: each for each in plans}


def test_only_shards_with_such_rows_run_and_what_follows_them():
    plans = planned(inventory(), retry="timeout,http_5xx")
    assert plans["download_images"].shards == plans["download_images"].retried == (1,)
    assert plans["download_images"].reason == "retry of 4 rows: 2 http_503, 2 timeout (shards 1)"
    assert plans["index_images"].shards == ()
    assert plans["extract_bottlenecks"].shards == (1,)
    assert plans["extract_bottlenecks"].retried == ()


def test_failed_means_all_that_did_not_succeed():
    plan = planned(inventory(), only="download_images", retry="failed")["download_images"]
    assert plan.retried == (1, 2)
    assert plan.reason.startswith("retry of 5 rows: 1 http_404, 2 http_503, 2 timeout")


def test_a_shard_that_is_not_made_yet_is_made_whole_beside_a_retried_one():
    plan = planned(inventory(damaged=[0]), only="download_images", retry="http_404")["download_images"]
    assert plan.shards == (0, 2)
    assert plan.retried == (2,)
    assert plan.reason == "images not made yet"


def test_nothing_of_that_status_is_nothing_to_do():
    plan = planned(inventory(), only="download_images", retry="dns_failed")["download_images"]
    assert (plan.shards, plan.reason) == ((), "no row to retry")


def test_a_node_retries_its_own_shards():
    plan = planned(inventory(), only="download_images", retry="failed", shard="3/3")["download_images"]
    assert plan.shards == (2,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retry": "timeout,http_5x"}, "http_5x"),
        ({"retry": " , "}, "--retry should be statuses"),
        ({"retry": "ok"}, "ok"),
        ({"retry": "timeout", "force": True}, "--force"),
        ({"retry": "timeout", "first": "train_top_model"}, "include download_images"),
    ],
)
def test_a_retry_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(PlanError, match=message):
        choose(**options)
