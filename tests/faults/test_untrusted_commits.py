"""Commits and notes of a store that others can write to: read whole, or refused; no path leads out of the store."""

import json
import random

import pytest
from untrusted import damaged, is_one_line

from landmark_spark.commits import WHOLE, Commit, FileEntry, Mark, Note, Stamp, StoreError

COMMIT = Commit(
    output="images",
    shard=3,
    num_rows=7,
    digest="ab" * 32,
    files=(FileEntry("images/shard=3/part-0.parquet", 100, "cd" * 32),),
    stamp=Stamp("download_images", "ef" * 32, {"image_size": 128}, {"records": "01" * 32}),
    counts={"ok": {"h.example": 7}},
)
NOTE = Note("images", 3, 7, {"ok": 7}, started="2026-01-01T00:00:00Z")
VALUES = {"commit": json.loads(COMMIT.to_json()), "note": json.loads(NOTE.to_json())}
READ = {"commit": Commit.from_json, "note": Note.from_json}
STRANGE = (
    *(None, True, -2, 0, 1.5, 10**30, float("nan"), "", "x", [], {}, [[]], ["x"], {"x": 1}, "a\x00b", "\ud800"),
    *("../../etc/x", "/etc/x", "a/../../x", "..", ".", "a//b", "images/../../x", "a\\..\\b", "file:///etc/x", "a\nb"),
)


def read_or_error(kind, text):
    """Return what was read, or None where the documented error was raised; hold either against its contract."""
    try:
        found = READ[kind](text)
    except StoreError as error:
        assert is_one_line(error)
        return None
    assert type(found.shard) is int and found.shard >= WHOLE
    assert type(found.num_rows) is int and found.num_rows >= 0
    assert is_plain_name(found.output)
    assert isinstance(found.counts, dict)
    assert isinstance(found.host, str)
    if kind == "commit":
        for each in found.files:
            assert isinstance(each, FileEntry) and is_inside(each.path)
            assert type(each.num_bytes) is int and each.num_bytes >= 0
            assert isinstance(each.sha256, str)
        assert isinstance(found.stamp, Stamp)
        assert isinstance(found.stamp.stage, str) and isinstance(found.stamp.fingerprint, str)
        assert isinstance(found.stamp.settings, dict) and isinstance(found.stamp.inputs, dict)
    return found


def is_plain_name(text):
    return isinstance(text, str) and bool(text) and not set(text) & set("/\\\x00\n") and text not in (".", "..")


def is_inside(path):
    return isinstance(path, str) and "\\" not in path and all(map(is_plain_name, path.split("/")))


def with_change(values, chance):
    """Return a copy of JSON values with one of them replaced, lost, or joined by one that nobody knows."""
    if isinstance(values, dict) and values and chance.random() < 0.9:
        name = chance.choice(sorted(values))
        kind = chance.randrange(10)
        if kind == 0:
            return {key: each for key, each in values.items() if key != name}
        if kind == 1:
            return values | {"unknown": chance.choice(STRANGE)}
        return values | {name: with_change(values[name], chance)}
    if isinstance(values, list) and values and chance.random() < 0.8:
        return [with_change(values[0], chance), *values[1:]]
    return chance.choice(STRANGE)


@pytest.mark.parametrize("kind", READ)
def test_what_was_written_is_read(kind):
    written = {"commit": COMMIT, "note": NOTE}[kind]
    assert READ[kind](written.to_json()) == written


@pytest.mark.parametrize("kind", READ)
def test_damaged_texts_are_read_whole_or_refused(kind):
    valid = {"commit": COMMIT, "note": NOTE}[kind].to_json().encode()
    for data in damaged(valid, count=5000):
        read_or_error(kind, data.decode(errors="replace"))


