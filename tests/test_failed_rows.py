"""Every row without a picture is named, with why."""

import dataclasses
import json
from pathlib import Path

import pytest
from chain_store import chain_config, make_chain

from landmark_spark.cli import main
from landmark_spark.config import load_config
from landmark_spark.failed_rows import FailedRow, read_failed
from landmark_spark.schemas import IMAGES
from landmark_spark.store import Store

REFUSED = [FailedRow("test.csv:6", "empty_url", "test", "t9"), FailedRow("test.csv:7", "duplicate_id", "test", "t0")]


def with_outcomes(**outcomes):
    return lambda rows: [row | outcomes.get(row["id"], {}) for row in rows]


@pytest.fixture
def config(tmp_path):
    changed = with_outcomes(
        t1={"url": "unknown/Sch%C3%B6n.jpg"},
        r5={"url": "http://bob:secret@h/5.jpg"},
        r0={"status": "opted_out", "image": None, "large_image": None},
    )
    make_chain(tmp_path / "store", {IMAGES: changed})
    return chain_config(tmp_path / "store")


def test_refused_rows_come_first_and_what_opted_out_did_not_fail(config):
    failed = [
        FailedRow("unknown/Sch%C3%B6n.jpg", "http_404", "test", "t1"),
        FailedRow("http://h/5.jpg", "http_404", "train", "r5"),
    ]
    assert read_failed(config) == REFUSED + failed


def test_photos_of_a_served_folder_are_called_by_their_paths(config):
    served = dataclasses.replace(config, serve_folder="/photos")
    assert [each.photo for each in read_failed(served)][2:] == ["unknown/Sch\u00f6n.jpg", "http://h/5.jpg"]


def test_while_the_downloads_are_under_way_the_shards_that_are_made_are_listed(config):
    store = Store(config.store)
    Path(store.url, "_commits", "images", "shard=2.json").unlink()  # with t1 and r5
    assert read_failed(config) == REFUSED


def test_nothing_has_failed_where_nothing_is_made(tmp_path):
    assert read_failed(load_config(None, [f"store={tmp_path / 'none'}"])) == []


def test_the_command_lists_them_for_people_and_for_machines(config, capsys):
    words = ["status", "--failed", "--set", f"store={config.store}"]
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["test.csv:6", "empty_url", "test", "t9"]
    assert lines[-1] == "4 rows without a picture"
    assert main([*words, "--json"]) == 0
    first, *_ = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"photo": "test.csv:6", "status": "empty_url", "split": "test", "id": "t9"}
