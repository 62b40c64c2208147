"""What a second run on a finished store does, says and refuses."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from landmark_spark.cli import main
from landmark_spark.commits import WHOLE
from landmark_spark.config import load_config
from landmark_spark.pipeline import STAGES
from landmark_spark.schemas import IMAGES, REPORT
from landmark_spark.status import take_status
from landmark_spark.store import Store

pytestmark = pytest.mark.jvm


@pytest.fixture
def store(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def arguments(finished, store, tiny_arguments):
    """Command-line arguments of a run on the copy, with the same world: a path within the store would be another."""
    world = finished / "toy_world"
    inputs = [
        f"inputs.{name}_csv={world}/{name}.csv" for name in ("train", "test", "non_landmark", "landmarks", "solution")
    ]
    return lambda *more: tiny_arguments("run", store, *inputs, f"serve_folder={world}", *more)


def digests(store):
    """Return the digest of everything that is committed, but for the report, which shows how long the stages took."""
    outputs = [output for stage in STAGES for output in stage.outputs if output != REPORT]
    commits = {each.name: Store(str(store)).commits(each) for each in outputs}
    return {(name, shard): commit.digest for name, found in commits.items() for shard, commit in found.items()}


def test_every_stage_run_again_gives_the_same_bytes(store, arguments, capsys):
    before, names = digests(store), set(store.glob("*/shard=*/part-*.parquet"))
    assert main(arguments()) == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert main([*arguments(), "--force"]) == 0
    assert digests(store) == before
    assert not names & set(store.glob("*/shard=*/part-*.parquet"))  # they were made anew


def test_a_stage_that_reads_what_is_stale_says_so(arguments, capsys):
    words = arguments("verify.min_inliers=20", "submission.mode=decision")
    assert main([*words, "--only", "write_submission"]) == 0
    warning = "warning: verify_landmarks is not up to date: verify.min_inliers changed from 35 to 20"
    assert f"write_submission: {warning}" in capsys.readouterr().out


def rewritten(store, output, shard, change):
    path = store / "_commits" / output.name / f"shard={shard}.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def test_columns_that_another_release_wrote_are_refused(store, arguments, capsys):
    def without_host(values):
        values["stamp"]["columns"]["images"] = values["stamp"]["columns"]["images"].replace(", host string False", "")
        values["stamp"]["code"] = "0.0.9+abc"

    rewritten(store, IMAGES, 1, without_host)
    assert main([*arguments(), "--only", "extract_bottlenecks", "--force"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(
        "error: extract_bottlenecks should read images as this release writes it: columns should be "
    )
    assert "host string. Received: none of these (0.0.9+abc)" in error


def test_columns_of_a_release_that_did_not_note_them_are_looked_up(store, arguments, capsys):
    (path,) = (store / "images" / "shard=1").glob("part-*.parquet")
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns(["host"]), path)

    def of_format_1(values):
        del values["format"]
        for name in ("version", "num_shards", "columns", "code"):
            del values["stamp"][name]
        values["files"][0]["num_bytes"] = path.stat().st_size

    rewritten(store, IMAGES, 1, of_format_1)
    assert main([*arguments("check_inputs=false"), "--only", "extract_bottlenecks", "--force"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "extract_bottlenecks should read images with the columns id string," in error
    assert f"in images/shard=1/{path.name}, of an earlier release" in error


def test_a_damaged_input_whose_maker_is_not_asked_for_is_an_error_that_status_knows(store, arguments, capsys):
    (path,) = (store / "images" / "shard=2").glob("part-*.parquet")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    only = [*arguments(), "--only", "extract_bottlenecks"]
    assert main(only) == 0  # nothing reads it
    (store / "_commits" / "bottlenecks" / "shard=2.json").unlink()
    assert main(only) == 1
    fault = (
        f"images/shard=2/{path.name} has other bytes than were committed (SHA-256); to be made anew by download_images"
    )
    assert fault in capsys.readouterr().err
    config = load_config(None, [each for each in arguments() if "=" in each])
    found = {each.stage: each for each in take_status(config).stages}
    assert (found["extract_bottlenecks"].state, fault in found["extract_bottlenecks"].error) == ("failed", True)
    assert (found["download_images"].state, found["download_images"].wanting) == ("partial", (2,))
    assert main(arguments()) == 0
    assert Store(str(store)).marks(IMAGES) == {}


def test_every_commit_says_what_made_it(finished):
    store = Store(str(finished))
    for stage in STAGES:
        for output in stage.outputs:
            for shard, commit in store.commits(output).items():
                stamp = commit.stamp
                assert (stamp.stage, stamp.version, stamp.num_shards) == (stage.name, stage.version, 3)
                assert set(stamp.inputs) == {each.output.name for each in stage.reads}
                assert stamp.columns.keys() == {each.name for each in stage.outputs}
                assert stamp.code.startswith("0.1.0+") and commit.host and commit.created
                assert (shard == WHOLE) is not output.sharded