@pytest.mark.parametrize("kind", READ)
def test_texts_with_other_values_are_read_whole_or_refused(kind):
    chance = random.Random(0)
    refused = 0
    for _ in range(5000):
        refused += read_or_error(kind, json.dumps(with_change(VALUES[kind], chance))) is None
    assert 2000 < refused < 5000


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize(
    "text", ["", "null", "3", '"x"', "[]", "{}", "[" * 100_000, '{"a":' * 50_000, "NaN", "9" * 5000, "{" + "\x00" * 10]
)
def test_any_other_json_is_refused(kind, text):
    assert read_or_error(kind, text) is None


PATHS = [
    "../../etc/x",
    "/etc/x",
    "images/../../x",
    "..",
    ".",
    "",
    "a//b",
    "a/",
    "a\\..\\..\\x",
    "a\x00b",
    "\ud800",
    None,
    3,
    ["a"],
]


@pytest.mark.parametrize("path", PATHS)
def test_a_file_outside_the_store_is_refused(path):
    # A commit's files are what a rerun removes: one that leads out of the store would remove a stranger's file.
    values = VALUES["commit"] | {"files": [{"path": path, "num_bytes": 1, "sha256": "ab" * 32}]}
    assert read_or_error("commit", json.dumps(values)) is None


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("output", ["../x", "a/b", "/x", "..", ".", "", "a\\b", "a\x00", None, 3, []])
def test_an_output_that_is_no_name_is_refused(kind, output):
    # It is part of the path of the commit itself, which is removed too.
    assert read_or_error(kind, json.dumps(VALUES[kind] | {"output": output})) is None


UNPRINTABLE = ["\x1b[2J", "a\nb", "\x9b", "\ud800", "\udcff", "a\x00"]


@pytest.mark.parametrize("text", UNPRINTABLE)
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("commit", "host"),
        ("commit", "created"),
        ("commit", "digest"),
        ("note", "host"),
        ("note", "started"),
        ("note", "updated"),
    ],
)
def test_a_text_that_cannot_be_printed_or_that_a_terminal_obeys_is_refused(kind, name, text):
    assert read_or_error(kind, json.dumps(VALUES[kind] | {name: text})) is None


@pytest.mark.parametrize("text", UNPRINTABLE)
@pytest.mark.parametrize("change", [{"stage": 0}, {"code": 0}, {"inputs": {"records": 0}}, {"columns": {"images": 0}}])
def test_a_stamp_with_such_a_text_is_refused(change, text):
    changed = {name: text if each == 0 else dict.fromkeys(each, text) for name, each in change.items()}
    assert (
        read_or_error("commit", json.dumps(VALUES["commit"] | {"stamp": VALUES["commit"]["stamp"] | changed})) is None
    )


@pytest.mark.parametrize("name", ["inputs", "columns"])
def test_a_stamp_whose_digests_or_columns_are_no_texts_is_refused(name):
    changed = VALUES["commit"]["stamp"] | {name: {"records": 5}}
    assert read_or_error("commit", json.dumps(VALUES["commit"] | {"stamp": changed})) is None


@pytest.mark.parametrize("text", UNPRINTABLE)
def test_the_reason_of_a_mark_is_made_printable(text):
    mark = json.dumps({"format": 2, "output": "images", "shard": 3, "reason": text, "found": "then"})
    reason = Mark.from_json(mark).reason
    assert reason.isprintable() and "\ufffd" in reason


@pytest.mark.parametrize("change", [{"reason": None}, {"reason": ["a"]}, {"found": "\x1b"}, {"output": "../x"}])
def test_a_mark_that_nobody_wrote_is_refused(change):
    values = {"format": 2, "output": "images", "shard": 3, "reason": "damaged", "found": "then"}
    with pytest.raises(StoreError, match="a mark should be the JSON that the store wrote"):
        Mark.from_json(json.dumps(values | change))


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize(
    "changes", [{"shard": True}, {"shard": -1.0}, {"shard": "3"}, {"shard": 1.0}, {"shard": -2}, {"num_rows": -1}]
)
def test_numbers_of_other_kinds_are_refused(kind, changes):
    assert read_or_error(kind, json.dumps(VALUES[kind] | changes)) is None
