"""What people are told of their photos is what submission.csv says, by names they know, whoever chose those."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import pytest
from chain_store import chain_config, chain_rows, make_chain, put_table
from hypothesis import given, settings
from hypothesis import strategies as st
from untrusted import some_thousand

from landmark_spark.answer_table import PhotoAnswer, check_outside, read_answers, to_csv
from landmark_spark.cli import main
from landmark_spark.commits import WHOLE
from landmark_spark.config import load_config
from landmark_spark.core.printable import printable
from landmark_spark.core.submission import parse_submission
from landmark_spark.schemas import FUSION, LANDMARKS, RECORDS, SUBMISSION, VERIFICATIONS
from landmark_spark.store import Store

UNKNOWN = "no landmark that I know"
LIKELY = "likely, not verified"
NAMES = {70: 'Dom "St. Petri", neu'}


def with_values(column, values):
    """A change of rows: another value in a column of those with these ids."""
    return lambda rows: [row | {column: values.get(row["id"], row[column])} for row in rows]


URLS = {"t3": "unknown/Sch%C3%B6n%20%231.jpg", "t1": "unknown/2.jpg", "t0": "unknown/x%0A%1B.jpg", "t2": "a/%FF.jpg"}
CHANGES = {
    RECORDS: with_values("url", URLS),
    LANDMARKS: lambda rows: [row | {"name": NAMES.get(row["landmark_id"], "")} for row in rows],
    VERIFICATIONS: lambda rows: [row | {"is_verified": row["id"] == "t0" and row["landmark_id"] == 70} for row in rows],
}
LINES = ["t3,70 0.75", "t1,", "t0,70 0.25", "t2,71 0.375", "t9,"]


@pytest.fixture
def chain(tmp_path):
    """A store: t3, likely; t1, not downloaded; t0, verified; t2, of little confidence; t9, a line that was refused."""
    store = make_chain(tmp_path / "store", CHANGES, LINES)
    note_mode(store, "learned")
    write_fusion(store, {"learned": True, "intercept": 0.0, "evidence": {}})
    return store


def note_mode(store, mode):
    commit = store.commits(SUBMISSION)[WHOLE]
    stamp = dataclasses.replace(commit.stamp, settings={"submission.mode": mode})
    store.commit(dataclasses.replace(commit, stamp=stamp))


def write_fusion(store, values):
    store.write_bytes(FUSION.path, json.dumps(values).encode())


def configured(store, *more):
    settings = [f"store={store.url}", "index.num_shards=3", *more]
    return [word for each in settings for word in ("--set", each)]


def verdicts(store):
    return {each.id: each.verdict for each in read_answers(chain_config_of(store))}


def chain_config_of(store, *more):
    return chain_config(Path(store.url), *more)


def test_every_photo_of_test_csv_has_a_row_with_its_name_and_its_landmarks(chain, tmp_path):
    assert read_answers(chain_config_of(chain, f"serve_folder={tmp_path}")) == [
        PhotoAnswer("t3", "unknown/Schön #1.jpg", LIKELY, 70, 'Dom "St. Petri", neu', 0.75),
        PhotoAnswer("t1", "unknown/2.jpg", "http_404"),
        PhotoAnswer(
            "t0", "unknown/x\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}.jpg", "verified", 70, NAMES[70], 0.25
        ),
        PhotoAnswer("t2", "a/\N{REPLACEMENT CHARACTER}.jpg", UNKNOWN, 71, "", 0.375),
        PhotoAnswer("t9", "", "empty_url"),
    ]


def test_urls_stay_as_test_csv_has_them_but_for_passwords(tmp_path):
    urls = {"t3": "https://h/a%20b.jpg?x=1", "t1": "https://me:secret@h:8/c.jpg", "t0": "a%20b.jpg", "t2": "t2"}
    store = make_chain(tmp_path / "store", {RECORDS: with_values("url", urls)})
    assert [each.photo for each in read_answers(chain_config_of(store))] == [
        *("https://h/a%20b.jpg?x=1", "https://h:8/c.jpg", "a%20b.jpg", "t2", ""),
    ]


def test_a_score_that_is_no_probability_makes_no_landmark_likely(chain):
    assert verdicts(chain) == {"t3": LIKELY, "t1": "http_404", "t0": "verified", "t2": UNKNOWN, "t9": "empty_url"}
    note_mode(chain, "fused")
    assert verdicts(chain)["t3"] == UNKNOWN
    note_mode(chain, "learned")
    write_fusion(chain, {"learned": False})
    assert verdicts(chain) == {"t3": UNKNOWN, "t1": "http_404", "t0": "verified", "t2": UNKNOWN, "t9": "empty_url"}


def test_a_photo_of_which_nothing_is_said_shows_no_landmark(tmp_path):
    store = make_chain(tmp_path / "store", submission=["t3,", "t1,", "t0,", "t2,70 0.75", "t9,"])
    assert verdicts(store)["t3"] == UNKNOWN


def test_the_command_prints_a_table_and_writes_a_csv_file(chain, tmp_path, capsys):
    words = configured(chain, f"serve_folder={tmp_path}")
    assert main(["answers", *words]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "photo                 verdict                  landmark              confidence  id",
        'unknown/Schön #1.jpg  likely, not verified     Dom "St. Petri", neu  0.7500      t3',
        "unknown/2.jpg         http_404                 -                     -           t1",
        'unknown/x��.jpg       verified                 Dom "St. Petri", neu  0.2500      t0',
        "a/�.jpg               no landmark that I know  landmark 71           0.3750      t2",
        "-                     empty_url                -                     -           t9",
        "",
        "5 photos: 1 likely, not verified; 1 http_404; 1 verified; 1 no landmark that I know; 1 empty_url",
    ]
    target = tmp_path / "answers.csv"
    assert main(["answers", *words, "--csv", str(target)]) == 0
    assert capsys.readouterr().out.endswith(f"1 empty_url: {target}\n")
    assert target.read_text(encoding="utf-8").splitlines() == [
        "id,photo,verdict,landmark_id,landmark,confidence",
        't3,unknown/Schön #1.jpg,"likely, not verified",70,"Dom ""St. Petri"", neu",0.75',
        "t1,unknown/2.jpg,http_404,,,",
        't0,unknown/x��.jpg,verified,70,"Dom ""St. Petri"", neu",0.25',
        "t2,a/�.jpg,no landmark that I know,71,,0.375",
        "t9,,empty_url,,,",
    ]
    assert main(["answers", *words, "--json"]) == 0
    first = json.loads(capsys.readouterr().out.splitlines()[0])
    assert first == {
        "id": "t3",
        "photo": "unknown/Schön #1.jpg",
        "verdict": LIKELY,
        "landmark_id": 70,
        "landmark": NAMES[70],
        "confidence": 0.75,
    }


def test_a_store_that_is_no_folder_is_read_too(tmp_path):
    make_chain("memory://answers", CHANGES, LINES)
    config = load_config(None, ["store=memory://answers", "index.num_shards=3"])
    check_outside(config, tmp_path / "answers.csv")
    assert [(each.id, each.landmark_id) for each in read_answers(config)] == [
        *(("t3", 70), ("t1", None), ("t0", 70), ("t2", 71), ("t9", None)),
    ]


def written(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_store_stays_as_it_is(chain, tmp_path, capsys):
    before = written(tmp_path / "store")
    assert main(["answers", *configured(chain)]) == 0
    inside = tmp_path / "store" / "submission.csv"
    assert main(["answers", *configured(chain), "--csv", str(inside)]) == 2
    assert capsys.readouterr().err == f"error: --csv should lie outside the store. Received: {inside}\n"
    assert written(tmp_path / "store") == before


def failed(capsys, store):
    assert main(["answers", *configured(store)]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err


def test_a_store_without_a_submission_is_refused(tmp_path, capsys):
    told = failed(capsys, Store(str(tmp_path / "nothing")))
    assert "answers should have a submission. Received: none in" in told
    assert "landmark-spark run" in told
    assert not (tmp_path / "nothing").exists()


def test_a_submission_of_other_tables_is_refused(chain, capsys):
    other = [row | {"id": f"x{row['id']}"} if row["split"] == "test" else row for row in chain_rows()[RECORDS]]
    put_table(chain, RECORDS, other)
    assert "answers should have a submission of the tables that are there" in failed(capsys, chain)


def test_damage_is_said_so(chain, tmp_path, capsys):
    submission = tmp_path / "store" / "submission.csv"
    sound = submission.read_bytes()
    submission.write_bytes(sound.replace(b"70 0.75", b"71 0.75"))  # of the same length
    assert "submission.csv has other bytes than were committed" in failed(capsys, chain)
    submission.unlink()
    assert "submission.csv is missing" in failed(capsys, chain)
    submission.write_bytes(sound)
    write_fusion(chain, {})
    assert "answers should have tables as the stages wrote them" in failed(capsys, chain)
    write_fusion(chain, {"learned": False})
    part = tmp_path / "store" / chain.commits(LANDMARKS)[WHOLE].files[0].path
    part.write_bytes(b"no parquet")
    assert "answers should have tables as the stages wrote them" in failed(capsys, chain)


TEXTS = st.text(st.characters(codec="utf-8")) | st.sampled_from(
    ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", '"', ",", "\n", "\r", "a\nb", "''", " =1"]
)


@settings(some_thousand, max_examples=500)
@given(TEXTS, TEXTS, TEXTS)
def test_no_name_leaves_its_cell_or_becomes_a_formula(image_id, photo, landmark):
    text = to_csv([PhotoAnswer(image_id, photo, "verified", 7, landmark, 0.1 + 0.2), PhotoAnswer("b", "", UNKNOWN)])
    heads, first, second = csv.reader(io.StringIO(text, newline=""))
    assert all(each.isprintable() for each in text.split("\n"))
    assert heads == ["id", "photo", "verdict", "landmark_id", "landmark", "confidence"]
    for cell, given_text in ((first[0], image_id), (first[1], photo), (first[4], landmark)):
        assert cell == (f"'{printable(given_text)}" if given_text[:1] in tuple("=+-@") else printable(given_text))
    assert (first[3], float(first[5])) == ("7", 0.1 + 0.2)
    assert second == ["b", "", UNKNOWN, "", "", ""]


@pytest.mark.jvm
def test_a_finished_run_is_answered_as_its_submission_has_it(finished, tiny_arguments, tmp_path, capsys):
    words = [word for word in tiny_arguments("answers", finished) if word != "answers"]
    assert main(["answers", *words, "--csv", str(tmp_path / "answers.csv")]) == 0
    rows = list(csv.DictReader((tmp_path / "answers.csv").open(encoding="utf-8", newline="")))
    tests = list(csv.DictReader((finished / "toy_world" / "test.csv").open()))
    names = {
        each["landmark_id"]: each["name"] for each in csv.DictReader((finished / "toy_world/landmarks.csv").open())
    }
    assert [(each["id"], each["photo"]) for each in rows] == [(each["id"], each["url"]) for each in tests]
    said = {each.id: each for each in parse_submission((finished / "submission.csv").open("rb"), source="s")}
    assert {each["id"] for each in rows if each["landmark_id"]} == set(said)
    for each in rows:
        if each["id"] in said:
            answer = said[each["id"]]
            assert (int(each["landmark_id"]), float(each["confidence"])) == (answer.landmark_id, answer.score)
            assert each["landmark"] == names[each["landmark_id"]]
            assert each["verdict"] in ("verified", LIKELY, UNKNOWN)
            assert each["verdict"] != LIKELY or answer.score >= 0.5
        else:
            assert each["verdict"] == "http_404"
    verified = Store(str(finished)).read_arrow(VERIFICATIONS, ["id", "landmark_id", "is_verified"]).to_pylist()
    assert {each["id"] for each in rows if each["verdict"] == "verified"} == {
        each["id"]
        for each in verified
        if each["is_verified"] and said.get(each["id"]) and said[each["id"]].landmark_id == each["landmark_id"]
    }
