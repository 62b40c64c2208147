import csv
import json
import os
import re
from pathlib import Path

import pytest

from landmark_spark.cli import main
from landmark_spark.config import load_config
from landmark_spark.core.fetching import FetchLimits, load_fetcher
from landmark_spark.core.records import Row, parse_rows, resolve_url
from landmark_spark.core.submission import parse_solution, parse_submission
from landmark_spark.ingestion import shown_path
from landmark_spark.toy.facades import draw_facade, make_style
from landmark_spark.toy.server import serve_folder
from landmark_spark.toy.views import photograph, photograph_scene

SMALL = ["backbone.weights=random", "train.epochs=2", "descriptors.sides=64", "report.num_examples=1"]


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def rows(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def folders(tmp_path):
    """Two landmarks of three photos, a photo twice, two test photos, three of nothing: bytes that are no pictures."""
    for number in range(3):
        put(tmp_path / "photos" / "Altes Rathaus" / f"{number}.jpg", b"rathaus %d" % number)
        put(tmp_path / "photos" / 'Dom "St. Petri", #2?' / f"ö {number}.jpg", b"dom %d" % number)
        put(tmp_path / "other" / f"{number}.png", b"other %d" % number)
    put(tmp_path / "photos" / "Altes Rathaus" / "copy.jpg", b"rathaus 0")
    put(tmp_path / "photos" / "readme.txt", b"text")
    put(tmp_path / "test" / "a.jpg", b"test")
    put(tmp_path / "test" / "b.jpg", b"dom 1")
    return tmp_path


def ingest(folders, *more):
    return main(["ingest", str(folders / "photos"), "--output", str(folders / "run"), *map(str, more)])


def test_folders_become_the_challenges_csv_files_and_a_configuration(folders, capsys):
    assert ingest(folders, "--test", folders / "test", "--non-landmark", folders / "other") == 0
    printed = capsys.readouterr().out
    run = folders / "run"
    train = rows(run / "train.csv")
    assert [each["url"] for each in train] == [
        *(f"photos/Altes%20Rathaus/{number}.jpg" for number in range(3)),
        *(f"photos/Dom%20%22St.%20Petri%22%2C%20%232%3F/%C3%B6%20{number}.jpg" for number in range(3)),
    ]
    names = {each["landmark_id"]: each["name"] for each in rows(run / "landmarks.csv")}
    assert [names[each["landmark_id"]] for each in train] == ["Altes Rathaus"] * 3 + ['Dom "St. Petri", #2?'] * 3
    assert len(rows(run / "non_landmark.csv")) == 3
    assert sorted(each["url"] for each in rows(run / "test.csv")) == ["test/a.jpg", "test/b.jpg"]
    assert not (run / "solution.csv").exists()
    assert [(each["path"], each["reason"]) for each in rows(run / "left_out.csv")] == [
        ("readme.txt", "no_picture"),
        ("Altes Rathaus/copy.jpg", "same_photo"),
    ]
    config = load_config(run / "own.yaml")
    assert (config.store, config.serve_folder) == (str(run / "store"), str(folders))
    assert config.inputs.train_csv == str(run / "train.csv")
    assert config.inputs.solution_csv == ""
    assert "2 landmarks with 6 training photos, 3 photos of no landmark, 2 test photos" in printed
    assert "note: 1 test photo with the bytes of a landmark's photo" in printed
    assert "2 test photos, of which 0 are held out with the answers" in printed
    assert "left out: 1, no picture by the end of its name: readme.txt" in printed
    assert printed.endswith(
        f"\n\nnext: landmark-spark run --config {run / 'own.yaml'}\n"
        f"then: landmark-spark answers --config {run / 'own.yaml'}\n"
    )


def test_a_share_is_held_out_with_its_answers(folders, capsys):
    assert ingest(folders, "--non-landmark", folders / "other", "--test-share", "0.4", "--seed", "3") == 0
    run = folders / "run"
    answers = parse_solution((run / "solution.csv").open("rb"), source="solution")
    # Of three photos, 3 * 0.4 = 1.2: one of each landmark and one of none.
    assert sorted(len(each) for each in answers.values()) == [0, 1, 1]
    assert set(answers) == {each["id"] for each in rows(run / "test.csv")}
    train = rows(run / "train.csv")
    assert len(train) == 4
    assert not set(answers) & {each["id"] for each in train}
    assert load_config(run / "own.yaml").inputs.solution_csv == str(run / "solution.csv")
    # Without held-out photos the files of the earlier call that are no longer true are gone.
    assert ingest(folders, "--force", "--test", folders / "test") == 0
    assert sorted(each.name for each in run.iterdir()) == [
        *("landmarks.csv", "left_out.csv", "own.yaml", "test.csv", "train.csv"),
    ]


def test_ids_stay_when_the_folders_move_and_others_come(folders, capsys):
    assert ingest(folders) == 0
    before = {each["url"]: each["id"] for each in rows(folders / "run" / "train.csv")}
    put(folders / "photos" / "A new one" / "x.jpg", b"new")
    moved = folders / "elsewhere"
    (folders / "photos").rename(moved)
    assert main(["ingest", str(moved), "--output", str(folders / "run2")]) == 0
    after = {each["url"]: each["id"] for each in rows(folders / "run2" / "train.csv")}
    assert {url: after[url] for url in before} == before
    assert len(after) == 7


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none", "--output", "run"], "FOLDER should be a folder. Received: none"),
        (["photos", "--output", "photos/run"], "--output should not lie within FOLDER"),
        (["photos", "--output", "run", "--test", "photos/Altes Rathaus"], "--test should not lie within FOLDER"),
        (["photos/Altes Rathaus", "--output", "run"], "should hold a folder of photos for each landmark"),
        (["photos", "--output", "run", "--test-share", "1"], "--test-share should be from 0 to below 1"),
        (["photos", "--output", "run", "--test-share", "0.1"], "--test-share should hold out a photo"),
        (["photos", "--output", "run#1"], "--output should have a path without any of"),
        (["photos", "--output", "photos/readme.txt"], "--output should be a folder"),
        (["photos", "--output", "run", "--test", "/"], "FOLDER should not lie within --test"),
        (["photos", "--output", "full"], "--output should be a folder without train.csv; --force replaces"),
    ],
)
def test_the_callers_mistakes_are_one_line(folders, monkeypatch, capsys, arguments, message):
    put(folders / "full" / "train.csv", b"mine")
    monkeypatch.chdir(folders)
    assert main(["ingest", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert message in printed.err
    assert printed.err.count("\n") == 1
    assert (folders / "full" / "train.csv").read_bytes() == b"mine"
    assert not (folders / "run").exists()


def test_the_home_folder_is_not_served(folders, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(folders))
    monkeypatch.chdir(folders)
    assert main(["ingest", "photos", "--test", "test", "--output", "run"]) == 2
    assert "holds nothing private" in capsys.readouterr().err
    assert main(["ingest", "photos", "--output", "run"]) == 0


def test_urls_lead_to_the_bytes_of_their_photos_whatever_the_names(tmp_path):
    names = [
        *(f"a{letter}b.jpg" for letter in "!\"#$%&'()*+,-:;<=>?@[\\]^`{|}~ "),
        "%41.jpg",
        "ä\u0308.jpg",
        "a\nb.jpg",
    ]
    for name in (*names, os.fsdecode(b"\xff\xfe.jpg")):
        put(tmp_path / "photos" / "12:30 http:" / name, os.fsencode(name))
    assert main(["ingest", str(tmp_path / "photos"), "--output", str(tmp_path / "run")]) == 0
    lines = (tmp_path / "run" / "train.csv").read_bytes().splitlines(keepends=True)
    found = list(parse_rows(lines, with_landmark=True, allow_relative=True))
    assert {type(each) for each in found} == {Row}  # none is refused
    with serve_folder(tmp_path / "photos") as url:
        fetch = load_fetcher(FetchLimits(allow_private_addresses=True))
        bodies = [fetch(resolve_url(each.url, url)).body for each in found]  # as download_images does
    assert sorted(bodies) == sorted(os.fsencode(name) for name in (*names, os.fsdecode(b"\xff\xfe.jpg")))


@pytest.fixture
def collection(tmp_path):
    """Photos of two drawn buildings, three each, under names that no URL holds as they are; a scene; a test photo."""
    buildings = [draw_facade(make_style(index, 7), (7, 0, index)) for index in range(2)]
    names = [b"Schlo\xc3\x9f #1? 50%", b"T\xfcrme"]  # the second is Latin-1, no UTF-8
    for index, name in enumerate(names):
        for view in range(3):
            photo = photograph([buildings[index]], (7, index, view))
            put(Path(os.fsdecode(os.fsencode(tmp_path) + b"/photos/" + name)) / f"{view} +&;=.jpg", photo)
    put(tmp_path / "other" / "scene.jpg", photograph_scene("field", (7, 1)))
    put(tmp_path / "test" / "unknown.jpg", photograph([buildings[0]], (7, 0, 9)))
    return tmp_path


def options(*more):
    return [word for each in (*SMALL, "spark.master=local[2]", *more) for word in ("--set", each)]


@pytest.mark.jvm
def test_a_folder_of_photos_becomes_a_submission_that_measures_itself(collection, spark, capsys):
    more = ["--test", collection / "test", "--non-landmark", collection / "other", "--test-share", "0.3"]
    assert ingest(collection, *more) == 0
    run = collection / "run"
    assert main(["run", "--config", str(run / "own.yaml"), *options()]) == 0
    expected = [each["id"] for each in rows(run / "test.csv")]
    assert [each["id"] for each in rows(run / "store" / "submission.csv")] == expected
    assert len(expected) == 3  # the test photo, and one of each landmark
    predictions = parse_submission((run / "store" / "submission.csv").open("rb"), source="submission")
    assert {each.id for each in predictions} == set(expected)
    assert main(["answers", "--config", str(run / "own.yaml"), *options(), "--csv", str(run / "answers.csv")]) == 0
    answered = rows(run / "answers.csv")
    assert [each["id"] for each in answered] == expected
    photos = {str(path.relative_to(collection)) for path in collection.rglob("*.jpg")}
    known = {shown_path(each): each for each in photos}  # of the second landmark with a replacement character
    assert {each["photo"] for each in answered} <= set(known)
    assert "test/unknown.jpg" in {each["photo"] for each in answered}
    assert {each["landmark"] for each in answered} <= {"Schloß #1? 50%", "T\N{REPLACEMENT CHARACTER}rme"}
    page = (run / "store" / "report" / "index.html").read_text(encoding="utf-8")
    assert re.search(r"reference <bdi>[0-2] \+&amp;;=\.jpg</bdi> \(<bdi>[0-9a-f]{16}</bdi>\)", page)
    metrics = json.loads((run / "store" / "metrics.json").read_text())
    assert metrics["counts"]["failed_downloads"] == 0
    assert metrics["counts"]["rejects"] == 0
    assert set(metrics["modes"]) == {"classifier", "decision", "fused", "learned"}
