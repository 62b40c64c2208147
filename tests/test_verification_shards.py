"""Verification of disjoint shards by two runs at once."""

import shutil
import subprocess
import sys

import pytest
from standalone import ROOT

from landmark_spark.schemas import VERIFICATIONS
from landmark_spark.store import Store

pytestmark = pytest.mark.jvm


def test_disjoint_shards_from_two_applications_at_once_are_the_table_of_one_run(finished, tmp_path, tiny_arguments):
    store = tmp_path / "store"
    shutil.copytree(finished, store)
    command = [sys.executable, "-m", *tiny_arguments("landmark_spark", store)]
    command.insert(3, "run")
    options = ["--only", "verify_landmarks", "--force", "--shard"]
    before = {shard: commit.files for shard, commit in Store(str(store)).commits(VERIFICATIONS).items()}
    processes = [
        subprocess.Popen(
            [*command, *options, part], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for part in ("1/2", "2/2")
    ]
    for process in processes:
        printed, _ = process.communicate(timeout=500)
        assert process.returncode == 0, printed
    whole, parts = Store(str(finished)).commits(VERIFICATIONS), Store(str(store)).commits(VERIFICATIONS)
    assert {shard: each.digest for shard, each in parts.items()} == {s: each.digest for s, each in whole.items()}
    assert sum(each.num_rows for each in parts.values()) > 0
    assert all(parts[shard].files != before[shard] for shard in before)  # every shard was written anew
