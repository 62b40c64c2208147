import dataclasses
import json

import pytest

from landmark_spark.claims import ALL, EVERYTHING, Claim, Process, conflict
from landmark_spark.commits import NewerFormatError, StoreError
from landmark_spark.planning import choose
from landmark_spark.runner import claimed


def claim(writes, reads=()):
    return Claim("r", "run", Process("host", "boot", 7, "100"), "2026-01-01T00:00:00Z", writes, dict(reads))


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        (ALL, ALL, True),
        (ALL, (3, 8), True),
        ((1, 2), (2, 2), False),
        ((3, 8), (3, 8), True),
        ((1, 2), (1, 4), True),  # shards 0, 2, 4, ... and 0, 4, 8, ...
        ((1, 2), (2, 4), False),  # 0, 2, 4, ... and 1, 5, 9, ...
        ((1, 2), (3, 3), True),  # 2, 8, ...
        ((1, 4), (3, 6), True),  # 0, 4, 8, ... and 2, 8, ...
        ((1, 4), (2, 6), False),  # the even and 1, 7, 13, ...
    ],
)
def test_parts_meet_where_some_shard_is_of_both(one, other, meet):
    assert conflict(claim({"images": one}), claim({"images": other})) == ("images" if meet else "")
    assert conflict(claim({"images": other}), claim({"images": one})) == ("images" if meet else "")


def test_a_reader_is_in_the_way_of_a_writer_and_not_of_a_reader():
    writer, reader = claim({"images": ALL}), claim({"bottlenecks": ALL}, {"images": ALL})
    assert conflict(writer, reader) == conflict(reader, writer) == "images"
    assert conflict(reader, claim({"local_features": ALL}, {"images": ALL})) == ""


def test_everything_is_in_the_way_of_all():
    assert conflict(claim({EVERYTHING: ALL}), claim({"images": (1, 2)})) == "images"
    assert conflict(claim({"images": (1, 2)}), claim({EVERYTHING: ALL})) == "images"
    assert conflict(claim({EVERYTHING: ALL}), claim({EVERYTHING: ALL})) == EVERYTHING


def runs_meet(one, other):
    claims = [claim(*claimed(choose(**options))) for options in (one, other)]
    return conflict(*claims)


def test_nodes_that_split_a_stage_are_not_in_each_others_way():
    assert runs_meet({"only": "download_images", "shard": "1/8"}, {"only": "download_images", "shard": "3/8"}) == ""
    several = {"first": "download_images", "last": "extract_bottlenecks"}
    assert runs_meet(several | {"shard": "1/2"}, several | {"shard": "2/2"}) == ""


def test_a_stage_that_reads_all_shards_is_in_the_way_of_who_makes_some():
    predictions, features = "predict_landmarks", "extract_local_features"
    assert runs_meet({"only": predictions, "shard": "1/2"}, {"only": features, "shard": "2/2"}) == "predictions"


def test_whole_runs_are_in_each_others_way():
    assert runs_meet({}, {"only": "write_report"}) == "report" or runs_meet({}, {"only": "write_report"}) == "metrics"
    assert runs_meet({"shard": "1/2"}, {"shard": "2/2"}) == "records"  # which are not made by shards


def test_a_claim_reads_back_as_it_was_written():
    one = dataclasses.replace(claim({"images": (1, 2), "records": ALL}, {"rejects": ALL}), state="held", beat=3)
    assert Claim.from_json(one.to_json()) == one


@pytest.mark.parametrize(
    "change",
    [
        {"writes": {"images": [0, 2]}},
        {"writes": {"images": [3, 2]}},
        {"writes": {"images": ["1", 2]}},
        {"writes": None},
        *({"process": {"host": "h", "machine": "m", "pid": pid, "started": ""}} for pid in (-1, 0, True, 2**31, "7")),
        {"beat": "1"},
        {"run": None},
        {"more": 1},
        *({"command": each} for each in ("run \x1b[2J", "run\nrun", "run \udcff", "run\x9b")),
        *({each: "\x1b[2J"} for each in ("run", "since", "state", "stage")),
        *(
            {"process": {"host": "h", "machine": "m", "pid": 7, "started": ""} | {each: "\x1b"}}
            for each in ("host", "machine")
        ),
        {"writes": {"\x1b[2J": None}},
        *({"format": each} for each in (True, "3", -1, 2.5, None, [3], 2**63)),
    ],
)
def test_a_claim_that_no_run_wrote_is_a_store_error(change):
    text = json.dumps(json.loads(claim({}).to_json()) | change)
    with pytest.raises(StoreError, match="a lock should be the JSON that") as raised:
        Claim.from_json(text)
    assert not isinstance(raised.value, NewerFormatError)


@pytest.mark.parametrize("change", [{"format": 3}, {"format": 3, "process": 1, "what": "nobody knows yet"}])
def test_a_claim_of_a_later_release_is_said_to_be_one_whatever_it_holds(change):
    text = json.dumps(json.loads(claim({}).to_json()) | change)
    message = "format 2 or earlier: a later release .* has written to it. Received: a lock of format 3$"
    with pytest.raises(NewerFormatError, match=message):
        Claim.from_json(text)
